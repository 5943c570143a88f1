# SPDX-License-Identifier: Apache-2.0
"""The attacks that join pseudonyms of two organisations.

1. Same value: a key, commitment, secret or any long value that stands with pseudonyms of both.
2. By one number: both organisations' pseudonyms sorted by it and laid side by side, the best assignment there is in one
   dimension; each feature of `agreed.py` is an attack of its own.
3. By all numbers: ranks of all features, equally weighted, nearest pairs first.
4. Trained: on half of the patients, with the truth known, it learns what ranks of one person have in common (a
   likelihood ratio over binned rank differences, the most telling features only) and joins the other half.

An attack knows that everybody was at both organisations: it is told more than a real one would know.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from math import log, sqrt
from random import Random
from typing import Final

from benchmarks.attacks.agreed import AgreedView, Pseudonym, shared_values
from benchmarks.attacks.chain import Truth
from benchmarks.attacks.verdict import Verdict

BINS: Final = 24
TELLING_MAX: Final = 8  # features that the trained attack uses
TRAINED_PAIRS_MAX: Final = 10  # pairs of organisations on which the two slow attacks run
MISSING: Final = -1.0

Ranks = dict[str, list[float]]
"""Feature to each pseudonym's rank, 0 to 1, in the order of the list of pseudonyms."""


class Pair:
    """Two organisations and which pseudonyms there are the same person's."""

    def __init__(self, left: list[Pseudonym], right: list[Pseudonym], same: dict[bytes, bytes]) -> None:
        self.left, self.right, self.same = left, right, same

    def correct(self, joined: Iterator[tuple[Pseudonym, Pseudonym]]) -> int:
        """Count the right ones among guessed joins."""
        return sum(self.same.get(one.actor) == other.actor for one, other in joined)


def join_all(view: AgreedView, truth: Truth, *, seed: int = 0) -> list[Verdict]:
    """Run every attack on every pair of organisations; return what each reached."""
    pairs = list(_pairs(view, truth))
    patients = len(truth.people)
    verdicts = [_same_value(view, pairs)]
    names = sorted({name for pair in pairs for each in (pair.left[0], pair.right[0]) for name in each.features()})
    correct: dict[str, int] = defaultdict(int)
    trained: list[tuple[int, int]] = []
    weighted: list[tuple[int, int]] = []
    for number, pair in enumerate(pairs):
        left, right = _ranks(pair.left, names, seed), _ranks(pair.right, names, seed + 1)
        for name in names:
            joined = zip(_sorted(pair.left, left[name]), _sorted(pair.right, right[name]), strict=False)
            correct[name] += pair.correct(joined)
        if number < TRAINED_PAIRS_MAX:
            learn, test = _halves(pair, seed + number)
            trained.append((_trained(pair, left, right, learn, test), len(test)))
            weighted.append((_weighted(pair, left, right, test), len(test)))
    base, trials = 1 / patients, sum(len(pair.left) for pair in pairs)
    verdicts += [Verdict(attack=f"by {name}", correct=correct[name], trials=trials, base=base) for name in names]
    for attack, results in (("all features", weighted), ("trained", trained)):
        tested = sum(count for _, count in results)
        verdicts.append(
            Verdict(
                attack=attack, correct=sum(right for right, _ in results), trials=tested, base=len(results) / tested
            )
        )
    return sorted(verdicts, key=lambda each: -each.accuracy)


def _pairs(view: AgreedView, truth: Truth) -> Iterator[Pair]:
    for left, right in combinations(sorted(view.organisations), 2):
        same = {each[left]: each[right] for each in truth.pseudonyms if left in each and right in each}
        if same:
            yield Pair(view.organisations[left], view.organisations[right], same)


def _same_value(view: AgreedView, pairs: Sequence[Pair]) -> Verdict:
    """Join what shares a value, the one that shares most values first."""
    shared: dict[tuple[bytes, bytes], int] = defaultdict(int)
    for sharing in shared_values(view).values():
        for one, other in combinations(sharing, 2):
            shared[one.actor, other.actor] += 1
            shared[other.actor, one.actor] += 1
    partners: dict[bytes, dict[bytes, int]] = defaultdict(dict)
    for (actor, partner), count in shared.items():
        partners[actor][partner] = count
    correct = trials = 0
    for pair in pairs:
        there = {each.actor for each in pair.right}
        for one in pair.left:
            candidates = {actor: count for actor, count in partners[one.actor].items() if actor in there}
            guess = max(candidates, key=lambda actor: candidates[actor], default=None)
            correct += guess is not None and pair.same.get(one.actor) == guess
            trials += 1
    return Verdict(attack="same value", correct=correct, trials=trials, base=1 / max(1, len(pairs[0].same)))


