# SPDX-License-Identifier: Apache-2.0
"""The key slots: cheap to add, gone for good when erased, at whatever moment the machine stops."""

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import pytest

from vervain.storage.errors import Corrupt
from vervain.vault import slots as slots_module
from vervain.vault.errors import KeyErased, VaultError
from vervain.vault.key_holder import ErasureKind, SoftwareKeyHolder
from vervain.vault.slot_format import SLOT_BYTES
from vervain.vault.slots import INDEX_SLOT, Slots


class Desk:
    """A slots file and its holder in a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.path, self.keys = root / "slots.bin", root / "keys"
        self.keys.mkdir(exist_ok=True)
        self.holder = SoftwareKeyHolder(self.keys)

    def open(self, *, is_new: bool = False) -> Slots:
        """Open the slots."""
        return Slots(self.path, self.holder, is_new=is_new)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty desk."""
    return Desk(tmp_path)


def subject(number: int) -> bytes:
    """Return the subject of a number."""
    return number.to_bytes(32, "big")


def test_slots_are_found_again(desk: Desk) -> None:
    """Given slots added in two batches. When opened again. Then numbers, subjects and keys are the same."""
    slots = desk.open(is_new=True)
    added = [*slots.add([subject(1), subject(2)]), *slots.add([subject(3)])]
    again = desk.open()
    assert [again.find(number) for number in (1, 2, 3)] == added and again.next_number == 4
    assert len({slot.key for slot in added}) == 3 and again.index_key == slots.index_key
    assert desk.path.stat().st_mode & 0o777 == 0o600


def test_no_slot_key_or_subject_stands_in_clear(desk: Desk) -> None:
    """Given slots. When the file is scanned. Then neither a key nor a subject is in it."""
    slots = desk.open(is_new=True)
    added = slots.add([os.urandom(32) for _ in range(300)])
    content = desk.path.read_bytes()
    assert not any(slot.key in content or slot.subject in content for slot in [*added, *slots.live()])


def test_a_new_slot_costs_only_itself(desk: Desk) -> None:
    """Given 100,000 slots. When one more is added. Then the file grows by one slot's record, in well under 50 ms."""
    slots = desk.open(is_new=True)
    slots.add([subject(number) for number in range(100_000)])
    before = desk.path.stat()
    started = perf_counter()
    slots.add([subject(100_001)])
    seconds = perf_counter() - started
    after = desk.path.stat()
    assert after.st_ino == before.st_ino and after.st_size - before.st_size <= SLOT_BYTES + 64
    assert seconds < 0.05


def test_erased_slot_is_gone_and_the_others_stay(desk: Desk) -> None:
    """Given three slots. When one is erased. Then it is not found, not even after opening again; the others are."""
    slots = desk.open(is_new=True)
    one, two, three = slots.add([subject(1), subject(2), subject(3)])
    slots.erase({two.number}, erasures_applied=1)
    for opened in (slots, desk.open()):
        assert [opened.find(slot.number) for slot in (one, two, three)] == [one, None, three]
        assert opened.erasures_applied == 1
        with pytest.raises(KeyErased):
            opened.require(two.number, 0)
    assert slots.add([subject(2)])[0].number == 4


def test_number_of_the_last_erased_slot_is_not_used_again(desk: Desk) -> None:
    """Given that the newest slot is erased. When the file is opened again and a slot is added.

    Then it has a new number.
    """
    slots = desk.open(is_new=True)
    (only,) = slots.add([subject(1)])
    slots.erase({only.number}, erasures_applied=1)
    assert desk.open().add([subject(2)])[0].number == 2


def test_old_file_is_overwritten_and_its_key_destroyed(desk: Desk) -> None:
    """Given the old file and its key, held open. When a slot is erased.

    Then both are zeros, and a copy does not open.
    """
    slots = desk.open(is_new=True)
    (slot,) = slots.add([subject(1)])
    copy = desk.path.read_bytes()
    (key_path,) = desk.keys.iterdir()
    with desk.path.open("rb") as old_file, key_path.open("rb") as old_key:
        slots.erase({slot.number}, erasures_applied=1)
        assert set(old_file.read()) == {0} and set(old_key.read()) == {0}
    assert not key_path.exists() and len(list(desk.keys.iterdir())) == 1
    assert sorted(path.name for path in desk.path.parent.iterdir()) == ["keys", "slots.bin"]
    desk.path.write_bytes(copy)
    with pytest.raises(KeyErased):
        desk.open()
    assert desk.holder.erasure_kind is ErasureKind.LOGICAL


