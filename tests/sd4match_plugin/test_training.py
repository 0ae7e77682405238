"""The steps of a training: what gets gradients, what it starts from, and several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.commands import PATIENCE
from support.paths import ROOT
from support.trainings import ROUNDING, gradient_distance, make_training

from harness.plugins.loading import load_plugins
from sd4match_plugin.prompts import files
from sd4match_plugin.tuning.loss import matching_loss
from sd4match_plugin.tuning.pairs import points_of
from sd4match_plugin.tuning.processes import join_processes


@pytest.mark.parametrize("method", ["sd4match-single", "sd4match-class", "sd4match-cpm"])
def test_gradients_are_those_of_the_whole_batch_written_down_at_once(host, workspace, tmp_path, method):
    job = make_training(host, workspace, tmp_path, method, pairs_at_once=2)
    training, inputs = job.training, job.inputs
    share = training.gradients.accumulate(0)
    gradients = [parameter.grad for parameter in inputs.prompting.module.parameters()]
    inputs.prompting.module.zero_grad()
    numbers = training.gradients._order.numbers(0, 3)
    pairs = [inputs.pairs[number] for number in numbers]
    points = points_of(pairs, inputs.maps.frame)
    maps = []
    for side, pick in enumerate(("source", "target")):
        rows = inputs.prompting.rows(
            inputs.prompting.module, [inputs.prompting.keys(pair)[side] for pair in pairs]
        )
        images = [getattr(pair, pick).identity() for pair in pairs]
        noisy = inputs.maps.draw(images, 0, [f"{number} {pick}" for number in range(3)])
        maps.append(inputs.maps(noisy, inputs.encoder(rows)))
    frame = inputs.maps.frame
    loss = matching_loss(*maps, points.source, points.target, points.counts, frame, frame)
    loss.backward()
    assert share == pytest.approx(float(loss.detach()), rel=1e-4)
    for parameter, gradient in zip(inputs.prompting.module.parameters(), gradients, strict=True):
        assert (gradient is None) == (parameter.grad is None)
        if gradient is not None:
            assert gradient.abs().max() > 0
            assert gradient_distance(gradient, parameter.grad) < ROUNDING


def test_only_the_prompt_learns_and_nothing_is_encoded_in_a_step(host, workspace, tmp_path, monkeypatch):
    job = make_training(host, workspace, tmp_path, "sd4match-cpm")
    backbone = job.inputs.maps._backbone
    monkeypatch.setattr(backbone, "posterior", lambda pixels: pytest.fail("the VAE ran in a step"))
    monkeypatch.setattr(
        "sd4match_plugin.prompts.descriptors.ImagePatches", lambda *_: pytest.fail("DINO ran in a step")
    )
    before = {name: value.clone() for name, value in job.inputs.prompting.module.state_dict().items()}
    frozen = [*backbone.unet.parameters(), *backbone.vae.parameters(), *backbone.text_encoder.parameters()]
    job.training.run(None)
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in frozen)
    for name, value in job.inputs.prompting.module.state_dict().items():
        assert not torch.equal(value, before[name]), name


def test_checkpointing_and_few_pairs_at_once_change_rounding_only(host, workspace, tmp_path):
    gradients = []
    for number, changed in enumerate(({}, {"checkpointing": True}, {"pairs_at_once": 1})):
        job = make_training(host, workspace, tmp_path / str(number), **changed)
        job.training.gradients.accumulate(0)
        gradients.append(next(job.inputs.prompting.module.parameters()).grad)
    for gradient in gradients[1:]:
        assert gradient_distance(gradient, gradients[0]) < ROUNDING


def test_the_loss_falls(host, workspace, tmp_path):
    job = make_training(
        host, workspace, tmp_path, steps=40, rate=0.05, limit_train=1, validation_split="none"
    )
    losses = []
    job.training.run(None, lambda step, loss: losses.append(loss))
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_in_single(host, workspace, tmp_path, precision):
    """The scaler finds its scale in the first steps, which it skips."""
    job = make_training(host, workspace, tmp_path, precision=precision, validation_split="none", steps=8)
    before = next(job.inputs.prompting.module.parameters()).detach().clone()
    job.training.run(None)
    after = next(job.inputs.prompting.module.parameters())
    assert after.dtype == torch.float32
    assert job.training._scaler.is_enabled() == (precision == "fp16")
    assert (after - before).abs().max() > 1e-3


def test_the_release_sees_a_third_of_the_batch_and_lets_absent_categories_drift(host, workspace, tmp_path):
    moved = {}
    for recipe in ("paper", "release"):
        job = make_training(
            host, workspace, tmp_path / recipe, "sd4match-class", recipe=recipe, validation_split="none"
        )
        training, prompting = job.training, job.inputs.prompting
        moves = []
        for category in ("blob", "spot"):
            pairs = [pair for pair in job.data.pairs if pair.category == category]
            gradients = training.gradients
            gradients._pairs = pairs
            gradients._order = type(gradients._order)(len(pairs), 0)
            before = [row.detach().clone() for row in prompting.module.rows]
            training._update()
            training.step += 1
            moves.append(
                [not torch.equal(row, old) for row, old in zip(prompting.module.rows, before, strict=True)]
            )
        assert moves[0] == [True, False]
        moved[recipe] = moves[1]
        assert job.settings.pairs_per_step == (3 if recipe == "paper" else 1)
    assert moved == {"paper": [False, True], "release": [True, True]}


def test_empty_start_is_the_empty_text(host, workspace, tmp_path):
    job = make_training(host, workspace, tmp_path, init="empty")
    backbone = job.inputs.maps._backbone
    rows = job.inputs.prompting.module(["dataset"])
    # The last row is the end token of a whole prompt, where the empty text has padding; rows look back only.
    torch.testing.assert_close(
        job.inputs.encoder(rows)[0, :76], backbone.text_states("")[:76], rtol=0, atol=1e-5
    )


def test_text_start_is_the_text_of_the_category(host, workspace, tmp_path):
    job = make_training(host, workspace, tmp_path, method="sd4match-class", init="text")
    backbone = job.inputs.maps._backbone
    for key in job.inputs.prompting.names:
        states = job.inputs.encoder(job.inputs.prompting.module([key]))[0, :76]
        torch.testing.assert_close(
            states, backbone.text_states(f"a photo of a {key}")[:76], rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("case", ["pair-head", "image-patches", "image-head", "no-global", "no-mixing"])
def test_every_case_of_the_ablation_trains(host, workspace, tmp_path, case):
    job = make_training(
        host, workspace, tmp_path, "sd4match-cpm", ablation=case, gate="paper", steps=1, limit_validation=2
    )
    job.training.run(None)
    read = files.read(tmp_path / "last.safetensors")
    assert read.config == job.inputs.prompting.config
    assert read.config.gate == "paper"


def test_two_processes_give_the_prompt_of_one(host, workspace, tmp_path):
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
        [*map(str, launcher), str(workspace), str(tmp_path / "two"), *methods],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for method in methods:
        job = make_training(host, workspace, tmp_path / "one" / method, method, steps=2)
        job.training.run(None)
        gradients = torch.load(tmp_path / "two" / method / "gradients.pt", weights_only=True)
        for name, parameter in job.inputs.prompting.module.named_parameters():
            # A category that no process has moves keeps no gradient.
            assert (gradients[name] is None) == (parameter.grad is None), (method, name)
            if parameter.grad is not None:
                # The second step's: in the first, Adam made steps of either sign of gradients near zero.
                assert gradient_distance(gradients[name], parameter.grad) < 5 * ROUNDING, (method, name)
        one, two = (files.read(tmp_path / many / method / "last.safetensors") for many in ("one", "two"))
        assert one.metadata.keys() == two.metadata.keys()
        for name, tensor in {**one.prompts, **one.state}.items():
            # Adam turns a gradient near zero into a step of either sign; few elements have one.
            apart = ({**two.prompts, **two.state}[name] - tensor).abs()
            assert float((apart > 1e-3).float().mean()) < 0.01, (method, name)


def take_part(workspace: Path, out: Path, methods: list[str]) -> None:
    """One of the processes of the test above: two steps of each method; the first process keeps its last
    gradients.
    """
    host = load_plugins()
    with join_processes("cpu") as group:
        for method in methods:
            (out / method).mkdir(parents=True, exist_ok=True)
            job = make_training(host, workspace, out / method, method, group, steps=2)
            job.training.run(None)
            if group.is_main:
                gradients = {
                    name: parameter.grad for name, parameter in job.inputs.prompting.module.named_parameters()
                }
                torch.save(gradients, out / method / "gradients.pt")
            # No process leaves before the others are done.
            group.gather(None)
    # Freed by a reducer, the group would now and then wait for ever.
    assert "reducer" not in vars(job.training.gradients._wrapped_module)


if __name__ == "__main__":
    take_part(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
