# SPDX-License-Identifier: Apache-2.0
"""Hosted members have a quota: only what their own keys sign counts, and nobody else is limited."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.native_api.running import Running, in_memory, registration
from vervain.gateways.native.problems import OVER_QUOTA
from vervain.ledger.machine.refusals import MachineReason
from vervain.ledger.modules.consortium.messages import AdmitMember, Propose, Role
from vervain.ledger.modules.identity.messages import ActorKind
from vervain.node.config import HostedSettings
from vervain.node.hosting import HostingQuotas
from vervain.node.token_bucket import TokenBucket
from vervain.sdk.client import Client
from vervain.sdk.contract import BulkAnswer
from vervain.sealing.keys import SigningKey

PER_MINUTE = 5


class Clock:
    """Seconds that stand still until they are moved."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


Hosting = tuple[Running, SigningKey, Clock]


def _admit(running: Running, key: SigningKey) -> None:
    """Admit a small member that the node hosts, and register its keys."""
    admitted = AdmitMember(
        organisation=key.actor, roles=(Role.PRACTICE,), register_entry="GLN 2", host=running.organisation
    )
    with running.client() as client:
        client.submit(Propose(change=admitted))
        client.submit(registration(running, key, ActorKind.ORGANISATION))


@pytest.fixture
def hosting(root: Path) -> Iterator[Hosting]:
    """A node with one hosted member, its key, and the quotas' clock."""
    key, clock = SigningKey.generate(), Clock()
    with in_memory(
        root, hosted=(HostedSettings(organisation=key.actor, submissions_per_minute=PER_MINUTE),)
    ) as running:
        gateway = running.app.state.native
        gateway.quotas = HostingQuotas(running.node.settings.hosted, gateway.catalogue, clock=clock)
        _admit(running, key)
        yield running, key, clock


def _codes(client: Client, lines: list[bytes]) -> list[int]:
    answers: list[BulkAnswer] = client.submit_many(lines)
    return [answer.code for answer in answers]


def test_quota_limits_a_hosted_member_and_nobody_else(hosting: Hosting) -> None:
    """
    Given a hosted member with five transactions a minute.
    When it hands in eight and its host eight more, then waits until two fit again.
    Then five of it are applied, all of the host's are, and after the wait two more.
    """
    running, key, clock = hosting
    with running.client() as client:
        lines = [running.signed(key=key, subject=key.actor) for _ in range(8)]
        codes = _codes(client, lines + [running.signed() for _ in range(8)])
        clock.now += 2 * 60 / PER_MINUTE
        later = _codes(client, lines)
    pool_full = int(MachineReason.POOL_FULL)
    assert codes == [0] * 5 + [pool_full] * 3 + [0] * 8
    assert later == [0] * 7 + [pool_full]


def test_single_submission_over_quota_is_told_when_to_come_back(hosting: Hosting) -> None:
    """
    Given a hosted member that has used up its quota.
    When it hands in one more.
    Then the problem says over quota, with the seconds to wait, and the log has not grown.
    """
    running, key, _ = hosting
    with running.client() as client, running.http() as http:
        _codes(client, [running.signed(key=key, subject=key.actor) for _ in range(PER_MINUTE)])
        size = client.head().log_size
        content, headers = running.signed(key=key, subject=key.actor), {"Content-Type": "application/json"}
        answer = http.post("/v1/transactions", content=content, headers=headers)
        assert client.head().log_size == size
    assert (answer.status_code, answer.json()["type"]) == (429, f"/v1/problems#{OVER_QUOTA.name}")
    assert answer.headers["retry-after"] == str(60 // PER_MINUTE)


def test_forged_and_repeated_bytes_use_up_nobodys_quota(hosting: Hosting) -> None:
    """
    Given a hosted member, and somebody who sends forgeries in its name and repeats what it sent.
    When the member then hands in as many as its quota allows.
    Then all are applied.
    """
    running, key, _ = hosting
    with running.client() as client:
        first = running.signed(key=key, subject=key.actor)
        forged = running.signed(key=key, subject=key.actor)
        at = forged.rindex(b'"signature":"') + len(b'"signature":"')
        forged = forged[:at] + (b"B" if forged[at : at + 1] == b"A" else b"A") + forged[at + 1 :]
        codes = _codes(client, [first])
        codes += _codes(client, [forged] * 20 + [first] * 20 + [b"{" + first] * 3)
        last = _codes(client, [running.signed(key=key, subject=key.actor) for _ in range(PER_MINUTE - 1)])
    bad, form = int(MachineReason.BAD_SIGNATURE), int(MachineReason.NOT_CANONICAL)
    assert codes == [0] + [bad] * 20 + [0] * 20 + [form] * 3
    assert last == [0] * (PER_MINUTE - 1)


def test_old_and_copied_transactions_use_up_nobodys_quota(hosting: Hosting) -> None:
    """
    Given a hosted member, and somebody who sends an expired transaction of it, and one of its new ones many times.
    When the member then hands in what is left of its quota.
    Then all are applied: what expired does not count, and a copy in one request counts once.
    """
    running, key, _ = hosting
    with running.client() as client:
        old = running.signed(key=key, subject=key.actor, expires_in_seconds=-60)
        fresh = running.signed(key=key, subject=key.actor)
        codes = _codes(client, [old] * 20 + [fresh] * 20)
        last = _codes(client, [running.signed(key=key, subject=key.actor) for _ in range(PER_MINUTE - 1)])
    assert codes == [int(MachineReason.EXPIRED)] * 20 + [0] * 20
    assert last == [0] * (PER_MINUTE - 1)


def test_bucket_saves_up_one_minute_at_most() -> None:
    """
    Given a bucket of two tokens a minute that rested for an hour, and whose clock once went back.
    When tokens are taken.
    Then there are two, and the third comes after half a minute.
    """
    bucket = TokenBucket(2, now=0.0)
    assert [bucket.take(3_600.0), bucket.take(3_590.0), bucket.take(3_590.0)] == [0.0, 0.0, 30.0]
