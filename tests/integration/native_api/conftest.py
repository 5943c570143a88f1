# SPDX-License-Identifier: Apache-2.0
"""One node a test file, over HTTP and in memory: the tests of a file share its chain and need nothing of each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.native_api.running import Running, in_memory, over_http


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A node over real HTTP."""
    with over_http(tmp_path_factory.mktemp("served") / "node") as running:
        yield running


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A node called in memory."""
    with in_memory(tmp_path_factory.mktemp("called") / "node") as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory that is not there yet, for a node of one test's own."""
    return tmp_path / "node"
