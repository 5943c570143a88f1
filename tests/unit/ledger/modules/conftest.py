# SPDX-License-Identifier: Apache-2.0
"""A founded chain for the tests of every module."""

import pytest

from tests.small_chain import SmallChain


@pytest.fixture
def chain() -> SmallChain:
    """A chain of a hospital (the one validator), a regulator and an insurer."""
    return SmallChain()
