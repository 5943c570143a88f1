# SPDX-License-Identifier: Apache-2.0
"""Planted leaks: builds that are wrong on purpose. An attacker that does not find them proves nothing.

Each leak alters the real importer, desk or wallet while a chain is made, and puts everything back after.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import msgspec

from vervain.gateways.fhir import importing
from vervain.sdk import wallet as wallet_module
from vervain.sealing import derivation


class Leak(StrEnum):
    """What is wrong with a build."""

    NONE = "none"  # the honest build
    NAME = "name"  # master secrets are SHA-256 of name and birth date
    ORDER = "order"  # patients are registered and records committed in the order of the files
    CATEGORY_SECRET = "category-secret"  # one category secret for all of a patient's relationships
    CARELESS = "careless"  # names and order at once: for both kinds of attack
    READER_KEY = "reader-key"  # a reader has its keys wrapped to one X25519 key for all of a patient's grants


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who a made-up patient is."""

    subject: str
    given: str
    family: str
    born: str


def name_secret(given: str, family: str, born: str) -> bytes:
    """Return the master secret of the build that derives it from who the patient is."""
    return sha256(f"{given} {family}|{born}".encode()).digest()


@contextmanager
def planted(leak: Leak, people: Mapping[str, Person]) -> Iterator[None]:
    """Run what is inside with a leak. `Leak.READER_KEY` is the readers' own fault: `chain.py` carries it out.

    A reader's *signing* key cannot be used twice: the ledger refuses the second grant.
    """
    with ExitStack() as wrong:
        if leak in (Leak.NAME, Leak.CARELESS):
            wrong.enter_context(_name_derived(people))
        if leak in (Leak.ORDER, Leak.CARELESS):
            wrong.enter_context(_unshuffled())
        if leak is Leak.CATEGORY_SECRET:
            wrong.enter_context(_one_category_secret())
        yield


@contextmanager
def _unshuffled() -> Iterator[None]:
    still = SimpleNamespace(shuffle=lambda items: None)
    with patch.object(secrets, "SystemRandom", lambda: still):
        yield


@contextmanager
def _one_category_secret() -> Iterator[None]:
    everywhere = bytes(derivation.COUNTERPARTY_BYTES)
    with patch.object(
        wallet_module, "category_secret", lambda master, _: derivation.category_secret(master, everywhere)
    ):
        yield


@contextmanager
def _name_derived(people: Mapping[str, Person]) -> Iterator[None]:
    honest: Callable[[Any, str, bytes], bytes] = importing.Importer._pseudonym  # Any: the importer itself

    def pseudonym(importer: Any, subject: str, organisation: bytes) -> bytes:
        person = people[subject]
        master = name_secret(person.given, person.family, person.born)
        with patch.object(wallet_module, "new_master", lambda: master):
            return honest(importer, subject, organisation)

    with patch.object(importing.Importer, "_pseudonym", pseudonym):
        yield
