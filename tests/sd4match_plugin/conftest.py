"""Fixtures for the tests of trainings."""

from __future__ import annotations

import pytest
from support.trainings import make_workspace

from harness.plugins.loading import load_plugins


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """Photos and networks of small trainings; pictures are encoded once for all tests."""
    return make_workspace(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def host():
    return load_plugins()
