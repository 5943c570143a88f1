# SPDX-License-Identifier: Apache-2.0
"""`vervain demo`: the whole story on one machine, in under a minute, down to a receipt that a stranger verifies."""

import json
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from vervain.cli.output import Output, told
from vervain.cli.story import attacks, cast, sharing
from vervain.cli.story.cast import Cast
from vervain.ledger.modules.consent.messages import Purpose
from vervain.node.node import Node
from vervain.readmodel import queries
from vervain.sdk.wallet import Wallet
from vervain.sdk.wallet_file import OwnRecord
from vervain.sealing.receipts import EntryProof, format_receipt
from vervain.sealing.trust import read_trust

LINE_CHARACTERS: Final = 94  # of an attack's outcome, beside its margin
ANNA, BERGTAL, INSURER = "St Anna Hospital", "Bergtal Hospital", "Mutual Insurance"


def demo(
    *,
    out: Annotated[Path, Parameter(name="--out")] = Path("build/demo"),
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Run the whole story: care, agreement, questions, sharing, withdrawal, nine attacks, and a receipt for a
    stranger.

    Args:
        out: Where the receipt, the trust file and the document are written.
        as_json: One JSON object a line; the last is the summary.
    """
    output = Output(as_json=as_json)
    started = time.monotonic()
    with told(output), tempfile.TemporaryDirectory(prefix="vervain-demo-") as place:
        story = Story(output, Path(place), out)
        story.tell()
        shown = out.resolve()  # the command works from any folder
        output.both(
            f"\nDone in {time.monotonic() - started:.1f} s. Check it yourself, offline, with nothing but Python:\n"
            f"  python3 -I {Path(sys.modules['vervain'].__file__ or '').parent / 'verify.py'} {shown}/demo.receipt "
            f"--trust {shown}/demo.trust --document {shown}/demo.document.json",
            steps=story.steps,
            attacks=story.attacks,
            receipt=str(out / "demo.receipt"),
            trust=str(out / "demo.trust"),
            verified=story.verified,
            seconds=round(time.monotonic() - started, 1),
        )


class Story:
    """The story, step by step. Whatever is not as it must be raises, and so does an attack that succeeds."""

    def __init__(self, output: Output, place: Path, out: Path) -> None:
        self._output, self._place, self._out = output, place, out
        self.steps: list[str] = []
        self.attacks: list[dict[str, str]] = []
        self.verified = False

    def tell(self) -> None:
        """Tell all of it."""
        root = self._place / "node"
        operator = cast.found(root)
        with Node(root) as node:
            chain = node.chain
        with cast.outside_witnesses(root, self._place, chain, ("patients-union", "university")):
            with Node(root) as node:
                self._consortium(Cast(node, operator))
                self._care()
                self._agreement()
                self._questions()
                self._sharing()
                self._attack()
                self._receipt()
            self._attack_at_rest(root)
        self._stranger()

    def _step(self, name: str, title: str, **facts: Any) -> None:  # Any: whatever JSON can hold
        self.steps.append(name)
        self._output.say(f"\n{title}")
        self._output.record(step=name, **facts)

    # The consortium

    def _consortium(self, story: Cast) -> None:
        self._cast = story
        self._step("consortium", "0. A consortium is founded", chain=story.node.chain, members=len(cast.MEMBERS))
        story.admit_all()
        self._doctor = story.license_doctor()
        self._output.table(
            ("member", "what it is", "served by"),
            [
                (name, role.value, "its own node" if name == ANNA else f"{ANNA}'s node")
                for name, (role, _) in cast.MEMBERS.items()
            ],
        )
        self._output.say(
            "Each has keys of its own. A doctor of St Anna is registered and licensed by the regulator.\n"
            "Two outside witnesses run as processes of their own: patients-union, university."
        )

    # The four steps of the data flow

    def _care(self) -> None:
        with self._output.progress("Care is given, documents are sealed and committed to"):
            summary = self._cast.give_care(self._place / "bundles")
        self._patients = list(self._cast.importer.wallets.items())
        self._step(
            "care",
            f"1. Care is given to {len(self._patients)} patients at two hospitals and a laboratory",
            patients=len(self._patients),
            **msgspec.to_builtins(summary),
        )
        leaf = self._a_record_leaf()
        receipt = self._cast.node.receipt(leaf)
        assert isinstance(receipt.proof, EntryProof)
        entry = json.loads(bytes(receipt.proof.entry))
        self._output.say(
            f"{summary.committed} documents are encrypted in their custodians' vaults. "
            "What reached the ledger for one:\n"
            f"  {json.dumps(entry)}\n"
            "A pseudonym and a salted commitment: no name, no diagnosis, no type, no size, no date of care."
        )

    def _agreement(self) -> None:
        leaf = self._a_record_leaf()
        receipt = self._cast.node.receipt(leaf)
        encoded = format_receipt(receipt)
        signers = len(receipt.signatures)
        self._step(
            "agreement",
            "2. Each transaction is validated, uniquely identified, finalised and receipted",
            leaf=leaf,
            log_size=receipt.checkpoint.size,
            receipt_bytes=len(encoded),
            signatures=signers,
        )
        self._output.say(
            f"Log of {receipt.checkpoint.size} leaves; leaf {leaf} has a receipt of {len(encoded):,} bytes, "
            f"signed by the node and {signers - 1} outside witnesses."
        )

    def _questions(self) -> None:
        node = self._cast.node
        node.read_model.catch_up()
        engine = node.read_model.engine
        statistics = queries.statistics(engine)
        counts = ", ".join(f"{count} {name}" for name, count in statistics.items())
        rows = {
            name: len(queries.records_of(engine, custodian=self._cast.members[name]))
            for name in (ANNA, BERGTAL, "Central Laboratory", INSURER)
        }
        self._step("questions", "3. Organisations ask the ledger directly", statistics=statistics, own_records=rows)
        self._output.table(
            ("who asks", "what is answered"),
            [
                ("Institute of Public Health", f"counts only, none below {queries.STATISTICS_AT_LEAST}: {counts}"),
                (ANNA, f"commitments of its own {rows[ANNA]} records; their content from its own vault"),
                (BERGTAL, f"commitments of its own {rows[BERGTAL]} records; nothing of St Anna's patients opens"),
                (INSURER, f"its own {rows[INSURER]} records; it holds no key to anybody's document"),
                ("anyone with a receipt", "that this one statement was logged, and when"),
            ],
        )

    def _sharing(self) -> None:
        (_, self._anna), (_, self._ben) = self._patients[0], self._patients[1]
        at = self._cast.members[ANNA]
        self._patient_kem = self._anna.keys(at).kem.public_key
        own = [each for each in self._anna.records if each.counterparty == at]
        self._records = [each.record for each in own][:3]
        self._step("sharing", "4. A patient shares, sends, receives, sees who looked, and withdraws")
        self._share_with_hospital(own)
        self._share_with_insurer(own)
        self._send_to_another(own[0])
        self._who_looked()

    def _share_with_hospital(self, own: list[OwnRecord]) -> None:
        reader, _ = sharing.share(self._cast, self._anna, custodian=ANNA, reader=BERGTAL, purpose=Purpose.TREAT)
        documents, _, notice = sharing.read(
            self._cast, reader, self._records, purpose=Purpose.TREAT, patient_kem=self._patient_kem
        )
        told_patient = self._anna.read_notice(self._cast.members[ANNA], notice, grant=reader.given.consent)
        assert told_patient.organisation == self._cast.members[BERGTAL]
        assert [each.record for each in documents] == sorted(self._records)
        self._hospital = reader
        self._output.record(shared_with=BERGTAL, purpose="TREAT", read=len(documents), own=len(own))
        self._output.say(
            f"With {BERGTAL}, for treatment: {len(documents)} documents read; each key was released only after the\n"
            "request was final on the ledger, and a notice sealed to the patient names the reader."
        )

    def _share_with_insurer(self, own: list[OwnRecord]) -> None:
        desk = self._cast.desk(ANNA)
        category = next(c for each in own if (c := desk.vault.of_record(each.record).category) == "encounters")
        reader, _ = sharing.share(
            self._cast, self._anna, custodian=ANNA, reader=INSURER, purpose=Purpose.HPAYMT, categories=[category]
        )
        asked = [each.record for each in own]
        documents, _, _ = sharing.read(self._cast, reader, asked, purpose=Purpose.HPAYMT, patient_kem=self._patient_kem)
        assert {each.resource_type for each in documents} == {"Encounter"}
        self._insurer = reader
        self._output.record(
            shared_with=INSURER, purpose="HPAYMT", category=category, read=len(documents), asked=len(asked)
        )
        self._output.say(
            f"With {INSURER}, for payment, encounters only: it asked for all {len(asked)} records and got the keys of "
            f"{len(documents)} encounters;\nit does not learn which others exist."
        )

    def _send_to_another(self, own: OwnRecord) -> None:
        receipt = self._receipt_of(own)
        desk = self._cast.desk(ANNA)
        to = self._cast.members[ANNA]
        parcel = self._anna.send_record(
            own,
            ciphertext=desk.vault.ciphertext(desk.vault.of_record(own.record).document),
            receipt=receipt,
            recipient=self._ben.keys(to).kem.public_key,
        )
        trust = read_trust(self._cast.node.trust_file())
        verified = self._ben.receive(to, parcel, trust, now=self._cast.now)
        back = self._a_record_of(self._ben)
        returned = self._ben.send_record(
            back,
            ciphertext=desk.vault.ciphertext(desk.vault.of_record(back.record).document),
            receipt=self._receipt_of(back),
            recipient=self._anna.keys(to).kem.public_key,
        )
        self._anna.receive(to, returned, trust, now=self._cast.now)
        self._output.record(sent=1, received=len(self._anna.received), parcel_bytes=len(parcel))
        self._output.say(
            f"To another patient: one record as a sealed parcel of {len(parcel):,} bytes; the receiver checked "
            f"document, opening and receipt\n(logged in block {verified.height}); and one came back. "
            "No institution was asked."
        )

    def _who_looked(self) -> None:
        node = self._cast.node
        node.read_model.catch_up()
        mine = tuple(each.actor for each in self._anna.relationships)
        looked = queries.accesses(node.read_model.engine, queries.AccessFilter(grantors=mine))
        names = {member: name for name, member in self._cast.members.items()}
        opened = {each.consent: names[each.opening.claim.organisation] for each in self._anna.grants}
        self._output.record(accesses=len(looked))
        self._output.table(
            ("who looked", "at", "for", "access number"),
            [(opened[each.consent], names[each.custodian], each.purpose, each.access) for each in looked],
            title="What the patient sees",
        )

    # Attacks

    def _attack(self) -> None:
        self._step("attacks", "5. The story attacks itself; every attack must fail")
        story, records = self._cast, self._records
        people = [_name_and_birth(path) for path in sorted((self._place / "bundles").iterdir())]
        self._note("guessing hash ids from a list of names", attacks.guess_hash_ids(story, people))
        without = attacks.read_without_a_grant(story, self._hospital, records, self._patient_kem)
        self._note("reading without a grant", without)
        late, again = attacks.read_after_withdrawal(story, self._anna, self._hospital, records, self._patient_kem)
        self._note("getting the key after the withdrawal", late)
        self._note("reading after the withdrawal", again)
        own = next(each for each in self._anna.records if each.record == records[0])
        stored = self._open(self._anna, own)
        trust = story.node.trust_file()
        self._note("altering a stored document", attacks.alter_a_document(self._receipt_of(own), trust, stored))
        replayed = story.node.block(story.node.head.height).transactions[0]
        self._note("replaying a transaction", attacks.replay_a_transaction(story, replayed))
        self._note(
            "showing a refused transaction as a fact",
            attacks.show_a_refused_one_as_a_fact(story, self._insurer, trust),
        )
        self._note("acting with another's key", attacks.act_with_another_key(story, self._anna, self._insurer))

    def _attack_at_rest(self, root: Path) -> None:
        self._note("altering a past block", attacks.alter_a_past_block(root, self._place))

    def _note(self, attack: str, how: str) -> None:
        self.attacks.append({"attack": attack, "failed": how})
        lines = textwrap.wrap(how, LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)
        self._output.both("\n      ".join((f"  {attack}", *lines)), attack=attack, failed=how)

    # The receipt for a stranger

    def _receipt(self) -> None:
        own = self._a_record_of(self._anna)
        self._out.mkdir(parents=True, exist_ok=True)
        (self._out / "demo.receipt").write_bytes(self._receipt_of(own))
        (self._out / "demo.trust").write_bytes(self._cast.node.trust_file())
        (self._out / "demo.document.json").write_bytes(self._open(self._anna, own))

    def _stranger(self) -> None:
        self._step("receipt", "6. A stranger checks one receipt, offline, with the standard library alone")
        verifier = Path(__file__).parent.parent / "verify.py"
        command = [sys.executable, "-I", str(verifier), str(self._out / "demo.receipt")]
        command += ["--trust", str(self._out / "demo.trust"), "--document", str(self._out / "demo.document.json")]
        told_stranger = subprocess.run(command, capture_output=True, text=True, check=False)
        self.verified = told_stranger.returncode == 0
        assert self.verified, told_stranger.stdout + told_stranger.stderr
        self._output.say(told_stranger.stdout.rstrip())

    # Parts

    def _a_record_leaf(self) -> int:
        engine = self._cast.node.read_model.engine
        self._cast.node.read_model.catch_up()
        return queries.records_of(engine, custodian=self._cast.members[ANNA])[0].leaf_index

    def _a_record_of(self, wallet: Wallet) -> OwnRecord:
        return next(each for each in wallet.records if each.counterparty == self._cast.members[ANNA])

    def _receipt_of(self, own: OwnRecord) -> bytes:
        """Return the receipt of a record, with the opening that only its patient and custodian have."""
        node = self._cast.node
        node.read_model.catch_up()
        row = queries.records_of(node.read_model.engine, subject=self._subject_of(own), after=own.record - 1, rows=1)[0]
        wallet = self._anna if own in self._anna.records else self._ben
        return format_receipt(node.receipts.of_entry(row.leaf_index, row.entry_index, wallet.opening(own)))

    def _subject_of(self, own: OwnRecord) -> bytes:
        return self._cast.desk(ANNA).vault.of_record(own.record).subject

    def _open(self, wallet: Wallet, own: OwnRecord) -> bytes:
        vault = self._cast.desk(ANNA).vault
        return wallet.open_record(own, vault.ciphertext(vault.of_record(own.record).document))


def _name_and_birth(bundle: Path) -> tuple[str, str]:
    resources = (entry["resource"] for entry in json.loads(bundle.read_bytes())["entry"])
    patient = next(each for each in resources if each["resourceType"] == "Patient")
    name = patient["name"][0]
    return " ".join([*name["given"], name["family"]]), patient["birthDate"]
