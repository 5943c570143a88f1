# SPDX-License-Identifier: Apache-2.0
"""What can be read of identity, as answered by name, and as other modules and the machine read it."""

import msgspec
import pytest

from tests.small_chain import HOSPITAL, INSURER, REGULATOR, Party, SmallChain
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.context import Context
from vervain.ledger.machine.refusals import Forbidden, NotFound
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium.messages import Propose, SuspendMember
from vervain.ledger.modules.identity import queries
from vervain.ledger.modules.identity.messages import (
    ActorKind,
    Custody,
    IdentityReason,
    IssueLicence,
    LicenceReason,
    LicenceStatus,
    SuspendLicence,
    licence_id,
)
from vervain.ledger.modules.identity.queries import (
    ActorArguments,
    HolderArguments,
    KeyArguments,
    LicenceAnswer,
    LicenceArguments,
    LicenceAtAnswer,
    LicenceAtArguments,
    LicenceEntry,
    LicencesAnswer,
)
from vervain.ledger.modules.identity.state import ACTORS, KEYS, LICENCES, LicenceChange

DOCTOR, SHE = Party("doctor"), Party("she")


@pytest.fixture
def ward(chain: SmallChain) -> SmallChain:
    """The chain with a doctor and a patient of the hospital, and a licence of the doctor."""
    chain.submit(HOSPITAL, chain.registration(DOCTOR), chain.registration(SHE, ActorKind.PATIENT, custody=Custody.SELF))
    licence = IssueLicence(
        holder=DOCTOR.id, profession="physician", valid_from=chain.time, valid_until=chain.time + 1_000
    )
    chain.submit(REGULATOR, licence)
    return chain


def ask(chain: SmallChain, name: str, arguments: msgspec.Struct) -> msgspec.Struct:
    """Ask by name, as the application does."""
    query = CATALOGUE.queries[name]
    assert isinstance(arguments, query.arguments)
    return query.answer(chain.store, arguments)


def test_actor_and_key_are_answered(ward: SmallChain) -> None:
    """
    Given a doctor.
    When actor and key are asked for.
    Then their rows are the answers.
    """
    assert ask(ward, "identity.actor", ActorArguments(actor=DOCTOR.id)) == ward.row(ACTORS, DOCTOR.id)
    assert ask(ward, "identity.key", KeyArguments(key=DOCTOR.key)) == ward.row(KEYS, DOCTOR.key)


def test_licences_are_answered(ward: SmallChain) -> None:
    """
    Given a licence that was suspended after its issue.
    When it, its validity at two times, and the holder's licences are asked for.
    Then the answers hold the row, both changes, valid then and not now, and the one entry.
    """
    licence, issued_at = licence_id(ward.last_txid, 0), ward.time
    ward.submit(REGULATOR, SuspendLicence(licence=licence, reason=LicenceReason.HOLDER_REQUEST))
    row = ward.row(LICENCES, licence)
    assert row is not None
    assert ask(ward, "identity.licence", LicenceArguments(licence=licence)) == LicenceAnswer(
        licence=row,
        changes=(
            LicenceChange(status=LicenceStatus.VALID, changed_at=issued_at),
            LicenceChange(
                status=LicenceStatus.SUSPENDED, changed_at=issued_at + 1, reason=LicenceReason.HOLDER_REQUEST
            ),
        ),
    )
    answers = [
        ask(ward, "identity.licence_at", LicenceAtArguments(licence=licence, time=time))
        for time in (issued_at, issued_at + 1)
    ]
    assert answers == [
        LicenceAtAnswer(is_valid=True, holder=DOCTOR.id, profession="physician"),
        LicenceAtAnswer(is_valid=False, holder=DOCTOR.id, profession="physician"),
    ]
    assert ask(ward, "identity.licences", HolderArguments(holder=DOCTOR.id)) == LicencesAnswer(
        licences=(LicenceEntry(id=licence, licence=row),)
    )
    assert ask(ward, "identity.licences", HolderArguments(holder=SHE.id)) == LicencesAnswer(licences=())


UNKNOWN = {
    "actor": ("identity.actor", ActorArguments(actor=bytes(32)), IdentityReason.NO_SUCH_ACTOR),
    "key": ("identity.key", KeyArguments(key=bytes(32)), IdentityReason.NO_SUCH_KEY),
    "licence": ("identity.licence", LicenceArguments(licence=bytes(32)), IdentityReason.NO_SUCH_LICENCE),
    "licence_at": (
        "identity.licence_at",
        LicenceAtArguments(licence=bytes(32), time=0),
        IdentityReason.NO_SUCH_LICENCE,
    ),
}


