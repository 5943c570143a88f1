# SPDX-License-Identifier: Apache-2.0
"""The packs: what the index names is there, whole, and every altered byte is found."""

import random
from pathlib import Path

import pytest

from tests.anomalies.faulty_files import Crash, FaultyFiles
from vervain.storage.errors import Corrupt
from vervain.vault import packs as packs_module
from vervain.vault.errors import BlobMissing, Tampered
from vervain.vault.pack_audit import audit_packs
from vervain.vault.packs import PACK_HEADER_BYTES, PART_HEADER_BYTES, PackEnd, Packs, Place

DIRECTORY = Path("/data/packs")


def blobs(seed: int, count: int = 4) -> list[bytes]:
    """Return ciphertexts of a seed, one of them empty now and then."""
    chance = random.Random(seed)
    return [chance.randbytes(chance.choice((0, 1, 60, 300, 900))) for _ in range(count)]


def test_ciphertexts_are_read_as_appended(tmp_path: Path) -> None:
    """Given two batches. When read, also after opening again at the kept end. Then each is the same."""
    packs = Packs(tmp_path, PackEnd())
    places = [*packs.append(blobs(1)), *packs.append(blobs(2))]
    end = packs.end
    packs.close()
    again = Packs(tmp_path, end)
    assert [again.read(place) for place in places] == blobs(1) + blobs(2)


def test_long_ciphertext_is_kept_in_parts_and_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given parts of 100 bytes and packs of 500. When 5 kB are kept and read.

    Then they are the same, over many packs.
    """
    monkeypatch.setattr(packs_module, "PART_BYTES_MAX", 100)
    monkeypatch.setattr(packs_module, "PACK_BYTES_MAX", 500)
    packs = Packs(tmp_path, PackEnd())
    long = random.Random(3).randbytes(5_000)
    (places,) = packs.append([long])
    assert packs.read(places) == long and len(places) == 50 and len(list(tmp_path.iterdir())) > 5
    assert list(audit_packs(tmp_path, packs.end)) == []


def test_unacknowledged_tail_is_cut(tmp_path: Path) -> None:
    """Given a batch that the index never took. When opened at the end it knows. Then the tail is gone."""
    packs = Packs(tmp_path, PackEnd())
    (kept,) = packs.append([b"kept"])
    end = packs.end
    packs.append([b"not in the index"])
    packs.close()
    again = Packs(tmp_path, end)
    assert (again.read(kept), (tmp_path / "00000001.pack").stat().st_size) == (b"kept", end.length)
    (more,) = again.append([b"more"])
    assert again.read(more) == b"more" and list(audit_packs(tmp_path, again.end)) == []


def test_packs_refused_when_they_end_before_the_index(tmp_path: Path) -> None:
    """Given a pack that lost its end, or is gone. When opened at the end that the index knows. Then damage is told."""
    packs = Packs(tmp_path, PackEnd())
    packs.append([b"kept"])
    packs.close()
    path = tmp_path / "00000001.pack"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt, match="is damaged"):
        Packs(tmp_path, packs.end)
    path.unlink()
    with pytest.raises(Corrupt):
        Packs(tmp_path, packs.end)


def test_packs_refused_when_far_beyond_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an index much older than the packs. When opened. Then nothing is cut: they belong to another backup."""
    packs = Packs(tmp_path, PackEnd())
    packs.append([b"a"])
    old = packs.end
    packs.append([b"x" * 1_000])
    packs.close()
    monkeypatch.setattr(packs_module, "BATCH_BYTES_MAX", 500)
    with pytest.raises(Corrupt):
        Packs(tmp_path, old)
    assert (tmp_path / "00000001.pack").stat().st_size == packs.end.length


def test_read_refused_at_a_place_that_is_none(tmp_path: Path) -> None:
    """Given a pack. When read beyond its end, in another pack, or between parts. Then refused."""
    packs = Packs(tmp_path, PackEnd())
    ((place,),) = packs.append([b"kept"])
    for wrong in (Place(1, 10_000, 4), Place(2, place.offset, 4)):
        with pytest.raises(BlobMissing):
            packs.read([wrong])
    for wrong in (Place(1, place.offset + 1, 2), Place(1, place.offset, 3)):
        with pytest.raises(Tampered):
            packs.read([wrong])


