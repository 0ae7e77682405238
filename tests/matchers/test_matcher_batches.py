"""Batches of pairs as matchers are trained on them: pictures, points, masks, colours, negatives, rates."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from harness.datasets.shapes.spec import SHAPES
from harness.datasets.splits import read_split
from harness.errors import UserError
from matchers.backbones.inputs import stretched_prepare
from matchers.sfnet.objective import OBJECTIVE as SFNET
from matchers.training.colours import change_colours
from matchers.training.inputs import BatchMaker, Masks, seeded
from matchers.training.objective import Batch, TrainingSettings
from matchers.training.objectives import MODULES, find_objective
from matchers.training.settings import Settings, choose_settings, count_steps

SETTINGS = TrainingSettings(
    supervision="masks", image_size=64, border=8, rate=0.1, batch=3, steps=4, colours=False
)


@pytest.fixture(scope="module")
def pairs():
    index = read_split(SHAPES, Path(), "val")
    return list(index.pairs.values())[::31]


def make_batches(pairs, settings=SETTINGS, masks=None, seed=0):
    objective = SFNET
    return BatchMaker(objective, settings, pairs, masks, seed, 4, torch.device("cpu"))


def test_points_and_masks_follow_the_picture_into_its_border(pairs):
    masks = Masks.of(SHAPES, Path(), "val")
    batch = make_batches(pairs, masks=masks).make(0)
    assert batch.source.shape == (3, 3, 64, 64) and batch.source_mask.shape == (3, 1, 64, 64)
    border = stretched_prepare(64, 8)(PIL.Image.new("RGB", (5, 5)))[:, 0, 0]
    assert torch.equal(batch.source[0][:, :8].reshape(3, -1).T.unique(dim=0)[0], border)
    hits = []
    for side in ("source", "target"):
        for mask, points in zip(
            getattr(batch, f"{side}_mask"), getattr(batch, f"{side}_points"), strict=True
        ):
            assert set(mask.unique().tolist()) == {0.0, 1.0}
            assert not mask[0, :8].any() and not mask[0, :, -8:].any()
            assert (points >= 8).all() and (points < 56).all()
            x, y = points.long().unbind(1)
            grown = torch.nn.functional.max_pool2d(mask, 5, 1, 2)[0]
            hits += grown[y, x].tolist()
    assert np.mean(hits) > 0.9


def test_a_batch_follows_from_seed_and_step(pairs):
    settings = SETTINGS.model_copy(update={"colours": True})
    first, again = (make_batches(pairs, settings).make(2) for _ in range(2))
    assert torch.equal(first.source, again.source) and first.categories == again.categories
    assert (first.step, first.steps, first.epoch) == (2, 4, 2 * 3 // len(pairs))
    other = make_batches(pairs, settings, seed=1).make(2)
    assert first.source.shape == other.source.shape and not torch.equal(first.source, other.source)
    plain = make_batches(pairs).make(2)
    assert plain.categories == first.categories and not torch.equal(plain.source, first.source)
    assert torch.equal(plain.source_points[0], first.source_points[0])


def test_every_change_of_colours_happens_and_none_moves_a_pixel():
    picture = PIL.Image.new("RGB", (8, 8), (200, 40, 90))
    picture.paste((20, 220, 130), (0, 0, 4, 8))
    seen = Counter()
    for seed in range(200):
        changed = np.asarray(change_colours(picture, seeded("colours", seed)))
        assert changed.shape == (8, 8, 3)
        # Sharpening reaches over the edge; one pixel from it both halves are even.
        for half in (changed[1:-1, 1:3], changed[1:-1, 5:-1]):
            assert len(np.unique(half.reshape(-1, 3), axis=0)) == 1
        seen["grey"] += (changed[..., 0] == changed[..., 1]).all() and (
            changed[..., 1] == changed[..., 2]
        ).all()
        seen["same"] += np.array_equal(changed, np.asarray(picture))
    assert 15 < seen["grey"] < 70 and seen["same"] < 40


def test_negatives_are_of_another_category():
    categories = ("cat", "cat", "car", "house")
    empty = torch.zeros(4, 3, 2, 2)
    batch = Batch(empty, empty, [], [], None, None, categories)
    drawn = [batch.negatives(seeded(number)).tolist() for number in range(20)]
    assert all(categories[row] != categories[other] for rows in drawn for row, other in enumerate(rows))
    assert len(set(map(tuple, drawn))) > 1
    alone = Batch(empty, empty, [], [], None, None, ("cat",) * 4)
    assert alone.negatives(seeded(0)).tolist() == [-1] * 4


@pytest.mark.parametrize("method", MODULES)
def test_an_objectives_settings_are_whole(method):
    objective = find_objective(method)
    assert objective.method == method
    for settings in (objective.published, objective.small):
        assert (settings.steps is None) != (settings.epochs is None)
        assert set(settings.options) == set(objective.option_help)
    assert objective.published.supervision == objective.small.supervision


def test_rates_fall_at_milestones_or_along_a_cosine():
    def settings(**changes):
        training = SETTINGS.model_copy(update=changes)
        return Settings(
            method="cats",
            dataset="shapes",
            split="train",
            validation_split=None,
            manifest="",
            validation_manifest=None,
            weights="",
            recipe="small",
            training=training,
            pairs=10,
            steps=count_steps(training, 10),
            validate_every=1,
        )

    by_epoch = settings(steps=None, epochs=3, milestones=(1, 2), factor=0.5)
    assert by_epoch.steps == 12 and by_epoch.milestones == (4, 8)
    assert [by_epoch.factor(step) for step in (0, 3, 4, 7, 8)] == [1, 1, 0.5, 0.5, 0.25]
    cosine = settings(decay="cosine", steps=10)
    assert [cosine.factor(step) for step in (0, 5)] == [1, pytest.approx(0.5)]


def test_the_users_settings_go_before_the_objectives():
    chosen = choose_settings(
        SFNET, "small", {"rate": 0.5, "batch": None}, {"flow_weight": "2", "epochs": "3"}
    )
    assert (chosen.rate, chosen.batch) == (0.5, SFNET.small.batch)
    assert (chosen.epochs, chosen.steps) == (3, None) and chosen.options["flow_weight"] == 2.0
    share = SFNET.small.milestones[0] / SFNET.small.steps
    assert choose_settings(SFNET, "small", {"steps": 40}, {}).milestones == (round(40 * share),)
    assert choose_settings(SFNET, "small", {"steps": 40}, {"milestones": "5,6"}).milestones == (5, 6)
    with pytest.raises(UserError, match="--set smooth_weight: 'nan' is not a number"):
        choose_settings(SFNET, "small", {}, {"smooth_weight": "nan"})
