"""The bundled networks, and the programs that train them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from support.results import the_record
from transformers import CLIPTextModel

from baselines.stable_diffusion.text_encoder import TextEncoder
from baselines.tiny.captions import PLAIN, caption, write_tokenizer
from baselines.tiny.loop import Schedule, train
from baselines.tiny.text import REACH, initialize, train_text
from baselines.tiny.vit import FED, GRID, PATCH, patch_coordinates
from baselines.weights import BUNDLED
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.keyed_random import KeyedRandom
from harness.datasets.shapes.pairs import open_shapes
from harness.datasets.shapes.render import draw_looks
from harness.frames import Frame, Size
from harness.plugins.loading import load_plugins
from harness.specs import ImageRequest, MakeContext

MEGABYTE = 1_000_000


def test_all_of_it_is_small():
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file()) < 21 * MEGABYTE


def test_no_machine_s_folders_are_named():
    for path in BUNDLED.rglob("*.json"):
        assert '"_name_or_path": "/' not in path.read_text(encoding="utf-8"), path


def test_every_word_of_a_caption_is_one_token():
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(BUNDLED / "stable-diffusion" / "tokenizer")
    for category in KINDS:
        words = PLAIN.format(category=category).split()
        assert tokenizer.tokenize(" ".join(words)) == [f"{word}</w>" for word in words]


@pytest.fixture(scope="module")
def requests():
    from pathlib import Path

    dataset = open_shapes(Path(), "test")
    pairs = [dataset[number] for number in (0, 200, 400)]
    return [
        ImageRequest(image.open(), image.identity(), pair.category, f"a photo of a {pair.category}")
        for pair in pairs
        for image in (pair.source,)
    ]


@pytest.mark.parametrize("name", ["stable-diffusion", "dinov2"])
def test_features_are_the_same_in_every_batch(name, requests):
    host = load_plugins()
    spec = host.extractors[name]
    weights = {"stable-diffusion-2-1": BUNDLED / "stable-diffusion", "dinov2-base": BUNDLED / "dino"}
    extractor = spec.make(MakeContext(params=spec.params, weights=weights))
    with torch.inference_mode():
        together = extractor.extract(requests)
        for request, feature_map in zip(requests, together, strict=True):
            alone = extractor.extract([request])[0].data
            assert float((feature_map.data - alone).abs().max()) <= 1e-5 * float(alone.abs().max())


def test_learned_tokens_reach_further_than_words():
    """Tuned prompts need room: a caption's states use a part of the range of the last layer norm."""
    encoder = TextEncoder(BUNDLED / "stable-diffusion")
    words = torch.stack(
        [encoder.text_states(text) for text in ("", *(PLAIN.format(category=category) for category in KINDS))]
    )
    rows = torch.randn(1, 77, 192, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        # Rows ten times a token's embedding already outweigh what surrounds them.
        reached = encoder.embedding_states(rows)[0, 1:]
    assert words.norm(dim=-1).mean() < 10
    assert reached.norm(dim=-1).mean() > 2 * words.norm(dim=-1).mean()


@pytest.mark.parametrize("method", ["dift", "sd-dino-star", "sd-dino", "dinov1", "dinov2", "dinov3"])
def test_doctor_finds_nothing(bench, method):
    done = bench("doctor", method)
    assert done.status == 0, done.out


def test_a_run_without_arguments_is_marked_tiny(bench, tmp_path):
    few = ("--limit", 8, "--ensemble", 1, "--batch-size", 1)
    done = bench("run", "--methods", "dift", *few, "--out", tmp_path)
    assert done.status == 0, done.err
    assert "tiny-stable-diffusion@" in done.out
    record = the_record(tmp_path)
    assert record["cell"]["backbone"].startswith("tiny-stable-diffusion@")
    # Far above chance (7) on pairs that training never saw.
    (score,) = [
        score["pck"]
        for score in record["scores"]
        if (score["slice"], score["averaging"], score["alpha"]) == ("all", "image", 0.1)
    ]
    assert score > 20


def test_a_training_that_was_stopped_gives_the_same_weights(tmp_path):
    def train_linear(folder, *lengths):
        model = torch.nn.Linear(3, 2)
        with torch.no_grad():
            model.weight.fill_(0.1)
            model.bias.fill_(0)

        def losses_of(step, generator):
            if step in lengths:
                raise KeyboardInterrupt
            return {"loss": (model(torch.randn(4, 3, generator=generator)) - 1).square().mean()}

        try:
            train(model, losses_of, Schedule(20, 1e-2, warmup=3), folder, save_every=5)
        except KeyboardInterrupt:
            return train_linear(folder)
        return model.state_dict()

    whole, stopped = train_linear(tmp_path / "whole"), train_linear(tmp_path / "stopped", 13)
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)


