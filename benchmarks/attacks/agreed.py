# SPDX-License-Identifier: Apache-2.0
"""All that the attacker sees: blocks, outcomes, events, leaves' heights and times; sorted by pseudonym.

Every number an onlooker could sort pseudonyms by becomes a feature; every value of 16 bytes or more is kept for
comparison. Nothing here reads a key, a vault, a wallet or the import's folder.
"""

import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.genesis import chain_name, decode_genesis
from vervain.ledger.machine.transaction import Transaction
from vervain.node.directory import DataDirectory
from vervain.storage.block_log import BlockLog
from vervain.storage.state_store import StateStore

VALUE_BYTES_MIN: Final = 16  # shorter values repeat by chance
FEW: Final = 50  # a value in more pseudonyms' entries than this is the chain's or an organisation's own

Json = Any  # what JSON can hold


class Pseudonym:
    """What the chain says about one patient pseudonym.

    Attributes:
        actor: Its 32-byte id.
        organisation: The member that registered it.
        series: Kind of number to numbers, in the order of the chain.
        values: Long byte strings in its entries and events, and those of the transactions that it signed.
    """

    def __init__(self, actor: bytes, organisation: bytes) -> None:
        self.actor, self.organisation = actor, organisation
        self.series: dict[str, list[float]] = defaultdict(list)
        self.values: set[bytes] = set()

    def features(self) -> dict[str, float]:
        """Return every number to sort by: of each series its length, first, last, mean, range."""
        told: dict[str, float] = {"id": float(int.from_bytes(self.actor[:6], "big"))}
        for name, numbers in self.series.items():
            first, last = numbers[0], numbers[-1]
            told[f"{name} first"] = first
            if len(numbers) > 1:
                mean = sum(numbers) / len(numbers)
                told |= {f"{name} last": last, f"{name} mean": mean, f"{name} range": max(numbers) - min(numbers)}
            told[f"{name} count"] = float(len(numbers))
        return told


class AgreedView:
    """A whole chain as an onlooker sees it.

    Attributes:
        chain: Its full name.
        organisations: Each member's pseudonyms, in the order of their registration.
        values: Every byte string of 32 bytes anywhere in the chain.
    """

    def __init__(self, chain: str) -> None:
        self.chain = chain
        self.organisations: dict[bytes, list[Pseudonym]] = defaultdict(list)
        self.values: set[bytes] = set()
        self._known: dict[bytes, Pseudonym] = {}
        self._orders: dict[tuple[str, bytes], int] = defaultdict(int)

    def add(self, block: Block, first_leaf: int, outcomes: list[Json]) -> None:
        """Read one block and what came of it."""
        self.values |= {each for outcome in outcomes for each in _octets(outcome) if len(each) == 32}
        if block.height == 0:
            return
        for index, encoded in enumerate(block.transactions):
            envelope = json.loads(encoded)
            transaction = Transaction.from_checked(encoded, CATALOGUE.message_decoder)
            self.values |= {each for each in _octets(envelope) if len(each) == 32} | {transaction.txid}
            place = {"height": block.height, "time": block.time, "leaf": first_leaf + index}
            signer = self._known.get(transaction.header.actor)
            if signer is not None:
                signer.values |= {each for each in _octets(envelope) if len(each) >= VALUE_BYTES_MIN}
            self._add_entries(envelope, outcomes[index], place, transaction)

    def _add_entries(self, envelope: Json, outcome: Json, place: dict[str, int], transaction: Transaction) -> None:
        of_subject: dict[bytes, int] = defaultdict(int)
        events = outcome.get("events", [])
        for number, (entry, event) in enumerate(zip(envelope["entries"], events, strict=False)):
            pseudonym = self._about(entry, event, transaction)
            if pseudonym is None:
                continue
            of_subject[pseudonym.actor] += 1
            kind = str(entry["type"])
            order = self._orders[kind, pseudonym.organisation]
            self._orders[kind, pseudonym.organisation] += 1
            size = len(transaction.entries[number])
            numbers = place | {"order": order, "entry": number, "size": size, "batch": len(envelope["entries"])}
            numbers |= {name: value for name, value in event.items() if isinstance(value, int)}
            if "valid_from" in entry:
                numbers["period"] = entry["valid_until"] - entry["valid_from"]
                numbers["waited"] = transaction.header.expires_at - place["time"]
            for name, value in numbers.items():
                pseudonym.series[f"{kind}: {name}"].append(value)
            pseudonym.values |= {each for each in (*_octets(entry), *_octets(event)) if len(each) >= VALUE_BYTES_MIN}
        for actor, count in of_subject.items():
            self._known[actor].series["entries in one transaction"].append(count)

    def _about(self, entry: Json, event: Json, transaction: Transaction) -> Pseudonym | None:
        """Return whom an entry is about: the patient it registers, commits for, or who signed it."""
        if entry["type"] == "identity.register" and entry.get("kind") == "patient":
            actor, organisation = b64decode(event["actor"]), transaction.header.actor
            pseudonym = self._known[actor] = Pseudonym(actor, organisation)
            self.organisations[organisation].append(pseudonym)
            return pseudonym
        named = b64decode(entry["subject"]) if "subject" in entry else transaction.header.actor
        return self._known.get(named)


def read_agreed(root: Path) -> AgreedView:
    """Read a stopped node's blocks and outcomes, which every member has.

    Raises: StorageError.
    """
    directory = DataDirectory(root)
    content = directory.genesis.read_bytes()
    chain = chain_name(decode_genesis(content), content)
    view = AgreedView(chain)
    with (
        closing(BlockLog(directory.blocks, chain=chain)) as log,
        closing(StateStore(directory.state, chain=chain)) as store,
        store.view() as state,
    ):
        for block in log.blocks(0):
            summary, outcomes = state.summary(block.height), state.outcomes(block.height)
            if summary is not None and outcomes is not None:
                view.add(block, summary.first_leaf, json.loads(outcomes))
    return view


def shared_values(view: AgreedView) -> dict[bytes, list[Pseudonym]]:
    """Return the values that stand with several pseudonyms, but with few."""
    found: dict[bytes, list[Pseudonym]] = defaultdict(list)
    for pseudonyms in view.organisations.values():
        for pseudonym in pseudonyms:
            for value in pseudonym.values:
                found[value].append(pseudonym)
    return {value: sharing for value, sharing in found.items() if 1 < len(sharing) <= FEW}


def _octets(value: Json) -> Iterator[bytes]:
    """Yield every byte string in a JSON value."""
    if isinstance(value, str):
        try:
            yield b64decode(value, validate=True)
        except (Base64Error, ValueError):
            return
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _octets(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _octets(inner)
