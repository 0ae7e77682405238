"""What nodes prove of networks that parameters name: each of a run by its own name."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.any_vision_transformers import save_any

from harness.engines.proof import facts_of
from harness.plugins.loading import load_plugins
from harness.running.resolve import resolve_cell
from harness.running.resources import Resources, RunOptions
from harness.specs import NO_PROMPT
from harness.sweep import Cell, DatasetChoice


@pytest.fixture
def networks(tmp_path):
    for name in ("clip", "mae"):
        save_any(tmp_path / name, name)
    return tmp_path


def test_each_named_network_is_proved(networks, photos):
    host = load_plugins()
    resources = Resources(host, RunOptions(data_root=Path(), out=networks / "r", criteria=()))
    params = tuple(host.extractors["vit"].params.items())
    cells = []
    for name in ("clip", "mae"):
        cell = Cell(
            method="vit",
            extractor="vit",
            prompt=NO_PROMPT,
            dataset=DatasetChoice("folder", photos),
            split="test",
            seed=0,
            params=(("model", name), *params[1:]),
            changed=(("model", name),),
            models=(("model", str(networks / name)),),
        )
        cells.append(resolve_cell(resources, cell))
    facts = facts_of(cells)
    for name in ("clip", "mae"):
        assert facts[f"the place of weights {networks / name}"] == str(networks / name)
        assert facts[f"the content of weights {networks / name}"].startswith("sha256 ")
    contents = {facts[f"the content of weights {networks / name}"] for name in ("clip", "mae")}
    assert len(contents) == 2
