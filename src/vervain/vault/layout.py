# SPDX-License-Identifier: Apache-2.0
"""The names of files and folders in a vault's folder."""

from typing import Final

PACKS: Final = "packs"
INDEX: Final = "index"
INDEX_FILE: Final = "data.mdb"
SLOTS: Final = "slots.bin"
ERASURES: Final = "erasures"
RELEASES: Final = "releases"
NOTICES: Final = "notices"
