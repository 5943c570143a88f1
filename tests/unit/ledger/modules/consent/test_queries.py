# SPDX-License-Identifier: Apache-2.0
"""Questions about consent: their answers, pages and refusals, over their canonical bytes."""

import msgspec
import pytest

from tests.unit.ledger.modules.consent.forms import PSY, denial_form, give, grant_form, request_form
from tests.unit.ledger.modules.ward import FOUNDED_AT, NORTH, SHE, SOUTH, Ward, digest
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.refusals import NotFound
from vervain.ledger.modules.consent import queries
from vervain.ledger.modules.consent.messages import AnchorAccesses, ConsentReason, Decision, Purpose
from vervain.ledger.modules.consent.queries import (
    AccessArguments,
    Accesses,
    AccessesArguments,
    AnchorAnswer,
    AnchorArguments,
    ConsentArguments,
    DecideArguments,
)
from vervain.ledger.modules.consent.state import Anchor
from vervain.ledger.primitives.codec import NotCanonical, decode, encode

NOWHERE = digest("no such consent")


@pytest.fixture
def ward() -> Ward:
    """A founded ledger."""
    return Ward()


def ask(ward: Ward, name: str, arguments: msgspec.Struct) -> msgspec.Struct:
    """Ask by name, with the arguments through their canonical bytes; the answer must be encodable."""
    query = CATALOGUE.queries[name]
    answer = query.answer(ward.store, decode(encode(arguments), query.arguments))
    assert decode(encode(answer), type(answer)) == answer
    return answer


def test_decide_answers_with_reason_and_decider(ward: Ward) -> None:
    """Given a grant and a denied category, when a decision is asked, then it says no, why, and by which consent."""
    grant, denial = give(ward, grant_form()), give(ward, denial_form(category=PSY))
    arguments = DecideArguments(grant=grant, purpose=Purpose.TREAT, categories=(PSY,), time=FOUNDED_AT)
    assert ask(ward, "consent.decide", arguments) == Decision(permit=False, reason=ConsentReason.DENIED, consent=denial)


def test_decide_answers_no_for_what_does_not_exist(ward: Ward) -> None:
    """Given no such consent, when a decision is asked, then it is no, not a refusal: the door must not differ."""
    arguments = DecideArguments(grant=NOWHERE, purpose=Purpose.TREAT, time=FOUNDED_AT)
    assert ask(ward, "consent.decide", arguments) == Decision(permit=False, reason=ConsentReason.NO_SUCH_CONSENT)


def test_decide_answers_no_for_a_denial(ward: Ward) -> None:
    """Given a denial's id, when it is used as a grant, then OTHER_KIND."""
    denial = give(ward, denial_form())
    arguments = DecideArguments(grant=denial, purpose=Purpose.TREAT, time=FOUNDED_AT)
    assert ask(ward, "consent.decide", arguments) == Decision(
        permit=False, reason=ConsentReason.OTHER_KIND, consent=denial
    )


def test_consent_and_access_are_answered_as_kept(ward: Ward) -> None:
    """Given a grant and a read, when they are asked for, then the answers are their rows."""
    grant = give(ward, grant_form())
    ward.run(SOUTH, request_form(ward, grant))
    assert ask(ward, "consent.consent", ConsentArguments(consent=grant)) == queries.consent(ward.store, grant)
    assert ask(ward, "consent.access", AccessArguments(access=1)) == queries.access(ward.store, 1)


def test_refused_when_there_is_none(ward: Ward) -> None:
    """Given nothing, when a consent or access is asked for, then NotFound with its reason."""
    with pytest.raises(NotFound) as refused:
        ask(ward, "consent.consent", ConsentArguments(consent=NOWHERE))
    assert refused.value.reason is ConsentReason.NO_SUCH_CONSENT
    with pytest.raises(NotFound) as refused:
        ask(ward, "consent.access", AccessArguments(access=1))
    assert refused.value.reason is ConsentReason.NO_SUCH_ACCESS


def test_accesses_come_in_pages(ward: Ward) -> None:
    """Given five accesses, when pages of two are asked for, then 1-2, 3-4, 5 and nothing."""
    grant = give(ward, grant_form())
    for number in range(5):
        ward.run(SOUTH, request_form(ward, grant, nonce=bytes([number] * 16)))
    rows = tuple(queries.access(ward.store, number) for number in range(1, 6))
    pages = [ask(ward, "consent.accesses", AccessesArguments(first=first, count=2)) for first in (1, 3, 5, 7)]
    assert pages == [
        Accesses(first=1, accesses=rows[0:2], newest=5),
        Accesses(first=3, accesses=rows[2:4], newest=5),
        Accesses(first=5, accesses=rows[4:], newest=5),
        Accesses(first=7, accesses=(), newest=5),
    ]


@pytest.mark.parametrize("count", [0, 1_001])
def test_page_refused_beyond_its_maximum(ward: Ward, count: int) -> None:
    """Given a page of none or of more than a thousand, when it is asked for, then it is not of the agreed form."""
    with pytest.raises(NotCanonical):
        ask(ward, "consent.accesses", AccessesArguments(first=1, count=count))


def test_anchor_says_where_the_next_one_starts(ward: Ward) -> None:
    """Given no anchor, then one of 1 to 7, when it is asked for, then next is 1, then 8."""
    arguments = AnchorArguments(custodian=ward.id(NORTH))
    assert ask(ward, "consent.anchor", arguments) == AnchorAnswer(next=1)
    ward.run(NORTH, AnchorAccesses(root=digest("root"), count=7, first=1, last=7))
    anchor = Anchor(root=digest("root"), first=1, last=7, anchored_at=FOUNDED_AT)
    assert ask(ward, "consent.anchor", arguments) == AnchorAnswer(next=8, anchor=anchor)


def test_a_decision_reads_a_bounded_number_of_rows(ward: Ward) -> None:
    """Given a grantor with thirty denials, when a decision is asked, then it reads no row more than its scopes."""
    grant = give(ward, grant_form())
    for number in range(30):
        give(ward, denial_form(category=digest("category", str(number))))
    reads: list[bytes] = []
    kept = ward.store.get

    class Counted:
        """The store, with each read noted."""

        def get(self, key: bytes) -> bytes | None:
            reads.append(key)
            return kept(key)

        range = ward.store.range

    decision = queries.decide(
        type(ward.store)(Counted()), grant=grant, purpose=Purpose.TREAT, categories=(PSY,), time=FOUNDED_AT
    )
    assert decision == Decision(permit=True, consent=grant)
    assert len(reads) == 3, "the grant, the grantor's counts, the category"
    assert ward.id(SHE) == queries.consent(ward.store, grant).grantor
