# SPDX-License-Identifier: Apache-2.0
"""Typed tables over the store: one declaration gives a table its number, row type, key layout and whether it is proved.

*Proved* tables are in the map with inclusion and absence proofs: what a stranger needs present or absent. *Plain*
tables are held equal by the block's change digest only: anything that grows without end. *Configuration* tables (few
rows, changed by vote) are covered by the block leaf's `config_root`.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from vervain.ledger.machine.limits import ROW_BYTES_MAX
from vervain.ledger.machine.refusals import LimitExceeded, MachineReason, NotFound, Reason
from vervain.ledger.machine.store import Store, after
from vervain.ledger.primitives.codec import encode

KeyPart = bytes | int | str
Key = KeyPart | tuple[KeyPart, ...]


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of everything kept in the state."""


R = TypeVar("R", bound=Row)


class Table(Generic[R]):
    """A named set of rows.

    Args:
        name: `<module>.<plural noun>`; part of a proved row's place in the map.
        number: Unique, `module number * 100 + n`: the first two bytes of every key, big-endian.
        row: The row type.
        key: Byte width of each part of the key, in order; integers are big-endian of that width; 0, last only, takes
            the rest (a string or bytes of any length). Keys that grow in order keep the B-tree fast.
        proved: Rows can be proved present or absent.
        configuration: Rows count into `config_root`.
    """

    __slots__ = ("_decode", "_prefix", "configuration", "key", "name", "number", "proved", "row")

    def __init__(
        self,
        *,
        name: str,
        number: int,
        row: type[R],
        key: tuple[int, ...],
        proved: bool = False,
        configuration: bool = False,
    ) -> None:
        self.name, self.number, self.row, self.key = name, number, row, key
        self.proved, self.configuration = proved, configuration
        self._prefix = number.to_bytes(2, "big")
        self._decode = msgspec.json.Decoder(row).decode

    def stored_key(self, key: Key) -> bytes:
        """Return table number || key parts, as storage keeps it. Also takes a leading part of the key, for ranges."""
        if isinstance(key, bytes):  # the common forms first: this stands on the path of every read and write
            assert self.key[0] in (0, len(key)), f"{self.name}: a key part of {self.key[0]} bytes was given {len(key)}"
            return self._prefix + key
        if isinstance(key, int):
            return self._prefix + key.to_bytes(self.key[0], "big")
        parts = key if isinstance(key, tuple) else (key,)
        return self._prefix + b"".join(map(_part_bytes, parts, self.key))

    def get(self, store: Store, key: Key) -> R | None:
        """Return the row, or None."""
        stored = store.get(self.stored_key(key))
        return None if stored is None else self._decode(stored)

    def has(self, store: Store, key: Key) -> bool:
        """Tell whether there is a row at `key`."""
        return store.get(self.stored_key(key)) is not None

    def require(self, store: Store, key: Key, reason: Reason = MachineReason.ROW_NOT_FOUND) -> R:
        """Return the row.

        Refuses: NotFound(reason) when there is none.
        """
        row = self.get(store, key)
        if row is None:
            raise NotFound(reason, table=self.name)
        return row

    def put(self, store: Store, key: Key, row: R) -> None:
        """Write the row, replacing what was there.

        Refuses: LimitExceeded(ROW_TOO_LARGE).
        """
        encoded = encode(row)
        if len(encoded) > ROW_BYTES_MAX:
            raise LimitExceeded(MachineReason.ROW_TOO_LARGE, table=self.name)
        store.put(self.stored_key(key), encoded)

    def delete(self, store: Store, key: Key) -> None:
        """Remove the row at `key`, which exists."""
        assert self.has(store, key)
        store.put(self.stored_key(key), None)

    def rows(self, store: Store, leading: Key = ()) -> Iterator[tuple[bytes, R]]:
        """Yield (key without table number, row), in key order, of rows whose key starts with `leading`."""
        prefix = self.stored_key(leading)
        for stored_key, stored in store.range(prefix, after(prefix)):
            yield stored_key[2:], self._decode(stored)

    def from_stored(self, stored: bytes) -> R:
        """Decode a row as storage returned it."""
        return self._decode(stored)


def _part_bytes(part: KeyPart, width: int) -> bytes:
    if isinstance(part, int):
        return part.to_bytes(width, "big")
    encoded = part.encode("ascii") if isinstance(part, str) else part
    assert width in (0, len(encoded)), f"a key part of {width} bytes was given {len(encoded)}"
    return encoded