@pytest.mark.parametrize(("name", "arguments", "reason"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_question_refused_when_nothing_is_there(
    ward: SmallChain, name: str, arguments: msgspec.Struct, reason: IdentityReason
) -> None:
    """
    Given a chain.
    When something that is not there is asked for.
    Then NotFound with the reason that names what is missing.
    """
    with pytest.raises(NotFound) as caught:
        ask(ward, name, arguments)
    assert caught.value.reason is reason


def context_of(chain: SmallChain, party: Party, organisation: Party) -> Context:
    """Return what a rule sees when `party` signs."""
    return Context(
        chain=chain.name,
        actor=party.id,
        organisation=organisation.id,
        key=party.key,
        txid=bytes(32),
        height=1,
        block_time=chain.time,
        store=chain.store,
    )


def test_who_acts_for_an_organisation(ward: SmallChain) -> None:
    """
    Given a hospital, its doctor, its patient, and an insurer.
    When each is asked whether it acts for the hospital.
    Then the hospital and its doctor do, the others are refused with the reason that was named.
    """
    signers = ((HOSPITAL, HOSPITAL), (DOCTOR, HOSPITAL), (SHE, HOSPITAL), (INSURER, INSURER))
    contexts = [context_of(ward, *signer) for signer in signers]
    assert [queries.acts_for(context, HOSPITAL.id) for context in contexts] == [True, True, False, False]
    reason = IdentityReason.NOT_A_MEMBER
    for context in contexts[:2]:
        queries.require_acts_for(context, HOSPITAL.id, reason)
    for context in contexts[2:]:
        with pytest.raises(Forbidden) as caught:
            queries.require_acts_for(context, HOSPITAL.id, reason)
        assert caught.value.reason is reason


def test_key_that_was_replaced_is_withdrawn_and_no_other(ward: SmallChain) -> None:
    """
    Given a doctor's key, one that replaced it, one that nobody registered, and a suspended insurer's.
    When each is asked for.
    Then only the replaced one is withdrawn: the others count, or may count one day.
    """
    new = Party("new")
    keys = (DOCTOR.key, new.key, INSURER.key)
    assert [queries.is_withdrawn(ward.store, key) for key in keys] == [False] * 3
    ward.submit(DOCTOR, ward.rotation(DOCTOR.id, new))
    ward.submit(HOSPITAL, Propose(change=SuspendMember(organisation=INSURER.id)))
    assert queries.organisation_of_active_key(ward.store, INSURER.id, INSURER.key) is None
    assert [queries.is_withdrawn(ward.store, key) for key in keys] == [True, False, False]


def test_who_is_staff(ward: SmallChain) -> None:
    """
    Given a doctor of the hospital and a patient.
    When it is asked whose staff they are.
    Then only the doctor is, and only the hospital's.
    """
    assert queries.is_staff_of(ward.store, DOCTOR.id, HOSPITAL.id)
    assert not queries.is_staff_of(ward.store, DOCTOR.id, INSURER.id)
    assert not queries.is_staff_of(ward.store, SHE.id, HOSPITAL.id)
    assert not queries.is_staff_of(ward.store, bytes(32), HOSPITAL.id)


def test_actor_is_found_or_refused(ward: SmallChain) -> None:
    """
    Given a patient.
    When she, and nobody, is looked up.
    Then her row is found, nobody is None, and requiring nobody is refused.
    """
    assert queries.actor(ward.store, SHE.id) == queries.require_actor(ward.store, SHE.id) == ward.row(ACTORS, SHE.id)
    assert queries.actor(ward.store, bytes(32)) is None
    with pytest.raises(NotFound) as caught:
        queries.require_actor(ward.store, bytes(32))
    assert caught.value.reason is IdentityReason.NO_SUCH_ACTOR


class CountingState:
    """Committed rows that count how often they are read."""

    def __init__(self, chain: SmallChain) -> None:
        self.rows, self.reads = dict(chain.store.writes()), 0

    def get(self, key: bytes) -> bytes | None:
        """Return a row."""
        self.reads += 1
        return self.rows.get(key)

    def range(self, start: bytes, stop: bytes) -> "msgspec.UnsetType":
        """Admission looks nothing up by range."""
        raise AssertionError("admission read a range")


@pytest.mark.parametrize(("party", "reads"), [(SHE, 1), (DOCTOR, 2), (HOSPITAL, 2)])
def test_admission_reads_one_row_or_two(ward: SmallChain, party: Party, reads: int) -> None:
    """
    Given a patient with her own key, a doctor and a hospital.
    When admission asks for the organisation of their keys.
    Then it reads one row for the patient, and also the member's for the others.
    """
    state = CountingState(ward)
    store = Store(state)  # type: ignore[arg-type]  # it has no ranges
    assert queries.organisation_of_active_key(store, party.id, party.key) == HOSPITAL.id
    assert state.reads == reads
