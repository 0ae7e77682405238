"""The small networks of matchers that come with the package, and the records of their trainings."""

from __future__ import annotations

import pytest

from harness.files import file_sha256
from harness.plugins.loading import load_plugins
from harness.training.record import TrainingFacts
from matchers.backbones.checkpoints import read_checkpoint
from matchers.training.objectives import MODULES, find_objective
from matchers.training.record import MatcherRecord
from matchers.weights import BUNDLED


@pytest.fixture(scope="module", params=MODULES)
def record(request):
    text = (BUNDLED / f"{request.param}.json").read_text(encoding="utf-8")
    return MatcherRecord.model_validate_json(text)


def test_all_together_are_small():
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 12_000_000


def test_each_has_its_source_and_its_card():
    host, card = load_plugins(points=[]), (BUNDLED / "README.md").read_text(encoding="utf-8")
    for method in MODULES:
        source = host.weight_sources[host.weight_sources[find_objective(method).source].stand_in]
        assert source.trained_on == "shapes" and f"`{source.name}`" in card
        assert source.locate() == BUNDLED / f"{method}.safetensors"


def test_the_record_is_of_this_file(record: MatcherRecord):
    method = record.settings.method
    path = BUNDLED / f"{method}.safetensors"
    assert file_sha256(path) == record.files["best.safetensors"]
    settings = read_checkpoint(path).settings
    assert (settings["method"], settings["step"]) == (method, record.best_step)
    assert (settings["dataset"], settings["split"], settings["seed"]) == ("shapes", "train", 0)
    assert (record.status, record.step) == ("finished", record.settings.steps)
    # Nothing was chosen on the split that tables show.
    assert record.settings.validation_split == "val"


def test_its_card_tells_whether_it_learned(record: MatcherRecord):
    curve = {measured.step: measured.pck for measured in record.validation}
    best = curve[record.best_step]
    assert best == max(pck for step, pck in curve.items() if step)
    card = (BUNDLED / "README.md").read_text(encoding="utf-8")
    row = next(line for line in card.splitlines() if line.startswith(f"| `tiny-{record.settings.method}` "))
    assert f"| {curve[0]:.1f} | {best:.1f} (step {record.best_step}) |" in row
    # Those that hardly learned are named below the table.
    unlearned = {"chm", "transformatcher", "semimatch"}
    assert best > curve[0] + 3 or record.settings.method in unlearned
    assert record.losses[-1].step == record.step


def test_it_started_from_the_weights_beside_it(record: TrainingFacts):
    for source, hashes in record.weights.items():
        for name, digest in hashes.items():
            if source.startswith("tiny-") and (BUNDLED / name).exists():
                assert file_sha256(BUNDLED / name) == digest, f"{name} has changed; train again"
