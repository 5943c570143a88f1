# SPDX-License-Identifier: Apache-2.0
"""Questions of every name, to replicas that are at the same height: they must answer or refuse alike."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.simulation.generator import Generator
from tests.simulation.replica import Replica
from tests.simulation.witness import require
from vervain.ledger.machine.refusals import Refusal
from vervain.ledger.modules.consent.messages import Purpose
from vervain.ledger.modules.consent.queries import newest_access
from vervain.ledger.modules.records.queries import newest_record
from vervain.ledger.primitives.codec import encode

Arguments = dict[str, Any]


def _actor(g: Generator) -> bytes:
    return g.pick([*g.known.organisations, *g.known.staff, *g.known.patients]) or g.digest()


def _or_none(g: Generator, among: Sequence[bytes]) -> bytes:
    """Return one of `among`, or now and then something unknown."""
    return (g.pick(among) if g.chance.random() < 0.7 else None) or g.digest()


def _page(g: Generator, newest: int, name: str, count: str = "count") -> Arguments:
    return {name: g.chance.randint(1, newest + 2), count: g.chance.randint(1, 20)}


QUESTIONS: Final[tuple[tuple[str, Callable[[Generator], Arguments]], ...]] = (
    ("consortium.member", lambda g: {"organisation": _or_none(g, g.known.members)}),
    ("consortium.members", lambda g: {"after": _or_none(g, g.known.members), "limit": g.chance.randint(1, 4)}),
    ("consortium.validators", lambda g: {}),
    ("consortium.parameter", lambda g: {"name": g.chance.choice(("records_links_max", "weather"))}),
    ("consortium.rule_table", lambda g: {"name": g.chance.choice(("retest", "prices", "weather"))}),
    ("consortium.rule_table", lambda g: {"name": "retest", "version": g.chance.randint(1, 3)}),
    ("consortium.proposal", lambda g: {"proposal": _or_none(g, g.known.proposals)}),
    ("identity.actor", lambda g: {"actor": _actor(g)}),
    ("identity.key", lambda g: {"key": _or_none(g, g.known.old_keys)}),
    ("identity.licence", lambda g: {"licence": _or_none(g, g.known.licences)}),
    ("identity.licence_at", lambda g: {"licence": _or_none(g, g.known.licences), "time": g.now - 100}),
    ("identity.licences", lambda g: {"holder": _or_none(g, g.known.staff)}),
    ("consent.consent", lambda g: {"consent": _or_none(g, [*g.known.grants, *g.known.denials])}),
    (
        "consent.decide",
        lambda g: {
            "grant": _or_none(g, [*g.known.grants, *g.known.denials]),
            "purpose": g.chance.choice(list(Purpose)),
            "time": g.now + g.chance.choice((-10_000, 0, 10_000)),
        },
    ),
    ("consent.access", lambda g: {"access": g.chance.randint(1, newest_access(g.store) + 2)}),
    ("consent.accesses", lambda g: _page(g, newest_access(g.store), "first")),
    ("consent.anchor", lambda g: {"custodian": _or_none(g, g.known.organisations)}),
    ("records.record", lambda g: {"record": g.chance.randint(1, newest_record(g.store) + 2)}),
    ("records.version_chain", lambda g: _page(g, newest_record(g.store), "record") | {"newer": True}),
    ("records.newest", lambda g: {}),
    ("weather.today", lambda g: {}),
    ("records.newest", lambda g: {"colour": "red"}),
)
"""Names and how arguments are made; the last two are refused by the machine."""


def ask(generator: Generator, replicas: Sequence[Replica]) -> Counter[int]:
    """Ask one question; return the code when it was refused."""
    name, arguments = generator.chance.choice(QUESTIONS)
    encoded = encode(arguments(generator))
    answers = [_answer(replica, name, encoded) for replica in replicas]
    require(all(answer == answers[0] for answer in answers), f"two replicas answer {name} differently")
    return Counter([answer for answer in answers[:1] if isinstance(answer, int)])


def _answer(replica: Replica, name: str, arguments: bytes) -> bytes | int:
    with replica.mutation():
        try:
            return replica.running.query(name, arguments, replica.state.memory)
        except Refusal as refusal:
            return int(refusal.reason)
