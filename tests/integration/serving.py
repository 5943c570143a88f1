# SPDX-License-Identifier: Apache-2.0
"""`vervain` as a process: one command, or a node that is served until the test ends."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

COMMAND_SECONDS_MAX: Final = 120.0
READY_SECONDS_MAX: Final = 60.0
ENVIRONMENT: Final = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


class Ran:
    """A command that ended: its exit code, and its output as text and as JSON lines."""

    def __init__(self, done: "subprocess.CompletedProcess[str]") -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def last(self) -> dict[str, Any]:
        """The last line of output, as JSON."""
        last: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return last


def vervain(*arguments: object, stdin: str = "") -> Ran:
    """Run one command to its end."""
    command = [sys.executable, "-m", "vervain.cli", *map(str, arguments)]
    return Ran(
        subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
            env=ENVIRONMENT,
        )
    )


@contextmanager
def served(data: Path, log: Path) -> Iterator[str]:
    """Serve a node with its output going to a file; yield its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "vervain.cli", "node", "--data", str(data), "--port", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=ENVIRONMENT)
        try:
            _wait_until_ready(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(READY_SECONDS_MAX)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url + "/readyz", timeout=2.0).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise TimeoutError("the node did not become ready")
