"""Prompt tuning as a whole: what gets gradients, what a kill changes (nothing), which prompt is kept, what a
user is told.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.commands import PATIENCE
from support.paths import PIPELINE, ROOT
from support.photos import make_photos, read_list, write_list
from transformers import Dinov2Config, Dinov2Model

from harness.errors import BenchError
from harness.plugins.loading import load_plugins
from harness.running.clock import StageClock
from harness.sweep import DatasetChoice
from harness.weights.choice import WeightChoice
from sd4match_plugin.prompts import files
from sd4match_plugin.prompts.cpm import ABLATION
from sd4match_plugin.tuning.checkpoint import load
from sd4match_plugin.tuning.job import Job, Request, make_job
from sd4match_plugin.tuning.loss import matching_loss
from sd4match_plugin.tuning.pairs import points_of
from sd4match_plugin.tuning.processes import Processes, join_processes
from sd4match_plugin.tuning.settings import USER_SETTINGS, Settings
from sd4match_plugin.tuning.training import Diverged
from sd4match_plugin.tuning.validation import Validation

ONE = Processes(0, 1, "cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Photos of two categories, a small DINO, and the pictures encoded once for all tests."""
    place = tmp_path_factory.mktemp("training")
    photos = make_photos(place / "photos")
    content = read_list(photos)
    for number, pair in enumerate(content["pairs"]):
        pair["category"] = "blob" if number % 2 else "spot"
    write_list(photos, content)
    torch.manual_seed(0)
    Dinov2Model(
        Dinov2Config(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=56, patch_size=14)
    ).save_pretrained(place / "vit")
    return place


@pytest.fixture(scope="module")
def host():
    return load_plugins()


def words(place: Path, method: str, **options: object) -> list[str]:
    """A command line."""
    chosen = {
        "dataset": f"folder={place / 'photos'}",
        "split": "test",
        "validation-split": "test",
        "steps": 4,
        "batch": 3,
        "validate-every": 2,
        "device": "cpu",
        "cache": place / "cache",
    } | {name.replace("_", "-"): value for name, value in options.items()}
    flags = [
        word for name, value in chosen.items() if value is not None for word in (f"--{name}", str(value))
    ]
    return [
        "train",
        method,
        *flags,
        "--weights",
        f"stable-diffusion-2-1={PIPELINE}",
        "--weights",
        f"dinov2-base={place / 'vit'}",
    ]


def job(
    host, place: Path, out: Path, method: str = "sd4match-single", mine: Processes = ONE, **changed
) -> Job:
    """A training, ready to go."""
    given = {"steps": 4, "batch": 3, "validation_split": "test", "validate_every": 2} | changed
    own = {name: given.pop(name, Settings.model_fields[name].default) for name in USER_SETTINGS}
    request = Request(
        method=method,
        dataset=DatasetChoice("folder", place / "photos"),
        data_root=place,
        weights=WeightChoice.parse(
            host, [f"stable-diffusion-2-1={PIPELINE}", f"dinov2-base={place / 'vit'}"]
        ),
        out=out,
        cache=place / "cache",
        device="cpu",
        settings=own,
        split="test",
        **given,
    )
    return make_job(host, request, mine, lambda what, done, total: None, StageClock(), "now")


