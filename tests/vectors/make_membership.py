# SPDX-License-Identifier: Apache-2.0
"""Makes the vectors of the consortium and the identity module: messages, their canonical bytes, what they leave behind.

    python -m tests.vectors.make_membership consortium > tests/vectors/consortium/messages.json
    python -m tests.vectors.make_membership identity > tests/vectors/identity/messages.json

A test runs this under two hash seeds and compares the bytes with the committed files.
"""

import json
import sys
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from msgspec.json import decode as from_json

from tests.small_chain import HOSPITAL, INSURER, REGULATOR, Party, SmallChain, admission, validator
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.module import Message
from vervain.ledger.modules.consortium.messages import (
    CountVotes,
    Leave,
    MoveMember,
    Propose,
    PutRuleTable,
    ReinstateMember,
    SetParameter,
    SetValidator,
    SuspendMember,
    Vote,
    proposal_id,
)
from vervain.ledger.modules.identity.messages import (
    ActorKind,
    CloseActor,
    Custody,
    IssueLicence,
    LicenceReason,
    ReinstateLicence,
    RotationReason,
    SuspendLicence,
    WithdrawKey,
    WithdrawLicence,
    licence_id,
)
from vervain.ledger.primitives.codec import encode

Value = Any  # Any: what JSON may hold
Step = dict[str, Value]


class Story:
    """A chain whose transactions are written down as they happen."""

    def __init__(self) -> None:
        self.chain = SmallChain()
        self.steps: list[Step] = []

    def tell(self, name: str, signer: Party, *messages: Message, actor: bytes | None = None) -> None:
        """Run a transaction and note its entries, its outcome and the rows it left changed."""
        before = dict(self.chain.store.writes())
        outcome = self.chain.submit(signer, *messages, actor=actor)
        after = dict(self.chain.store.writes())
        changed = {key: value for key, value in after.items() if before.get(key) != value}
        entries = [encode(message).decode("ascii") for message in messages]
        self.steps.append(
            {
                "name": name,
                "actor": (actor or signer.id).hex(),
                "key": signer.key.hex(),
                "block_time": self.chain.time,
                "txid": self.chain.last_txid.hex(),
                "entries": entries,
                "entries_sha256": [sha256(entry.encode("ascii")).hexdigest() for entry in entries],
                "outcome": from_json(encode(outcome)),
                "rows": [_row(key, value) for key, value in sorted(changed.items())],
            }
        )

    def last_proposal(self) -> bytes:
        """Return the id of the proposal just made."""
        return proposal_id(self.chain.last_txid, 0)


def _row(stored_key: bytes, value: bytes | None) -> Step:
    table = CATALOGUE.tables[int.from_bytes(stored_key[:2], "big")]
    return {
        "table": table.name,
        "key": stored_key[2:].hex(),
        "row": None if value is None else value.decode("ascii"),
    }


def consortium() -> Story:
    """Every message and every change of the consortium, and two refusals."""
    story = Story()
    practice, tell = Party("practice"), story.tell
    tell(
        "a practice is admitted, hosted by the hospital",
        HOSPITAL,
        Propose(change=admission(practice, host=HOSPITAL.id)),
    )
    tell("it is admitted again: refused", HOSPITAL, Propose(change=admission(practice)))
    tell("it moves to the insurer", HOSPITAL, Propose(change=MoveMember(organisation=practice.id, host=INSURER.id)))
    tell("it is suspended", HOSPITAL, Propose(change=SuspendMember(organisation=practice.id)))
    tell("it is reinstated", HOSPITAL, Propose(change=ReinstateMember(organisation=practice.id)))
    tell("the insurer becomes a validator", HOSPITAL, Propose(change=validator(INSURER)))
    tell("one of two proposes a parameter", HOSPITAL, Propose(change=SetParameter(name="records_links_max", value=32)))
    parameter = story.last_proposal()
    tell("the other agrees", INSURER, Vote(proposal=parameter, approve=True))
    rules = PutRuleTable(name="retest", version=1, rows=(("HbA1c", "90"), ("CRP", "2")))
    tell("a rule table is proposed", INSURER, Propose(change=rules))
    rejected = story.last_proposal()
    tell("and rejected", HOSPITAL, Vote(proposal=rejected, approve=False))
    tell("and proposed by the hospital", HOSPITAL, Propose(change=rules))
    pending = story.last_proposal()
    tell("its votes decide nothing yet: refused", HOSPITAL, CountVotes(proposal=pending))
    tell("the insurer is to go", HOSPITAL, Propose(change=SetValidator(organisation=INSURER.id, power=0)))
    tell("and agrees", INSURER, Vote(proposal=story.last_proposal(), approve=True))
    tell("so the rule table's votes decide", HOSPITAL, CountVotes(proposal=pending))
    tell("the regulator leaves", REGULATOR, Leave())
    return story