def test_rekeyed_slot_keeps_both_keys_until_erased(desk: Desk) -> None:
    """Given a slot. When it gets a new key. Then both open, also after opening again; erasing destroys the old one."""
    slots = desk.open(is_new=True)
    (old,) = slots.add([subject(1)])
    fresh = slots.rekey(old.number)
    again = desk.open()
    assert (again.require(1, 0), again.require(1, 1)) == (old, fresh) and again.rekey(1) == fresh
    again.erase((), erasures_applied=1)
    with pytest.raises(KeyErased):
        again.require(1, 0)
    assert desk.open().require(1, 1) == fresh and fresh.key != old.key


STEPS: tuple[str, ...] = ("os.link", "write_slot_file", "before replace", "overwrite_and_remove", "destroy")


@pytest.mark.parametrize("step", STEPS)
def test_erasing_is_finished_after_a_crash_at_any_step(desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Given a crash at one step of an erasure. When opened again and erased again.

    Then slot, old file and key are gone.
    """

    class Stop(BaseException):
        pass

    def stop(*arguments: object, **named: object) -> None:
        raise Stop

    slots = desk.open(is_new=True)
    one, two = slots.add([subject(1), subject(2)])
    if step == "os.link":
        monkeypatch.setattr(os, "link", stop)
    elif step == "before replace":
        monkeypatch.setattr(os, "replace", stop)
    elif step == "destroy":
        monkeypatch.setattr(desk.holder, "destroy", stop)
    else:
        monkeypatch.setattr(slots_module, step, stop)
    with pytest.raises(Stop):
        slots.erase({two.number}, erasures_applied=1)
    monkeypatch.undo()
    again = desk.open()
    if again.erasures_applied == 0:
        assert again.find(two.number) == two
        again.erase({two.number}, erasures_applied=1)
    assert (again.find(one.number), again.find(two.number)) == (one, None)
    assert sorted(path.name for path in desk.path.parent.iterdir()) == ["keys", "slots.bin"]
    assert len(desk.holder.held()) == 1


def test_torn_append_is_cut_and_nothing_else_is(desk: Desk) -> None:
    """Given an append torn by a crash. When opened.

    Then it is cut; the acknowledged slots are there, and more fit in.
    """
    slots = desk.open(is_new=True)
    (kept,) = slots.add([subject(1)])
    acknowledged = desk.path.read_bytes()
    slots.add([subject(number) for number in range(2, 40)])
    whole = desk.path.read_bytes()
    tears: list[Callable[[], bytes]] = [
        lambda: whole[: len(acknowledged) + 1],
        lambda: whole[: len(acknowledged) + 24],
        lambda: whole[:-1],
        lambda: acknowledged + bytes(len(whole) - len(acknowledged)),
        lambda: whole[:-512] + bytes(512),
    ]
    for tear in tears:
        desk.path.write_bytes(tear())
        opened = desk.open()
        assert [slot.number for slot in opened.live()] == [INDEX_SLOT, kept.number]
        assert desk.path.read_bytes() == acknowledged
        (more,) = opened.add([subject(7)])
        assert desk.open().find(more.number) == more


def test_every_altered_byte_is_damage(desk: Desk) -> None:
    """Given a slots file at rest. When any byte is altered. Then opening complains, and cuts nothing away."""
    slots = desk.open(is_new=True)
    slots.add([subject(1)])
    slots.add([subject(2)])
    content = desk.path.read_bytes()
    for position in range(len(content)):
        altered = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        desk.path.write_bytes(altered)
        with pytest.raises((Corrupt, KeyErased)):
            desk.open()
        assert desk.path.read_bytes() == altered


def test_segments_cannot_be_moved(desk: Desk) -> None:
    """Given two appended slots. When their segments change places. Then neither opens."""
    slots = desk.open(is_new=True)
    slots.add([subject(1)])
    start = desk.path.stat().st_size
    slots.add([subject(2)])
    content = desk.path.read_bytes()
    length = len(content) - start
    desk.path.write_bytes(content[: start - length] + content[start:] + content[start - length : start])
    with pytest.raises(Corrupt):
        desk.open()


def test_missing_slots_file_is_never_replaced_by_a_new_one(desk: Desk) -> None:
    """Given a vault that is not new. When its slots file is gone. Then it is refused, and none is begun."""
    desk.open(is_new=True)
    desk.path.unlink()
    with pytest.raises(VaultError, match="missing"):
        desk.open()
    assert not desk.path.exists()
