# SPDX-License-Identifier: Apache-2.0
"""The dictionary attack: a million names with birth dates, hashed in all usual ways, against every value of the chain.

1. Written in the usual ways (`FORMS`), plainly hashed (`HASHES`), salted with the chain's name or an organisation's id,
   or keyed with them; each against all 32-byte values.
2. As a seed: SHA-256 of a form as an Ed25519 seed, and as the master secret of a wallet, at one organisation.

The made-up patients' own names and birth dates are in the dictionary: a build that derives anything from them is found.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from random import Random
from typing import Final

from benchmarks.attacks.agreed import AgreedView
from benchmarks.attacks.chain import Truth
from benchmarks.attacks.leaks import Person
from benchmarks.attacks.verdict import Verdict
from vervain.ledger.primitives.hashing import actor_id
from vervain.sealing.derivation import relationship_keys
from vervain.sealing.keys import SigningKey

_FIRST_DAY: Final = date(1925, 1, 1)
_DAYS: Final = 100 * 365
_SYLLABLES: Final = "an bel cor da el fi gar ha iv jo ka lin mar no ol per qui ro sa to ul vi wen xa yor zi".split()

FORMS: Final[tuple[Callable[[Person], str], ...]] = (
    lambda person: f"{person.given} {person.family}|{person.born}",
    lambda person: f"{person.given} {person.family} {person.born}",
    lambda person: f"{person.family},{person.given},{person.born}".lower(),
    lambda person: f"{person.given}{person.family}{person.born.replace('-', '')}".upper(),
    lambda person: f"{person.given} {person.family}",
)
"""How people write a name and a birth date before they hash it."""

HASHES: Final[tuple[Callable[[bytes], bytes], ...]] = (
    lambda text: hashlib.sha256(text).digest(),
    lambda text: hashlib.sha256(hashlib.sha256(text).digest()).digest(),
    lambda text: hashlib.sha256(hashlib.sha256(text).hexdigest().encode()).digest(),
    lambda text: hashlib.sha512(text).digest()[:32],
    lambda text: hashlib.sha3_256(text).digest(),
    lambda text: hashlib.blake2b(text, digest_size=32).digest(),
    lambda text: hashlib.blake2s(text).digest(),
    lambda text: hashlib.md5(text, usedforsecurity=False).hexdigest().encode(),  # 32 characters are 32 bytes
)


def names(count: int, truth: Truth, *, seed: int = 0) -> Iterator[Person]:
    """Yield `count` people: the made-up patients first, then invented ones."""
    yield from truth.people[:count]
    chance = Random(seed)
    for number in range(count - len(truth.people)):
        given, family = ("".join(chance.choices(_SYLLABLES, k=2)).title() for _ in range(2))
        born = _FIRST_DAY + timedelta(days=chance.randrange(_DAYS))
        yield Person(subject=f"invented {number}", given=given, family=family, born=born.isoformat())


def find_people(view: AgreedView, people: Iterator[Person]) -> set[str]:
    """Return the `subject` of everybody in the dictionary to whom a value of the chain leads."""
    values, organisations = view.values, sorted(view.organisations)
    salts = [view.chain.encode(), *organisations, *(each.hex().encode() for each in organisations)]
    return {
        person.subject
        for person in people
        if any(guess in values for guess in _guesses([form(person).encode() for form in FORMS], salts))
        or any(guess in values for guess in _seeded(FORMS[0](person).encode(), organisations))
    }


def dictionary_attack(view: AgreedView, truth: Truth, count: int) -> Verdict:
    """Look for the made-up patients among `count` names; finding one of them by chance is impossible."""
    patients = {person.subject for person in truth.people}
    found = find_people(view, names(count, truth))
    return Verdict(attack=f"dictionary of {count} names", correct=len(found & patients), trials=len(patients), base=0.0)


def _guesses(texts: Sequence[bytes], salts: Sequence[bytes]) -> Iterator[bytes]:
    for text in texts:
        for hashed in HASHES:
            yield hashed(text)
        for salt in salts:
            yield hashlib.sha256(salt + text).digest()
            yield hashlib.sha256(text + salt).digest()
            yield hmac.digest(salt, text, "sha256")


def _seeded(text: bytes, organisations: Sequence[bytes]) -> Iterator[bytes]:
    seed = hashlib.sha256(text).digest()
    key = SigningKey(seed).public_key
    yield key
    yield actor_id(key)
    if organisations:
        keys = relationship_keys(seed, organisations[0])
        yield keys.signing.public_key
