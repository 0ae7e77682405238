"""What the tests of Python's functions share."""

from __future__ import annotations

import pytest


@pytest.fixture
def quiet():
    """Options of a run that writes nothing to stderr."""
    return {"progress": False, "device": "cpu"}


@pytest.fixture(scope="session")
def ran(tmp_path_factory):
    """A results folder with two localizers on twelve pairs, made in Python."""
    import harness

    out = tmp_path_factory.mktemp("python") / "results"
    frame = harness.run("position", limit=12, localizers=["argmax", "bilinear"], out=out, progress=False)
    return out, frame