def identity() -> Story:
    """Every message of identity, and two refusals."""
    story = Story()
    chain, tell = story.chain, story.tell
    doctor, nurse, she, he, maker = map(Party, ("doctor", "nurse", "she", "he", "maker"))
    doctors_new, his_own = Party("doctor's new"), Party("his own")
    tell("staff is registered", HOSPITAL, chain.registration(doctor), chain.registration(nurse))
    own = chain.registration(she, ActorKind.PATIENT, custody=Custody.SELF)
    tell("a patient with her own key, by the doctor", doctor, own)
    tell(
        "a patient whose key the hospital keeps",
        HOSPITAL,
        chain.registration(he, ActorKind.PATIENT, custody=Custody.INSTITUTION),
    )
    tell("the same key again: refused", HOSPITAL, own)
    tell("a registration made for the insurer: refused", HOSPITAL, chain.registration(maker, sponsor=INSURER))
    tell("a maker is admitted", HOSPITAL, Propose(change=admission(maker)))
    tell("and its keys are registered", HOSPITAL, chain.registration(maker, ActorKind.ORGANISATION))
    tell("the doctor's key is rotated", doctor, chain.rotation(doctor.id, doctors_new, RotationReason.DEVICE_CHANGED))
    adoption = chain.rotation(he.id, his_own, RotationReason.ADOPTED, actor=he.id, custody=Custody.SELF)
    tell("he takes over his key", HOSPITAL, adoption)
    tell(
        "the doctor's old key was compromised",
        doctors_new,
        WithdrawKey(key=doctor.key, compromised_since=chain.time - 2),
        actor=doctor.id,
    )
    tell("the nurse's key is withdrawn", HOSPITAL, WithdrawKey(key=nurse.key))
    licence = IssueLicence(
        holder=doctor.id, profession="physician", valid_from=chain.time, valid_until=chain.time + 31_536_000
    )
    tell("the doctor is licensed", REGULATOR, licence)
    issued = licence_id(chain.last_txid, 0)
    tell("suspended", REGULATOR, SuspendLicence(licence=issued, reason=LicenceReason.UNDER_INVESTIGATION))
    tell("reinstated", REGULATOR, ReinstateLicence(licence=issued))
    tell("withdrawn", REGULATOR, WithdrawLicence(licence=issued, reason=LicenceReason.NOT_RENEWED))
    tell("her pseudonym is closed", she, CloseActor())
    return story


STORIES: dict[str, Callable[[], Story]] = {"consortium": consortium, "identity": identity}


def vectors(name: str) -> str:
    """Return a module's vectors as they are kept in the file."""
    story = STORIES[name]()
    whole = {
        "about": "genesis, then transactions, one block each: canonical entries, outcome, rows as they are afterwards",
        "chain": story.chain.name,
        "genesis": story.chain.content.decode("ascii"),
        "steps": story.steps,
    }
    return json.dumps(whole, indent=1, ensure_ascii=True)


if __name__ == "__main__":
    print(vectors(sys.argv[1]))
