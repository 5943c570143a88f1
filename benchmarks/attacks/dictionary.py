# SPDX-License-Identifier: Apache-2.0
"""The dictionary attack: a million names with birth dates, hashed in all usual ways, against every value of the chain.

1. Written in the usual ways (`FORMS`), plainly hashed (`HASHES`), salted with the chain's name or an organisation's id,
   or keyed with them; each against all 32-byte values.
2. As a seed: SHA-256 of a form as an Ed25519 seed, and as the master secret of a wallet, at one organisation.

The made-up patients' own names and birth dates are in the dictionary: a build that derives anything from them is found.
"""

import hashlib
import hmac
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from random import Random
from typing import Final

import msgspec

from benchmarks.attacks.agreed import AgreedView
from benchmarks.attacks.chain import Truth
from benchmarks.attacks.leaks import Person
from benchmarks.attacks.verdict import Verdict
from vervain.ledger.primitives.hashing import actor_id
from vervain.sealing.derivation import relationship_keys
from vervain.sealing.keys import SigningKey

_FIRST_DAY: Final = date(1925, 1, 1)
_DAYS: Final = 100 * 365
_CHUNK: Final = 1_000  # names that one process takes at once
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


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What guesses are compared with: the chain's 32-byte values; and the salts and organisations that it shows."""

    values: frozenset[bytes]
    organisations: tuple[bytes, ...]
    salts: tuple[bytes, ...]

    def found_in(self, people: Sequence[Person]) -> set[str]:
        """Return the `subject` of everybody to whom a value of the chain leads."""
        return {person.subject for person in people if not self.values.isdisjoint(self._guesses(person))}

    def _guesses(self, person: Person) -> list[bytes]:
        texts = [form(person).encode() for form in FORMS]
        guesses = [hashed(text) for text in texts for hashed in HASHES]
        sha256, keyed = hashlib.sha256, hmac.digest
        for salt in self.salts:
            guesses += [sha256(salt + text).digest() for text in texts]
            guesses += [sha256(text + salt).digest() for text in texts]
            guesses += [keyed(salt, text, "sha256") for text in texts]
        return guesses + self._seeded(texts[0])

    def _seeded(self, text: bytes) -> list[bytes]:
        seed = hashlib.sha256(text).digest()
        key = SigningKey(seed).public_key
        masters = [relationship_keys(seed, each).signing.public_key for each in self.organisations[:1]]
        return [key, actor_id(key), *masters]


def target_of(view: AgreedView) -> Target:
    """Return what a whole chain gives to compare with."""
    organisations = tuple(sorted(view.organisations))
    salts = (view.chain.encode(), *organisations, *(each.hex().encode() for each in organisations))
    return Target(values=frozenset(view.values), organisations=organisations, salts=salts)


def invented(count: int, *, seed: str) -> Iterator[Person]:
    """Yield `count` invented people, the same for the same seed."""
    chance = Random(seed)
    for number in range(count):
        given, family = ("".join(chance.choices(_SYLLABLES, k=2)).title() for _ in range(2))
        born = _FIRST_DAY + timedelta(days=chance.randrange(_DAYS))
        yield Person(subject=f"invented {seed} {number}", given=given, family=family, born=born.isoformat())


def dictionary_attack(view: AgreedView, truth: Truth, count: int, *, processes: int = 1) -> Verdict:
    """Look for the made-up patients among `count` names; finding one of them by chance is impossible.

    Args:
        view: The chain.
        truth: Who is to be found; they stand in the dictionary, before the invented people.
        count: Size of the dictionary.
        processes: How many share the work.
    """
    target, patients = target_of(view), truth.people[:count]
    found = target.found_in(patients)
    sizes = [min(_CHUNK, count - start) for start in range(len(patients), count, _CHUNK)]
    if processes == 1 or len(sizes) < 2:
        strangers = [target.found_in(list(invented(size, seed=str(number)))) for number, size in enumerate(sizes)]
    else:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_hold, initargs=(target,)) as pool:
            strangers = list(pool.map(_found_in_chunk, range(len(sizes)), sizes))
    correct = len(found) + sum(map(len, strangers))
    return Verdict(attack=f"dictionary of {count} names", correct=correct, trials=len(truth.people), base=0.0)


_held: list[Target] = []  # in a process of the pool: what it compares with


def _hold(target: Target) -> None:
    _held[:] = [target]


def _found_in_chunk(number: int, size: int) -> set[str]:
    return _held[0].found_in(list(invented(size, seed=str(number))))
