"""The parts of prompt tuning: what is kept of pictures, which pairs a step sees, what may be gone on with."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import torch
from support.paths import ROOT
from support.photos import make_photos, read_list, write_list
from transformers import Dinov2Config, Dinov2Model

from harness.caching.array_store import Store
from harness.datasets import folder
from harness.datasets.splits import read_split
from harness.errors import UserError
from harness.frames import Size
from harness.training.data import usable_pairs
from harness.training.log import Log
from harness.training.order import PairOrder
from harness.training.settings import refuse_changed_settings
from sd4match_plugin.prompts.image_patches import ImagePatches, Preprocessing, input_side, token_shape
from sd4match_plugin.tuning.pairs import points_of
from sd4match_plugin.tuning.settings import Settings

PUBLISHED = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "BitImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 256},
}
"""`preprocessor_config.json` of facebook/dinov2-base."""


def picture(seed: int, size: tuple[int, int] = (90, 60)) -> PIL.Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    torch.manual_seed(0)
    folder_path = tmp_path_factory.mktemp("vit")
    Dinov2Model(
        Dinov2Config(
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=56,
            patch_size=14,
            layerscale_value=0.5,
        )
    ).save_pretrained(folder_path)
    return folder_path


@pytest.mark.parametrize("size", [(301, 200), (200, 533), (64, 64)])
def test_pictures_are_prepared_as_the_published_processor_does(tmp_path, size):
    processor = pytest.importorskip("transformers.models.bit.image_processing_pil_bit").BitImageProcessorPil
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PUBLISHED))
    image = picture(1, size)
    theirs = processor.from_pretrained(tmp_path)(image, return_tensors="pt").pixel_values[0]
    ours = Preprocessing.of(tmp_path)(image)
    assert ours.shape == (3, 224, 224)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_without_a_processor_the_rule_is_dinov2s_at_the_backbones_size(vit, tmp_path):
    preprocessing = Preprocessing.of(vit)
    assert (preprocessing.resize, preprocessing.crop) == (64, (56, 56))
    assert preprocessing(picture(1)).shape == (3, 56, 56)
    config = json.loads((vit / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"image_size": 518}))
    published = Preprocessing.of(tmp_path)
    assert (published.resize, published.crop) == (256, (224, 224))
    assert token_shape(tmp_path) == (24, 256)


def test_patches_are_those_after_the_final_norm_without_the_class_token(vit):
    describe = ImagePatches(vit)
    images = [picture(seed) for seed in (1, 2, 3)]
    patches, heads = describe.patches(images), describe.heads(images)
    assert (patches.shape, heads.shape) == ((3, 16, 24), (3, 24))
    assert (describe.width, describe.count) == (24, 16)
    with torch.no_grad():
        whole = Dinov2Model.from_pretrained(vit).eval()(
            torch.stack([describe.preprocessing(image) for image in images])
        )
    torch.testing.assert_close(patches, whole.last_hidden_state[:, 1:], rtol=0, atol=1e-5)
    torch.testing.assert_close(heads, whole.pooler_output, rtol=0, atol=1e-5)
    assert torch.equal(patches[1], describe.patches(images[1:2])[0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"do_center_crop": False}, "keep their aspect ratio"),
        ({"crop_size": {"height": 50, "width": 56}}, "not a whole number of patches"),
        ({"image_mean": [0.5]}, "not the configuration of an image processor"),
    ],
)
def test_a_processor_that_does_not_fit_is_told_in_one_line(vit, tmp_path, changed, message):
    (tmp_path / "config.json").write_bytes((vit / "config.json").read_bytes())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PUBLISHED | changed))
    with pytest.raises(UserError, match=message):
        token_shape(tmp_path)


def test_a_side_is_whole_patches():
    card = type("Card", (), {"native": 100, "patch": 16})
    assert input_side(card) == 96


def test_arrays_are_computed_once_and_found_again(tmp_path):
    computed = []

    def compute(identity):
        computed.append(identity)
        return np.full((2, 3), ord(identity[0]), dtype=np.float32)

    assert Store(tmp_path, "x", {"weights": "1"}, (2, 3)).fill(["ab", "cd", "ab"], compute) == 2
    again = Store(tmp_path, "x", {"weights": "1"}, (2, 3))
    assert again.fill(["cd", "ef"], compute) == 1
    assert computed == ["ab", "cd", "ef"]
    assert np.array_equal(again["cd"], np.full((2, 3), ord("c")))
    assert isinstance(again["cd"], np.memmap)
    assert Store(tmp_path, "x", {"weights": "2"}, (2, 3)).missing(["ab"]) == ["ab"]
    with pytest.raises(KeyError):
        again["gh"]


def test_damaged_arrays_are_not_trusted(tmp_path):
    store = Store(tmp_path, "x", {}, (4,))
    store.fill(["ab", "cd", "ef"], lambda identity: np.ones(4, dtype=np.float32))
    files = {path.stem: path for path in store.folder.glob("*/*.npy")}
    files["ab"].write_bytes(files["ab"].read_bytes()[:-3])
    np.save(files["cd"], np.ones(5, dtype=np.float32))
    assert store.missing(["ab", "cd", "ef"]) == ["ab", "cd"]


def test_a_killed_encoding_goes_on(tmp_path):
    code = (
        "import os, signal, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from harness.caching.array_store import Store\n"
        "def compute(identity):\n"
        "    if identity == 'c3': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return np.full(3, int(identity[1]), dtype=np.float32)\n"
        "Store(Path(sys.argv[1]), 'x', {}, (3,)).fill(['a1', 'b2', 'c3', 'd4'], compute)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    store, computed = Store(tmp_path, "x", {}, (3,)), []
    store.fill(
        ["a1", "b2", "c3", "d4"],
        lambda identity: (computed.append(identity), np.full(3, int(identity[1]), dtype=np.float32))[1],
    )
    assert computed == ["c3", "d4"]
    assert [int(store[identity][0]) for identity in ("a1", "b2", "c3", "d4")] == [1, 2, 3, 4]


def test_every_pass_is_a_permutation_that_follows_from_the_seed():
    order = PairOrder(10, seed=3)
    epochs = [order.numbers(10 * epoch, 10) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert PairOrder(10, seed=3).numbers(7, 9) == [*epochs[0], *epochs[1]][7:16]
    assert PairOrder(10, seed=4).numbers(0, 10) != epochs[0]


def photo_split(tmp_path, change):
    folder_path = make_photos(tmp_path / "photos")
    content = read_list(folder_path)
    change(content["pairs"])
    write_list(folder_path, content)
    return read_split(folder.SPEC, folder_path, "test")


def test_points_are_stretched_and_moved_into_the_frame_and_absent_ones_dropped(tmp_path):
    def change(pairs):
        pairs[0]["source_points"][1] = [None, None]
        pairs[0]["target_points"][2] = [60, 48]
        pairs[1]["target_points"] = [[None, None]] * 5

    index = photo_split(tmp_path, change)
    pairs = usable_pairs(index)
    assert len(pairs) == 11
    points = points_of([pairs[0], pairs[1]], Size(120, 96))
    assert points.counts == [4, 5]
    assert points.source.shape == (2, 5, 2)
    assert points.source[0, :2].tolist() == [[20, 20], [60, 48]]
    # The photo's corner, (60, 48), is beyond the last pixel of the frame.
    assert points.target[0, 1].tolist() == pytest.approx([119 - 1e-4, 95 - 1e-4])
    assert points.source[0, 4].tolist() == [0, 0]


def test_a_limit_is_spread_over_the_categories(tmp_path):
    def change(pairs):
        for pair in pairs[:9]:
            pair["category"] = "star"
        # Broken and empty pairs cannot be trained on, and take no place.
        pairs[9]["source"] = "gone.png"
        pairs[0]["target_points"] = [[None, None]] * 5

    index = photo_split(tmp_path, change)
    everything = usable_pairs(index)
    assert len(everything) == 10
    assert sorted(pair.category for pair in usable_pairs(index, 4)) == ["blob", "blob", "star", "star"]
    assert set(usable_pairs(index, 4)) < set(usable_pairs(index, 7)) < set(everything)
    assert usable_pairs(index, 100) == everything


def settings(**changed) -> Settings:
    base = {
        "method": "sd4match-single",
        "dataset": "shapes",
        "split": "train",
        "validation_split": "val",
        "manifest": "1",
        "validation_manifest": "2",
        "weights": "w",
        "validate_every": 10,
    }
    return Settings(**(base | changed))


def test_the_defaults_are_the_papers():
    defaults = settings()
    assert (defaults.timestep, defaults.temperature, defaults.kernel, defaults.batch, defaults.steps) == (
        261,
        0.04,
        7,
        9,
        30_000,
    )
    assert (defaults.rate, defaults.linear_rate, defaults.rate_decay, defaults.tokens, defaults.init) == (
        1e-2,
        1e-3,
        "constant",
        75,
        "random",
    )
    assert (defaults.pairs_per_step, settings(recipe="release").pairs_per_step) == (9, 3)


def test_rates():
    assert [settings().factor(step) for step in (0, 29_999)] == [1, 1]
    cosine = settings(rate_decay="cosine", steps=100, warmup=10)
    assert cosine.factor(0) == pytest.approx(0.1)
    assert cosine.factor(50) == pytest.approx(0.5)
    assert cosine.factor(99) == pytest.approx(0.5 + 0.5 * math.cos(0.99 * math.pi))


def test_other_settings_are_refused_by_name():
    refuse_changed_settings("x", settings(), settings())
    refuse_changed_settings("x", settings(), settings(steps=40_000))
    for changed, message in (
        ({"rate": 0.1}, "rate 0.01.*rate 0.1"),
        ({"linear_rate": 0.1}, "linear-rate"),
        ({"manifest": "9"}, "manifest"),
    ):
        with pytest.raises(UserError, match=f"x was made with {message}"):
            refuse_changed_settings("x", settings(), settings(**changed))
    with pytest.raises(UserError, match="steps 30000"):
        refuse_changed_settings(
            "x", settings(rate_decay="cosine"), settings(rate_decay="cosine", steps=40_000)
        )


@pytest.mark.parametrize(
    "changed",
    [
        {"recipe": "release", "batch": 8},
        {"kernel": 6},
        {"method": "sd4match-cpm", "init": "empty"},
        {"ablation": "pair-head"},
        {"gate": "paper"},
        {"method": "sd4match-cpm", "tokens": 20},
    ],
)
def test_numbers_that_do_not_go_together(changed):
    with pytest.raises(UserError):
        settings(**changed).check()


def test_the_log_forgets_what_a_killed_run_noted_beyond_its_checkpoint(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 3}\n{"step": 2, "loss": 2}\n{"step": 3, "lo')
    log = Log(tmp_path, 1, tensorboard=False)
    log.write(2, {"loss": 1.5})
    log.close()
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [
        {"step": 1, "loss": 3},
        {"step": 2, "loss": 1.5},
    ]


def test_a_training_takes_each_entry_of_its_list_and_a_validation_only_what_can_be_scored(tmp_path):
    photos = make_photos(tmp_path / "photos")
    content = read_list(photos)
    content["threshold"] = "points"
    content["pairs"][1]["target_points"] = [[20, 20], None, None, None, None]
    content["pairs"] += content["pairs"][:1] * 2
    write_list(photos, content)
    index = read_split(folder.SPEC, photos, "test")
    assert [pair.pair_id for pair in usable_pairs(index)].count("000001") == 3
    assert len(usable_pairs(index)) == 14
    scored = [pair.pair_id for pair in usable_pairs(index, is_scored=True)]
    assert len(scored) == 11
    assert "000002" not in scored
    assert len(usable_pairs(index, 5)) == len({pair.pair_id for pair in usable_pairs(index, 5)}) == 5