def test_every_altered_byte_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given two packs. When any one byte is altered. Then the audit names the header or body that holds it."""
    monkeypatch.setattr(packs_module, "PACK_BYTES_MAX", 400)
    packs = Packs(tmp_path, PackEnd())
    random.seed(4)
    places = [place for batch in range(4) for parts in packs.append([bytes([batch]) * 70]) for place in parts]
    packs.close()
    assert list(audit_packs(tmp_path, packs.end)) == []
    for path in sorted(tmp_path.iterdir()):
        content, number = path.read_bytes(), int(path.stem)
        starts = {0, *(p.offset for p in places if p.pack == number)}
        starts |= {place.offset + PART_HEADER_BYTES for place in places if place.pack == number}
        assert min(starts - {0}) == PACK_HEADER_BYTES
        for position in range(len(content)):
            path.write_bytes(content[:position] + bytes([content[position] ^ 0x20]) + content[position + 1 :])
            begins = max(start for start in starts if start <= position)
            found = {(f.file, f.offset) for f in audit_packs(tmp_path, packs.end)}
            assert (f"packs/{path.name}", begins) in found, position
        path.write_bytes(content)


def test_cut_added_and_missing_bytes_are_found(tmp_path: Path) -> None:
    """Given a pack. When its end is cut, bytes are added, or it is gone. Then the audit says so."""
    packs = Packs(tmp_path, PackEnd())
    packs.append([b"x" * 50, b"y" * 50])
    path = tmp_path / "00000001.pack"
    content = path.read_bytes()
    for altered in (content[:-1], content + b"z", content[:-60]):
        path.write_bytes(altered)
        assert list(audit_packs(tmp_path, packs.end)) != []
    path.unlink()
    assert [finding.what for finding in audit_packs(tmp_path, packs.end)] == ["The pack is missing"]


def test_part_exchanged_for_another_is_found(tmp_path: Path) -> None:
    """Given two parts of equal length, each whole with its own checksum. When they change places. Then it is found."""
    packs = Packs(tmp_path, PackEnd())
    packs.append([b"x" * 50, b"y" * 50])
    path = tmp_path / "00000001.pack"
    content, part = path.read_bytes(), PART_HEADER_BYTES + 50
    first, second = content[PACK_HEADER_BYTES:][:part], content[PACK_HEADER_BYTES + part :]
    path.write_bytes(content[:PACK_HEADER_BYTES] + second + first)
    assert list(audit_packs(tmp_path, packs.end)) != []


def test_acknowledged_batches_survive_every_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a crash at any act. When power returns and the packs open at the last kept end. Then all of it is read."""
    monkeypatch.setattr(packs_module, "PACK_BYTES_MAX", 1_500)

    def run(disk: FaultyFiles) -> tuple[PackEnd, list[tuple[tuple[Place, ...], bytes]]]:
        end, kept = PackEnd(), []
        try:
            packs = Packs(DIRECTORY, end, files=disk)
            for seed in range(8):
                places = packs.append(blobs(seed))
                end = packs.end
                kept += list(zip(places, blobs(seed), strict=True))
        except Crash:
            pass
        return end, kept

    whole = FaultyFiles()
    run(whole)
    for point in range(len(whole.points)):
        for seed in range(4):
            disk = FaultyFiles(crash_at=point, seed=seed)
            end, kept = run(disk)
            for survivor in (disk.after_power_loss(seed), disk.after_kill()):
                packs = Packs(DIRECTORY, end, files=survivor)
                assert [packs.read(places) for places, _ in kept] == [blob for _, blob in kept], (point, seed)
                (more,) = packs.append([b"more"])
                assert packs.read(more) == b"more"
                assert list(audit_packs(DIRECTORY, packs.end, files=survivor)) == []
