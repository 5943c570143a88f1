# SPDX-License-Identifier: Apache-2.0
"""The folder of sample bundles, where there is one: `VERVAIN_SAMPLES`, by default `../shared/data/synthea-r4`."""

import os
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[4]
FOLDER: Final = ROOT / os.environ.get("VERVAIN_SAMPLES", "../shared/data/synthea-r4")
BUNDLES: Final = tuple(sorted(FOLDER.glob("*.json.gz")))

needs_samples = pytest.mark.skipif(len(BUNDLES) != 64, reason="VERVAIN_SAMPLES names no folder with the 64 bundles")
