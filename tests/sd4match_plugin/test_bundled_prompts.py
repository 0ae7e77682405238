"""The tuned prompts that come with the package, on the backbone that comes with it."""

from __future__ import annotations

import json

import pytest
from support.results import predictions

from baselines.weights import BUNDLED as NETWORKS
from harness.cli import status
from harness.datasets.shapes.catalogue import KINDS as CATEGORIES
from harness.files import file_sha256
from sd4match_plugin.methods import BUNDLED
from sd4match_plugin.prompts import files
from sd4match_plugin.tuning.record import TrainingRecord

KINDS = ("single", "class", "cpm")

FOLDERS = {"tiny-stable-diffusion": "stable-diffusion", "tiny-dino": "dino"}


@pytest.fixture(scope="module", params=KINDS)
def prompt_and_record(request):
    """A prompt, and the record of its training."""
    stem = f"{request.param}-shapes"
    record = TrainingRecord.model_validate_json((BUNDLED / f"{stem}.json").read_text(encoding="utf-8"))
    return request.param, files.read(BUNDLED / f"{stem}.safetensors"), record


def test_they_are_small():
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 1_000_000


def test_the_record_is_of_this_prompt(prompt_and_record):
    kind, prompt, record = prompt_and_record
    assert prompt.kind == kind
    assert record.status == "finished"
    assert record.settings.method == prompt.metadata["method"] == f"sd4match-{kind}"
    assert (record.settings.dataset, record.settings.split) == ("shapes", "train")
    assert record.best_step == int(prompt.metadata["step"])
    best = next(point.pck for point in record.validation if point.step == record.best_step)
    assert best == pytest.approx(float(prompt.metadata["validation_pck"]), abs=1e-5)
    assert {
        # Files of single and class are older than this setting, which is none of theirs.
        "position_offset": None,
        **json.loads(prompt.metadata["settings"]),
        "steps": record.settings.steps,
    } == record.settings.model_dump()


def test_it_was_tuned_for_the_networks_beside_it(prompt_and_record):
    _, _, record = prompt_and_record
    for source, hashes in record.weights.items():
        for name, digest in hashes.items():
            if name in ("unet/config.json", "vae/config.json"):
                continue  # after the training, the line that said where they lay was taken out
            assert file_sha256(NETWORKS / FOLDERS[source] / name) == digest, (
                f"{source}: {name} has changed; tune the prompts again"
            )


def test_class_has_every_category():
    assert set(files.read(BUNDLED / "class-shapes.safetensors").prompts) == set(CATEGORIES)


def test_tuning_helps(bench, tmp_path):
    """On pairs that no training saw, with the same extractor, noise and localizer; 13 points on the whole
    split, one draw of noise.
    """
    prompts = ("sd4match-single", "category")
    # Larger batches would compute maps of pictures that no pair of these needs.
    few = ("--limit", 30, "--ensemble", 1, "--batch-size", 1)
    done = bench(
        *("run", "--methods", "sd4match-single", "--prompts", ",".join(prompts), *few, "--out", tmp_path)
    )
    assert done.status == 0, done.err
    pck = {}
    for path in tmp_path.glob("*/record.json"):
        record = json.loads(path.read_text())
        (pck[record["cell"]["prompt"]],) = (
            score["pck"]
            for score in record["scores"]
            if (score["slice"], score["averaging"], score["alpha"]) == ("all", "image", 0.1)
        )
    assert set(pck) == set(prompts)
    assert pck["sd4match-single"] > pck["category"] + 3


@pytest.fixture(scope="module")
def run_together(tmp_path_factory):
    """The results folder of the demo in small, with the prompts of every kind in one run."""
    out = tmp_path_factory.mktemp("together")
    methods = ["dift", *(f"sd4match-{kind}" for kind in KINDS)]
    assert status(["run", "--methods", ",".join(methods), "--limit", "1", "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_needs_no_other_argument_and_no_other_cell(bench, run_together, tmp_path, kind):
    """Marked as tiny, and the same bytes whichever cells ran before."""
    alone = bench("run", "--methods", f"sd4match-{kind}", "--limit", 1, "--out", tmp_path)
    assert alone.status == 0, alone.err
    assert alone.out.count("| tiny-stable-diffusion") == 1
    assert bench("leaderboard", run_together).out.count("| tiny-stable-diffusion") == 1 + len(KINDS)
    computed = predictions(tmp_path)
    assert len(computed) == 1
    assert computed.items() <= predictions(run_together).items()


@pytest.mark.parametrize("kind", KINDS)
def test_doctor_makes_them(bench, kind):
    done = bench("doctor", f"sd4match-{kind}")
    assert done.status == 0, done.out
    assert f"with prompt 'sd4match-{kind}'" in done.out
