# SPDX-License-Identifier: Apache-2.0
"""The cosigner signs only heads that extend the last one, which is on disk before the signature exists."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vervain.ledger.primitives.hashing import EMPTY_ROOT, leaf_hash
from vervain.ledger.primitives.merkle_log import TILE_WIDTH, TiledTree, root_of
from vervain.sealing import cosigner as cosigner_module
from vervain.sealing.checkpoints import Checkpoint, verify_cosignature
from vervain.sealing.cosigner import Cosigner, CosignerStateDamaged, CosignReason, CosignRefused, SignedHead
from vervain.sealing.errors import KeyFileRefused
from vervain.sealing.keys import SigningKey

KEY = SigningKey(bytes(range(32)))
LEAVES = [leaf_hash(str(number).encode()) for number in range(200)]
TREE = TiledTree(len(LEAVES), lambda level, index: b"".join(LEAVES) if (level, index) == (0, 0) else b"")
assert len(LEAVES) <= TILE_WIDTH


def head(size: int, origin: str = "demo") -> Checkpoint:
    """Return the honest head of a size."""
    return Checkpoint(origin=origin, size=size, root=root_of(LEAVES[:size]))


@pytest.fixture
def cosigner(tmp_path: Path) -> Cosigner:
    """A cosigner that has signed nothing yet."""
    return Cosigner(KEY, "member-0", tmp_path / "cosigner.state")


def refusal(act: Callable[[], object]) -> CosignReason:
    """Return why the cosigner refuses."""
    with pytest.raises(CosignRefused) as caught:
        act()
    return caught.value.reason


def test_signs_growing_heads_and_remembers_them(cosigner: Cosigner, tmp_path: Path) -> None:
    """Given a growing log, then each head is signed, and a cosigner started anew knows the last one."""
    assert cosigner.head == SignedHead(origin="", size=0, root=EMPTY_ROOT)
    old = 0
    for size in (1, 2, 7, 8, 64, 199, 200):
        line = cosigner.cosign(head(size), proof=TREE.consistency_path(old, size), time=size)
        assert verify_cosignature(line, public_key=KEY.public_key, body=head(size).body) == size
        old = size
    again = Cosigner(KEY, "member-0", tmp_path / "cosigner.state")
    assert again.head == cosigner.head == SignedHead(origin="demo", size=200, root=root_of(LEAVES))
    assert (tmp_path / "cosigner.state").stat().st_mode & 0o777 == 0o600


def test_same_head_is_signed_again(cosigner: Cosigner) -> None:
    """Given the last head once more, then it is signed, with the new time."""
    cosigner.cosign(head(5), time=1)
    line = cosigner.cosign(head(5), time=2)
    assert verify_cosignature(line, public_key=KEY.public_key, body=head(5).body) == 2


def test_refused_when_smaller(cosigner: Cosigner) -> None:
    """Given a head smaller than the last one, then it is refused."""
    cosigner.cosign(head(5), time=1)
    assert refusal(lambda: cosigner.cosign(head(4), time=1)) is CosignReason.SMALLER


def test_refused_when_another_root_at_the_same_size(cosigner: Cosigner) -> None:
    """Given another root at the last size, then it is refused."""
    cosigner.cosign(head(5), time=1)
    other = Checkpoint(origin="demo", size=5, root=bytes(32))
    assert refusal(lambda: cosigner.cosign(other, time=1)) is CosignReason.OTHER_ROOT


def test_refused_when_inconsistent(cosigner: Cosigner) -> None:
    """Given a larger head without a proof, or with the proof of another log, then it is refused."""
    cosigner.cosign(head(5), time=1)
    proof = TREE.consistency_path(5, 9)
    other = Checkpoint(origin="demo", size=9, root=bytes(32))
    assert refusal(lambda: cosigner.cosign(head(9), time=1)) is CosignReason.INCONSISTENT
    assert refusal(lambda: cosigner.cosign(other, proof=proof, time=1)) is CosignReason.INCONSISTENT
    assert refusal(lambda: cosigner.cosign(head(9), proof=proof[:-1], time=1)) is CosignReason.INCONSISTENT
    assert refusal(lambda: cosigner.cosign(head(5), proof=proof, time=1)) is CosignReason.INCONSISTENT
    assert cosigner.head.size == 5


def test_refused_when_first_head_comes_with_a_proof(cosigner: Cosigner) -> None:
    """Given the first head with a proof, then it is refused: from nothing there is nothing to prove."""
    proof = TREE.consistency_path(5, 9)
    assert refusal(lambda: cosigner.cosign(head(9), proof=proof, time=1)) is CosignReason.INCONSISTENT


def test_refused_when_of_another_log(cosigner: Cosigner) -> None:
    """Given a head of another log, then it is refused."""
    cosigner.cosign(head(5), time=1)
    assert refusal(lambda: cosigner.cosign(head(5, "other"), time=1)) is CosignReason.OTHER_LOG


def test_refused_when_the_asker_thinks_of_another_size(cosigner: Cosigner) -> None:
    """Given an old size that is not the last one signed, then it is refused and the last one is told."""
    cosigner.cosign(head(5), time=1)
    with pytest.raises(CosignRefused) as caught:
        cosigner.cosign(head(9), proof=TREE.consistency_path(4, 9), time=1, old_size=4)
    assert (caught.value.reason, caught.value.last.size) == (CosignReason.OTHER_OLD_SIZE, 5)


def test_nothing_is_signed_when_the_head_cannot_be_stored(cosigner: Cosigner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a disk that fails, then no signature exists and the last head stays; afterwards it goes on."""

    def failing(path: Path, content: bytes, *, replace: bool) -> None:
        raise KeyFileRefused("Cannot write cosigner.state")

    def signing(*arguments: object, **named: object) -> None:
        raise AssertionError("signed before the head was stored")

    cosigner.cosign(head(5), time=1)
    with monkeypatch.context() as patch:
        patch.setattr(cosigner_module, "write_private_file", failing)
        patch.setattr(cosigner_module, "cosign", signing)
        with pytest.raises(KeyFileRefused):
            cosigner.cosign(head(9), proof=TREE.consistency_path(5, 9), time=1)
    assert cosigner.head.size == 5
    cosigner.cosign(head(9), proof=TREE.consistency_path(5, 9), time=1)