def test_the_rate_rises_and_falls():
    schedule = Schedule(1000, 1.0, warmup=100, decay=0.25)
    assert schedule.at(0) == pytest.approx(0.01)
    assert schedule.at(400) == 1.0
    assert schedule.at(875) == pytest.approx(0.505, abs=0.01)
    assert schedule.at(999) == pytest.approx(0.01, abs=1e-3)


def test_captions_name_colours_that_are_there():
    captions = {
        caption("cat", draw_looks("train", "cat", index)[1], KeyedRandom("caption", "train", "cat", index))
        for index in range(40)
    }
    assert PLAIN.format(category="cat") in captions
    assert any(" with " in words for words in captions)


def test_the_tokenizer_knows_every_word(tmp_path):
    from transformers import CLIPTokenizer

    write_tokenizer(tmp_path)
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
    assert tokenizer.tokenize("a photo of a horse with brown mane") == [
        f"{word}</w>" for word in ["a", "photo", "of", "a", "horse", "with", "brown", "mane"]
    ]
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["model_max_length"] == 77


def test_a_text_encoder_learns_another_one_s_states(tmp_path):
    teacher_folder = BUNDLED / "stable-diffusion"
    captions = [
        caption(category, draw_looks("train", category, 1)[1], KeyedRandom("caption", "train", category, 1))
        for category in KINDS
    ]
    torch.manual_seed(0)
    train_text(captions, teacher_folder, tmp_path, Schedule(60, 2e-3, warmup=10), batch=5)
    student, teacher = TextEncoder(tmp_path), TextEncoder(teacher_folder)
    student.tokenizer = teacher.tokenizer
    text = PLAIN.format(category="cat")
    states, expected = student.text_states(text), teacher.text_states(text)
    initial = CLIPTextModel(teacher.text_encoder.config)
    norm = initialize(initial, expected.mean(dim=0))
    assert not norm.weight.requires_grad and (norm.weight == REACH).all()
    with torch.no_grad():
        before = initial(teacher._tokenize([text])).last_hidden_state[0]
    assert (states - expected).norm() < 0.5 * (before - expected).norm()


def test_patches_of_padded_pictures_are_found_in_stretched_ones():
    coordinates, is_inside = patch_coordinates(np.array([[200, 100], [120, 120]]))
    assert coordinates.shape == (2, GRID, GRID, 2)
    # Row and column of the middle patch are the middle of the picture, however it is padded.
    assert coordinates[:, GRID // 2, GRID // 2].abs().max() < 1e-6
    frame = Frame.padded(Size(200, 100), FED)
    corner = frame.to_original(torch.tensor([[PATCH / 2, FED / 2]]))[0]
    assert coordinates[0, GRID // 2, 0].tolist() == pytest.approx(
        [2 * float(corner[0]) / 200 - 1, 2 * float(corner[1]) / 100 - 1]
    )
    # Of a picture twice as wide as high, half of the square's patches lie on it.
    assert is_inside[0].float().mean() == pytest.approx(0.5, abs=0.06)
    assert is_inside[1].all()
