"""The small heads that come with the package, and the records of their trainings."""

from __future__ import annotations

import pytest

from harness.files import file_sha256
from harness.plugins.loading import load_plugins
from heads.training.objectives import MODULES
from heads.weights import BUNDLED
from matchers.backbones.checkpoints import read_checkpoint
from matchers.training.objectives import find_objective
from matchers.training.record import MatcherRecord


@pytest.mark.parametrize("method", MODULES)
def test_a_head_has_its_source_its_card_and_the_record_of_its_training(method):
    host, card = load_plugins(points=[]), (BUNDLED / "README.md").read_text(encoding="utf-8")
    source = host.weight_sources[host.weight_sources[find_objective(method, MODULES).source].stand_in]
    path = source.locate()
    assert path == BUNDLED / f"{method}.safetensors" and path.stat().st_size < 1_000_000
    record = MatcherRecord.model_validate_json((BUNDLED / f"{method}.json").read_text(encoding="utf-8"))
    assert file_sha256(path) == record.files["best.safetensors"]
    settings = read_checkpoint(path).settings
    assert (settings["method"], settings["step"]) == (method, record.best_step)
    assert (record.status, record.step) == ("finished", record.settings.steps)
    assert (source.trained_on, record.settings.validation_split) == ("shapes", "val")
    assert source.training(path) == ("shapes", ("shapes/val",))
    curve = {measured.step: measured.pck for measured in record.validation}
    row = next(line for line in card.splitlines() if line.startswith(f"| `{source.name}` "))
    assert f"| {curve[0]:.1f} | {curve[record.best_step]:.1f} (step {record.best_step}) |" in row
