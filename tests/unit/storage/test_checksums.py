# SPDX-License-Identifier: Apache-2.0
"""One changed byte is found from its CRC-32 alone."""

from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from vervain.storage.checksums import corrected, single_changes


@given(st.binary(min_size=1, max_size=400), st.data())
def test_a_changed_byte_is_found(original: bytes, data: st.DataObject) -> None:
    """Given bytes and their sum, When one byte is changed, Then its place and change are among those found."""
    position = data.draw(st.integers(0, len(original) - 1))
    mask = data.draw(st.integers(1, 255))
    found = corrected(original, position, mask)

    assert (position, mask) in list(single_changes(found, crc32(original)))
    assert all(crc32(corrected(found, *change)) == crc32(original) for change in single_changes(found, crc32(original)))


def test_nothing_is_found_in_whole_bytes() -> None:
    """Given bytes with the right sum, When changes are looked for, Then there are none."""
    assert list(single_changes(b"whole", crc32(b"whole"))) == []