def test_head_is_on_disk_before_it_is_signed(
    cosigner: Cosigner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the moment of signing, then the head is already in the file."""
    seen = []

    def signing(checkpoint: Checkpoint, **named: object) -> None:
        seen.append(Cosigner(KEY, "member-0", tmp_path / "cosigner.state").head.size)

    monkeypatch.setattr(cosigner_module, "cosign", signing)
    cosigner.cosign(head(7), time=1)
    assert seen == [7]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"origin":"demo","root":"AAAA","size":5}\n', b"\xff" * 100])
def test_refuses_to_start_from_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    """Given a state file that holds no head, then the cosigner does not start."""
    path = tmp_path / "cosigner.state"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(CosignerStateDamaged):
        Cosigner(KEY, "member-0", path)


def test_concurrent_askers_never_see_a_smaller_head_signed_later(cosigner: Cosigner) -> None:
    """Given many threads with heads of one growing log, then what is signed only grows."""
    signed: list[int] = []

    def ask(size: int) -> None:
        for _ in range(20):
            old = cosigner.head.size
            try:
                cosigner.cosign(
                    head(size), proof=TREE.consistency_path(old, size) if old <= size else (), time=1, old_size=old
                )
            except CosignRefused:
                continue
            signed.append(size)
            return

    with ThreadPoolExecutor(max_workers=8) as threads:
        list(threads.map(ask, range(1, 60)))
    assert cosigner.head.size == max(signed) == 59