def _ranks(pseudonyms: Sequence[Pseudonym], names: Sequence[str], seed: int) -> Ranks:
    """Rank each feature; equal values get ranks in random order, missing ones stand first."""
    chance, told = Random(seed), [each.features() for each in pseudonyms]
    ranks: Ranks = {}
    for name in names:
        keyed = sorted((each.get(name, MISSING), chance.random(), index) for index, each in enumerate(told))
        ranks[name] = [0.0] * len(keyed)
        for rank, (_, _, index) in enumerate(keyed):
            ranks[name][index] = rank / max(1, len(keyed) - 1)
    return ranks


def _sorted(pseudonyms: Sequence[Pseudonym], ranks: Sequence[float]) -> Iterator[Pseudonym]:
    return (pseudonyms[index] for index in sorted(range(len(pseudonyms)), key=ranks.__getitem__))


def _halves(pair: Pair, seed: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Cut the people in two halves; each person as positions at both organisations."""
    position = {each.actor: index for index, each in enumerate(pair.right)}
    people = [
        (index, position[pair.same[each.actor]]) for index, each in enumerate(pair.left) if each.actor in pair.same
    ]
    Random(seed).shuffle(people)
    return people[: len(people) // 2], people[len(people) // 2 :]


def _nearest_first(
    pair: Pair, test: Sequence[tuple[int, int]], score: Callable[[int, int], float]
) -> Iterator[tuple[Pseudonym, Pseudonym]]:
    """Yield a one-to-one assignment: the best scored pair first, then the best among what is left."""
    scored = [(-score(one, other), one, other) for one, _ in test for _, other in test]
    scored.sort()
    taken_left: set[int] = set()
    taken_right: set[int] = set()
    for _, one, other in scored:
        if one not in taken_left and other not in taken_right:
            taken_left.add(one)
            taken_right.add(other)
            yield pair.left[one], pair.right[other]


def _weighted(pair: Pair, left: Ranks, right: Ranks, test: Sequence[tuple[int, int]]) -> int:
    """All features that both have, equally weighted, means and counts only: firsts and lasts say the same again."""
    names = [name for name in left if name.endswith(("mean", "count", "first"))]
    rows = {one: [left[name][one] for name in names] for one, _ in test}
    columns = {other: [right[name][other] for name in names] for _, other in test}

    def score(one: int, other: int) -> float:
        return -sum(map(abs, map(float.__sub__, rows[one], columns[other])))

    return pair.correct(_nearest_first(pair, test, score))


def _trained(
    pair: Pair, left: Ranks, right: Ranks, learn: Sequence[tuple[int, int]], test: Sequence[tuple[int, int]]
) -> int:
    telling = _telling(left, right, learn)
    tables = [_likelihood([left[name][one] - right[name][other] for one, other in learn]) for name in telling]
    rows = {one: [left[name][one] for name in telling] for one, _ in test}
    columns = {other: [right[name][other] for name in telling] for _, other in test}

    def score(one: int, other: int) -> float:
        told = zip(tables, rows[one], columns[other], strict=True)
        return sum(table[_bin(here - there)] for table, here, there in told)

    return pair.correct(_nearest_first(pair, test, score))


def _telling(left: Ranks, right: Ranks, learn: Sequence[tuple[int, int]]) -> list[str]:
    """Return the features whose ranks agree most within a person: by rank correlation."""
    correlation = {
        name: abs(_correlation([left[name][one] for one, _ in learn], [right[name][other] for _, other in learn]))
        for name in left
    }
    return sorted(correlation, key=lambda name: -correlation[name])[:TELLING_MAX]


def _correlation(ones: Sequence[float], others: Sequence[float]) -> float:
    mean_one, mean_other = sum(ones) / len(ones), sum(others) / len(others)
    both = sum((one - mean_one) * (other - mean_other) for one, other in zip(ones, others, strict=True))
    spread = sqrt(sum((one - mean_one) ** 2 for one in ones) * sum((other - mean_other) ** 2 for other in others))
    return both / spread if spread else 0.0


def _bin(difference: float) -> int:
    """Return the bin of a rank difference: narrow near zero."""
    return min(BINS - 1, int(sqrt(abs(difference)) * BINS))


def _likelihood(differences: Sequence[float]) -> list[float]:
    """Return, for each bin, how much likelier one person's difference falls there than two strangers'."""
    counts = [1.0] * BINS
    for difference in differences:
        counts[_bin(difference)] += 1
    total = sum(counts)
    edges = [min(1.0, (number / BINS) ** 2) for number in range(BINS + 1)]
    strangers = [_below(edges[number + 1]) - _below(edges[number]) for number in range(BINS)]
    return [log(count / total / max(1e-9, expected)) for count, expected in zip(counts, strangers, strict=True)]


def _below(difference: float) -> float:
    """Return the chance that two even random ranks differ by less."""
    return 2 * difference - difference * difference
