# SPDX-License-Identifier: Apache-2.0
"""Who takes part: one node, the members it serves, a licensed doctor, two outside witnesses, a few dozen patients."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
from msgspec.structs import replace

from vervain.gateways.fhir.importing import Importer, ImportSummary
from vervain.gateways.fhir.synthetic import generate_bundle
from vervain.ledger.modules.consortium.messages import AdmitMember, Propose, Role
from vervain.ledger.modules.identity.messages import ActorKind, IssueLicence, Register, registration_bytes
from vervain.node.config import WitnessSettings, read_settings, write_settings
from vervain.node.desk import MemberDesk
from vervain.node.directory import DataDirectory
from vervain.node.founding import COSIGNING_KEY_FILE, found_alone, keep_member_keys
from vervain.node.node import Node
from vervain.sealing.keys import KemKey, SigningKey, read_signing_key
from vervain.witness import Submitter, create_witness, watch_log

PATIENTS = 24
WITNESS_START_SECONDS = 15.0
YEAR_SECONDS = 365 * 86_400

MEMBERS: dict[str, tuple[Role, str]] = {
    "St Anna Hospital": (Role.HOSPITAL, "GLN 0614141000012"),
    "Bergtal Hospital": (Role.HOSPITAL, "GLN 0614141000029"),
    "Central Laboratory": (Role.LABORATORY, "GLN 0614141000036"),
    "Corner Pharmacy": (Role.PHARMACY, "GLN 0614141000043"),
    "Mutual Insurance": (Role.INSURER, "GLN 0614141000050"),
    "Institute of Public Health": (Role.RESEARCHER, "GLN 0614141000067"),
    "Health Regulator": (Role.REGULATOR, "GLN 0614141000074"),
    "Village Practice": (Role.PRACTICE, "GLN 0614141000081"),
}
"""Names stay on this side of the fence; the ledger has the register entries."""


class Cast:
    """The running consortium."""

    def __init__(self, node: Node, operator: bytes) -> None:
        self.node = node
        self.members: dict[str, bytes] = {"St Anna Hospital": operator}
        self.importer = Importer(node)

    def desk(self, name: str) -> MemberDesk:
        """Return a member's desk by the name in this story."""
        return self.node.desk(self.members[name])

    @property
    def now(self) -> int:
        """This computer's clock, UTC seconds."""
        return int(self.node.clock())

    def admit_all(self) -> None:
        """Let the founding hospital admit the others, each with its own keys, and serve them on its node."""
        operator = self.desk("St Anna Hospital")
        for name, (role, register_entry) in MEMBERS.items():
            if name in self.members:
                continue
            signing, kem = SigningKey.generate(), KemKey.generate()
            keep_member_keys(self.node.directory, signing, kem)
            admitted = AdmitMember(
                organisation=signing.actor, roles=(role,), register_entry=register_entry, host=operator.organisation
            )
            operator.send(
                Propose(change=admitted),
                self.registration(ActorKind.ORGANISATION, signing, kem, sponsor=operator.organisation),
            )
            self.members[name] = signing.actor

    def registration(self, kind: ActorKind, signing: SigningKey, kem: KemKey, *, sponsor: bytes) -> Register:
        """Return the registration of a new key, carrying that key's own signature."""
        unproved = registration_bytes(
            chain=self.node.chain, sponsor=sponsor, kind=kind, key=signing.public_key, kem_key=kem.public_key
        )
        return Register(kind=kind, key=signing.public_key, kem_key=kem.public_key, proof=signing.sign(unproved))

    def license_doctor(self) -> SigningKey:
        """Register a doctor of St Anna; the regulator licenses it; return the doctor's own key."""
        hospital, doctor, kem = self.desk("St Anna Hospital"), SigningKey.generate(), KemKey.generate()
        hospital.send(self.registration(ActorKind.STAFF, doctor, kem, sponsor=hospital.organisation))
        licence = IssueLicence(
            holder=doctor.actor, profession="physician", valid_from=self.now, valid_until=self.now + YEAR_SECONDS
        )
        self.desk("Health Regulator").send(licence)
        return doctor

    def give_care(self, folder: Path) -> ImportSummary:
        """Import the patients' bundles: two hospitals and the laboratory each keep what they wrote."""
        folder.mkdir(exist_ok=True)
        places = ("St Anna Hospital", "Bergtal Hospital", "Central Laboratory")
        for number, name in enumerate(places):
            self.importer.assign(_provider(number), self.members[name])
        files = []
        for seed in range(PATIENTS):
            path = folder / f"patient-{seed:02}.json"
            path.write_bytes(generate_bundle(seed, organisations=(0, 1, 2)))
            files.append(path)
        return self.importer.run(files)


def _provider(number: int) -> str:
    """Return the `Organization/id` that the synthetic bundles give their organisation `number`."""
    bundle = msgspec.json.decode(generate_bundle(0, organisations=(number,)))
    organisation = next(
        entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Organization"
    )
    return f"Organization/{organisation['id']}"


def found(root: Path) -> bytes:
    """Found the story's chain; return the operator's id."""
    role, register_entry = MEMBERS["St Anna Hospital"]
    return found_alone(
        root,
        chain="riverside",
        time=int(time.time()),
        node_name="st-anna",
        roles=[role],
        register_entry=register_entry,
        port=0,
    )


@contextmanager
def outside_witnesses(root: Path, folder: Path, chain: str, names: tuple[str, ...]) -> Iterator[None]:
    """Run outside witnesses, each a process with a directory of its own, and tell the node to ask them."""
    directory = DataDirectory(root)
    settings = read_settings(directory.settings)
    cosigning = read_signing_key(directory.keys / COSIGNING_KEY_FILE).public_key
    running, witnesses = [], []
    try:
        for name in names:
            key = create_witness(folder / name, name)
            watch_log(folder / name, chain, [Submitter(name=settings.name, key=cosigning)])
            port = _free_port()
            command = [sys.executable, "-m", "vervain.witness", "serve", str(folder / name), "--port", str(port)]
            running.append(subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}))
            witnesses.append(WitnessSettings(name=name, url=f"http://127.0.0.1:{port}", key=key))
        for witness in witnesses:
            _wait_for(witness.url)
        write_settings(directory.settings, replace(settings, witnesses=tuple(witnesses)))
        yield
    finally:
        for process in running:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + WITNESS_START_SECONDS
    while time.monotonic() < deadline:
        try:
            httpx.get(url, timeout=1.0)
            return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise TimeoutError(f"the witness at {url} did not start")
