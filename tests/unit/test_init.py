# SPDX-License-Identifier: Apache-2.0
"""The package's exported names work on the plain install: with none of the node's packages."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys

BLOCKED = {"alembic", "cyclopts", "httptools", "jsonschema_rs", "lmdb", "pysqlite3", "rich", "sqlalchemy", "starlette",
           "uvicorn", "uvloop"}


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked")


sys.meta_path.insert(0, Blocked())
import vervain

assert not {"httpx", "nacl", "vervain.sdk"} & set(sys.modules), "importing the package alone must be quick"
assert set(vervain.__all__) <= set(dir(vervain))
used = {}
sealed = vervain.seal(b"stored bytes", resource_type="Observation", resource_id="1", version="1")
used["seal"] = sealed.commitment
used["open"] = vervain.open(
    sealed.ciphertext, commitment=sealed.commitment, key=sealed.key, resource_type="Observation", resource_id="1",
    version="1",
)
assert used["open"] == b"stored bytes"
import httpx
from vervain.ledger.primitives.errors import ProofError
from vervain.sdk.client_errors import Unavailable


def unreachable(request):
    raise httpx.ConnectError("refused", request=request)


with vervain.Client("http://node.test", transport=httpx.MockTransport(unreachable), attempts=1) as client:
    try:
        client.head()
    except Unavailable as error:
        used["Client"] = error
used["Wallet"] = vervain.Wallet.create("example-" + "0" * 32)
assert used["Wallet"].chain.startswith("example-")
try:
    vervain.verify_receipt(b"no receipt", None)
except ProofError as error:
    used["verify_receipt"] = error
assert sorted(used) == vervain.__all__, used
try:
    vervain.nothing
except AttributeError as error:
    print(error)
"""


def test_every_export_works_without_the_node_s_packages(tmp_path: Path) -> None:
    """
    Given an interpreter in which the node's packages cannot be imported.
    When `vervain` is imported and every exported name used.
    Then all of them work, and a name that is not exported is refused in plain words.
    """
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    ran = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "module 'vervain' has no attribute 'nothing'\n", "")