ROUNDING = 0.01
"""The miniature's made-up weights enlarge rounding."""


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative, of two gradients."""
    return float((found - expected).norm() / expected.norm())


def prompt_bytes(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("best.safetensors", "last.safetensors")]


@pytest.mark.parametrize("method", ["sd4match-single", "sd4match-class", "sd4match-cpm"])
def test_gradients_are_those_of_the_whole_batch_written_down_at_once(host, place, tmp_path, method):
    made = job(host, place, tmp_path, method, pairs_at_once=2)
    training, material = made.training, made.inputs
    share = training.gradients.accumulate(0)
    found = [parameter.grad for parameter in material.prompting.module.parameters()]
    material.prompting.module.zero_grad()
    numbers = training.gradients._order.numbers(0, 3)
    pairs = [material.pairs[number] for number in numbers]
    points = points_of(pairs, material.maps.frame)
    maps = []
    for side, pick in enumerate(("source", "target")):
        rows = material.prompting.rows(
            material.prompting.module, [material.prompting.keys(pair)[side] for pair in pairs]
        )
        images = [getattr(pair, pick).identity() for pair in pairs]
        noisy = material.maps.draw(images, 0, [f"{number} {pick}" for number in range(3)])
        maps.append(material.maps(noisy, material.encoder(rows)))
    frame = material.maps.frame
    loss = matching_loss(*maps, points.source, points.target, points.counts, frame, frame)
    loss.backward()
    assert share == pytest.approx(float(loss.detach()), rel=1e-4)
    for parameter, gradient in zip(material.prompting.module.parameters(), found, strict=True):
        assert (gradient is None) == (parameter.grad is None)
        if gradient is not None:
            assert gradient.abs().max() > 0
            assert distance(gradient, parameter.grad) < ROUNDING


def test_only_the_prompt_learns_and_nothing_is_encoded_in_a_step(host, place, tmp_path, monkeypatch):
    made = job(host, place, tmp_path, "sd4match-cpm")
    backbone = made.inputs.maps._backbone
    monkeypatch.setattr(backbone, "posterior", lambda pixels: pytest.fail("the VAE ran in a step"))
    monkeypatch.setattr(
        "sd4match_plugin.prompts.descriptors.ImagePatches", lambda *_: pytest.fail("DINO ran in a step")
    )
    before = {name: value.clone() for name, value in made.inputs.prompting.module.state_dict().items()}
    frozen = [*backbone.unet.parameters(), *backbone.vae.parameters(), *backbone.text_encoder.parameters()]
    made.training.run(None)
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in frozen)
    for name, value in made.inputs.prompting.module.state_dict().items():
        assert not torch.equal(value, before[name]), name


def test_checkpointing_and_few_pairs_at_once_change_rounding_only(host, place, tmp_path):
    gradients = []
    for number, changed in enumerate(({}, {"checkpointing": True}, {"pairs_at_once": 1})):
        made = job(host, place, tmp_path / str(number), **changed)
        made.training.gradients.accumulate(0)
        gradients.append(next(made.inputs.prompting.module.parameters()).grad)
    for other in gradients[1:]:
        assert distance(other, gradients[0]) < ROUNDING


def test_the_loss_falls(host, place, tmp_path):
    made = job(host, place, tmp_path, steps=40, rate=0.05, limit_train=1, validation_split="none")
    losses = []
    made.training.run(None, lambda step, loss: losses.append(loss))
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_in_single(host, place, tmp_path, precision):
    """The scaler finds its scale in the first steps, which it skips."""
    made = job(host, place, tmp_path, precision=precision, validation_split="none", steps=8)
    before = next(made.inputs.prompting.module.parameters()).detach().clone()
    made.training.run(None)
    after = next(made.inputs.prompting.module.parameters())
    assert after.dtype == torch.float32
    assert made.training._scaler.is_enabled() == (precision == "fp16")
    assert (after - before).abs().max() > 1e-3


def test_the_release_sees_a_third_of_the_batch_and_lets_absent_categories_drift(host, place, tmp_path):
    moved = {}
    for recipe in ("paper", "release"):
        made = job(host, place, tmp_path / recipe, "sd4match-class", recipe=recipe, validation_split="none")
        training, prompting = made.training, made.inputs.prompting
        seen = []
        for only in ("blob", "spot"):
            pairs = [pair for pair in made.data.pairs if pair.category == only]
            gradients = training.gradients
            gradients._pairs = pairs
            gradients._order = type(gradients._order)(len(pairs), 0)
            before = [row.detach().clone() for row in prompting.module.rows]
            training._update()
            training.step += 1
            seen.append(
                [not torch.equal(row, old) for row, old in zip(prompting.module.rows, before, strict=True)]
            )
        assert seen[0] == [True, False]
        moved[recipe] = seen[1]
        assert made.settings.pairs_per_step == (3 if recipe == "paper" else 1)
    assert moved == {"paper": [False, True], "release": [True, True]}


def test_empty_start_is_the_empty_text(host, place, tmp_path):
    made = job(host, place, tmp_path, init="empty")
    backbone = made.inputs.maps._backbone
    rows = made.inputs.prompting.module(["dataset"])
    # The last row is the end token of a whole prompt, where the empty text has padding; rows look back only.
    torch.testing.assert_close(
        made.inputs.encoder(rows)[0, :76], backbone.text_states("")[:76], rtol=0, atol=1e-5
    )


def test_text_start_is_the_text_of_the_category(host, place, tmp_path):
    made = job(host, place, tmp_path, method="sd4match-class", init="text")
    backbone = made.inputs.maps._backbone
    for key in made.inputs.prompting.names:
        found = made.inputs.encoder(made.inputs.prompting.module([key]))[0, :76]
        torch.testing.assert_close(found, backbone.text_states(f"a photo of a {key}")[:76], rtol=0, atol=1e-5)


class Crash(Exception):
    """A power cut."""


@pytest.mark.parametrize("method", ["sd4match-single", "sd4match-cpm"])
def test_a_training_that_was_stopped_gives_the_bytes_of_one_that_was_not(host, place, tmp_path, method):
    options = {"steps": 7, "validate_every": 3, "save_every": 2}
    job(host, place, tmp_path / "whole", method, **options).training.run(None)

    def stop_at(last):
        def progress(step, loss):
            if step == last:
                raise Crash

        return progress

    for last in (1, 5, 6):
        with pytest.raises(Crash):
            job(host, place, tmp_path / "cut", method, **options).training.run(None, stop_at(last))
    resumed = job(host, place, tmp_path / "cut", method, **options)
    assert resumed.resumed == 4
    resumed.training.run(None)
    assert prompt_bytes(tmp_path / "cut") == prompt_bytes(tmp_path / "whole")
    states = [load(tmp_path / name, resumed.settings, "cpu") for name in ("cut", "whole")]
    assert states[0].history.losses == states[1].history.losses
    assert states[0].history.validation == states[1].history.validation


def test_a_killed_process_goes_on(place, tmp_path, bench):
    """Killed for good (-9) in the middle of step 4."""
    options = {"steps": 6, "save_every": 1, "out": tmp_path / "cut"}
    arguments = words(place, "sd4match-single", **options)
    code = (
        "import os, signal, sys\n"
        "from harness.cli import status\n"
        "import sd4match_plugin.tuning.gradients as gradients\n"
        "loss, calls = gradients.matching_loss, []\n"
        "def killing(*arguments):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return loss(*arguments)\n"
        "gradients.matching_loss = killing\n"
        "status(sys.argv[1:])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "cut" / "checkpoint.pt").exists()
    assert bench(*arguments).status == 0
    record = json.loads((tmp_path / "cut" / "record.json").read_text())
    assert (record["step"], record["status"], record["encoded_images"]) == (6, "finished", 0)
    assert bench(*words(place, "sd4match-single", **{**options, "out": tmp_path / "whole"})).status == 0
    assert prompt_bytes(tmp_path / "cut") == prompt_bytes(tmp_path / "whole")


def test_more_steps_may_be_asked_for_and_other_settings_not(place, tmp_path, bench):
    arguments = {"out": tmp_path, "validate_every": 1}
    assert bench(*words(place, "sd4match-single", steps=2, **arguments)).status == 0
    for changed, told in (
        ({"rate": 0.5}, "rate 0.01"),
        ({"steps": 1}, "2 steps already"),
        ({"seed": 1}, "seed 0"),
        ({"batch": 2}, "batch 3"),
    ):
        done = bench(*words(place, "sd4match-single", **{"steps": 2, **arguments, **changed}))
        assert done.status == 2
        assert told in done.complaint or "steps 2" in done.complaint
    longer = bench(*words(place, "sd4match-single", steps=3, **arguments))
    assert longer.status == 0
    bench(*words(place, "sd4match-single", steps=3, **{**arguments, "out": tmp_path / "whole"}))
    assert prompt_bytes(tmp_path) == prompt_bytes(tmp_path / "whole")


def test_a_damaged_checkpoint_is_told_in_one_line(place, tmp_path, bench):
    (tmp_path / "checkpoint.pt").write_bytes(b"half of one")
    done = bench(*words(place, "sd4match-single", out=tmp_path))
    assert done.status == 2
    assert "cannot be read as a checkpoint" in done.complaint


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(place, tmp_path, bench, monkeypatch):
    calls = []

    def failing(*arguments):
        calls.append(1)
        return matching_loss(*arguments) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr("sd4match_plugin.tuning.gradients.matching_loss", failing)
    done = bench(*words(place, "sd4match-single", out=tmp_path, save_every=2, validation_split="none"))
    assert done.status == 1
    assert done.err.splitlines()[-1].startswith("bench: the loss is nan at step 3;")
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["status"] == "stopped"
    assert load(tmp_path, Settings.model_validate(record["settings"]), "cpu").step == 2
    assert files.read(tmp_path / "last.safetensors").metadata["step"] == "2"
    assert issubclass(Diverged, BenchError)


def test_the_best_prompt_is_kept_and_survives_a_resume(host, place, tmp_path, monkeypatch):
    found = {1: 10.0, 2: 30.0, 3: 20.0, 4: 30.0, 5: 5.0}
    made = job(host, place, tmp_path, steps=3, validate_every=1)
    monkeypatch.setattr(Validation, "pck", lambda self, prompting: found[made.training.step])
    made.training.run(None)
    best = files.read(tmp_path / "best.safetensors")
    assert (best.metadata["step"], best.metadata["validation_pck"]) == ("2", "30.000000")
    kept = (tmp_path / "best.safetensors").read_bytes()
    (tmp_path / "best.safetensors").unlink()
    made = job(host, place, tmp_path, steps=5, validate_every=1)
    made.training.run(None)
    assert (tmp_path / "best.safetensors").read_bytes() == kept
    assert files.read(tmp_path / "last.safetensors").metadata["step"] == "5"


@pytest.mark.parametrize("method", ["sd4match-single", "sd4match-class", "sd4match-cpm"])
def test_validation_and_evaluation_agree(place, tmp_path, bench, method):
    """`bench run` with the best prompt at the training's timestep, one draw, argmax, gives the PCK it was
    chosen by.
    """
    trained = bench(*words(place, method, out=tmp_path / "prompt", steps=2))
    assert trained.status == 0, trained.err
    best, evaluate = trained.out.splitlines()
    metadata = files.read(tmp_path / "prompt" / "best.safetensors").metadata
    assert str(tmp_path / "prompt" / "best.safetensors") in best
    arguments = [
        *evaluate.split()[1:],
        "--train-timestep",
        "--ensemble",
        "1",
        "--localizers",
        "argmax",
        "--alphas",
        "0.1",
    ]
    done = bench(*arguments, "--device", "cpu", "--out", tmp_path / "results")
    assert done.status == 0, done.err
    (path,) = (tmp_path / "results").glob("*/record.json")
    (pck,) = (
        score["pck"]
        for score in json.loads(path.read_text())["scores"]
        if score["slice"] == "all" and score["averaging"] == "image"
    )
    # One point of one pair may go the other way: the passes are batched otherwise.
    assert float(metadata["validation_pck"]) == pytest.approx(pck, abs=100 / 12 / 5 + 1e-6)
    assert metadata["timestep"] == "261"


@pytest.mark.parametrize("case", ["pair-head", "image-patches", "image-head", "no-global", "no-mixing"])
def test_every_case_of_the_ablation_trains(host, place, tmp_path, case):
    made = job(
        host, place, tmp_path, "sd4match-cpm", ablation=case, gate="paper", steps=1, limit_validation=2
    )
    made.training.run(None)
    read = files.read(tmp_path / "last.safetensors")
    assert read.config == made.inputs.prompting.config
    assert read.config.gate == "paper"


def test_one_command_tunes_and_compares_all_cases(place, tmp_path, bench):
    given = words(place, "sd4match-cpm", steps=1, limit_validation=2, limit_train=3, out=tmp_path / "cases")
    command = ["ablation", *given[2:], "--results", tmp_path / "results"]
    done = bench(*command)
    assert done.status == 0, done.err
    rows = [line for line in done.out.splitlines() if line.startswith("| ") and "sd4match-cpm[" in line]
    assert {row.split("prompt-file=")[1].split("/")[0] for row in rows} == set(ABLATION)
    assert all("±" in row for row in rows)
    tuned = {case: files.read(tmp_path / "cases" / case / "best.safetensors").config for case in ABLATION}
    sizes = {name: getattr(tuned["pair-patches"], name) for name in ("image_width", "patches", "text_width")}
    assert tuned == {case: replace(config, **sizes) for case, config in ABLATION.items()}
    # Again: every training is finished, every cell is there.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("predictions.parquet")}
    assert bench(*command).status == 0
    assert before == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("predictions.parquet")
    }


def test_an_ablation_is_for_one_process(place, bench, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = bench("ablation")
    assert done.status == 2 and "one process" in done.complaint


def test_a_wrong_split_stops_an_ablation_before_it_tunes(bench, tmp_path):
    done = bench("ablation", "--test-split", "tset", "--out", tmp_path / "cases")
    assert done.status == 2 and "has the splits test, val, train" in done.complaint
    assert not (tmp_path / "cases").exists()


def test_what_a_training_leaves_behind(place, tmp_path, bench):
    done = bench(*words(place, "sd4match-class", out=tmp_path, tensorboard=None))
    assert (done.status, done.err) == (0, "")
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["settings"]["dataset"] == "folder:photos"
    assert record["settings"]["manifest"] and record["weights"]["stable-diffusion-2-1"]["unet/config.json"]
    assert record["trained_parameters"] == 2 * 75 * 8
    assert [one["step"] for one in record["validation"]] == [2, 4]
    assert record["best_step"] in (2, 4)
    assert {"train", "validate", "save", "encode", "load"} <= set(record["seconds"])
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [one["step"] for one in log] == [1, 2, 3, 4]
    assert {"loss", "rate", "seconds_per_step", "validation_pck"} <= set(log[1])
    prompt = files.read(tmp_path / "best.safetensors")
    assert set(prompt.prompts) == {"blob", "spot"}
    assert (prompt.metadata["method"], prompt.metadata["dataset"], prompt.metadata["recipe"]) == (
        "sd4match-class",
        "folder:photos",
        "paper",
    )
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("method", "options", "told"),
    [
        ("dift", {}, "'dift' has nothing to train"),
        ("sd4match-singel", {}, "did you mean"),
        ("sd4match-single", {"dataset": "shape"}, "did you mean shapes"),
        ("sd4match-single", {"dataset": "pf-willow", "split": None}, "no training split, only test"),
        ("sd4match-single", {"split": "train"}, "has the splits test"),
        ("sd4match-single", {"rate": "-1"}, "rate"),
        ("sd4match-single", {"rate": "nan"}, "rate"),
        ("sd4match-single", {"tokens": 76}, "1 to 75"),
        ("sd4match-single", {"kernel": 4}, "odd"),
        ("sd4match-single", {"timestep": 1000}, "timesteps 0 to 999"),
        ("sd4match-single", {"recipe": "release", "batch": 4}, "multiple"),
        ("sd4match-cpm", {"ablation": "pair-haed"}, "did you mean pair-head"),
        ("sd4match-single", {"device": "tpu9"}, "--device"),
    ],
)
def test_a_users_mistake_is_one_line(place, tmp_path, bench, method, options, told):
    done = bench(*words(place, method, **{"out": tmp_path / "out", "data-root": tmp_path, **options}))
    assert done.status == 2
    assert told in done.complaint


def test_missing_weights_are_one_line(place, tmp_path, bench):
    done = bench(
        "train",
        "sd4match-single",
        "--weights",
        "paper",
        "--weights-root",
        tmp_path,
        "--out",
        tmp_path / "out",
    )
    assert done.status == 2
    assert "stable-diffusion-2-1" in done.complaint


def test_tensorboard_that_is_asked_for_and_not_there(place, tmp_path, bench, monkeypatch):
    monkeypatch.setattr("sd4match_plugin.tuning.record.find_spec", lambda name: None)
    done = bench(*words(place, "sd4match-single", out=tmp_path), "--tensorboard")
    assert done.status == 2
    assert "pip install tensorboard" in done.complaint


def test_two_processes_give_the_prompt_of_one(host, place, tmp_path):
    """Three pairs over two processes: the mean over the whole batch, although one has twice as many."""
    methods = ["sd4match-single", "sd4match-class", "sd4match-cpm"]
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        __file__,
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [*map(str, launcher), str(place), str(tmp_path / "two"), *methods],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for method in methods:
        made = job(host, place, tmp_path / "one" / method, method, steps=2)
        made.training.run(None)
        gradients = torch.load(tmp_path / "two" / method / "gradients.pt", weights_only=True)
        for name, parameter in made.inputs.prompting.module.named_parameters():
            # A category that no process has seen keeps no gradient.
            assert (gradients[name] is None) == (parameter.grad is None), (method, name)
            if parameter.grad is not None:
                # The second step's: in the first, Adam made steps of either sign of gradients near zero.
                assert distance(gradients[name], parameter.grad) < 5 * ROUNDING, (method, name)
        one, two = (files.read(tmp_path / many / method / "last.safetensors") for many in ("one", "two"))
        assert one.metadata.keys() == two.metadata.keys()
        for name, tensor in {**one.prompts, **one.state}.items():
            # Adam turns a gradient near zero into a step of either sign; few elements have one.
            apart = ({**two.prompts, **two.state}[name] - tensor).abs()
            assert float((apart > 1e-3).float().mean()) < 0.01, (method, name)


def take_part(place: Path, out: Path, methods: list[str]) -> None:
    """One of the processes of the test above: two steps of each method; the first process keeps its last
    gradients.
    """
    host = load_plugins()
    with join_processes("cpu") as group:
        for method in methods:
            (out / method).mkdir(parents=True, exist_ok=True)
            made = job(host, place, out / method, method, group, steps=2)
            made.training.run(None)
            if group.is_main:
                gradients = {
                    name: parameter.grad
                    for name, parameter in made.inputs.prompting.module.named_parameters()
                }
                torch.save(gradients, out / method / "gradients.pt")
            # No process leaves before the others are done.
            group.gather(None)
    # Freed by a reducer, the group would now and then wait for ever.
    assert "reducer" not in vars(made.training.gradients._wrapped_module)


if __name__ == "__main__":
    take_part(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
