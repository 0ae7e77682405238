"""What tests of clusters share: two nodes on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.ray_nodes import Nodes


@pytest.fixture(scope="session")
def head() -> Iterator[Nodes]:
    """A cluster of one node."""
    before = os.environ.get("PYTHONPATH")
    nodes = Nodes()
    yield nodes
    nodes.close()
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def extra(head: Nodes) -> Iterator[Callable[..., object]]:
    """Adds nodes for one test."""
    nodes: list[object] = []

    def add(**variables: str) -> object:
        nodes.append(head.add(**variables))
        return nodes[-1]

    yield add
    for node in nodes:
        if head.has(node):
            head.remove(node)
    # The next test would see a node leave that it knows nothing of.
    head.settle()


@pytest.fixture
def meeting(tmp_path: Path) -> Path:
    """The folder in which the test and the plugin meet."""
    folder = tmp_path / "meeting"
    folder.mkdir()
    return folder
