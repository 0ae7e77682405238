"""What CPM says of a picture by itself: the prompt of the picture paired with itself."""

from __future__ import annotations

import pytest
import torch
from support.paths import PIPELINE

from baselines.stable_diffusion.conditioning import PairEmbeddings
from baselines.stable_diffusion.text_encoder import TextEncoder
from harness.caching.lru import ByteLRU, tensor_bytes
from harness.specs import ImageRequest, PairPrompt
from sd4match_plugin.prompts.cpm import ConditionalPrompting, CpmConfig
from sd4match_plugin.prompts.make import ConditionalPrompt
from sd4match_plugin.prompts.tokens import Boundaries


def prompt(inputs: str) -> ConditionalPrompt:
    """A module with random weights over made-up descriptors, which are numbered by the picture."""
    config = CpmConfig(
        inputs=inputs, global_tokens=2, conditional_tokens=3, image_width=6, patches=4, text_width=8
    )
    return ConditionalPrompt(
        module=ConditionalPrompting(config, torch.Generator().manual_seed(0)).requires_grad_(False),
        boundaries=Boundaries.of(TextEncoder(PIPELINE, "cpu")),
        describe=lambda image: torch.randn(4, 6, generator=torch.Generator().manual_seed(image)),
        device="cpu",
        descriptors=ByteLRU(0, tensor_bytes, at_least=2),
    )


@pytest.fixture
def pictures(monkeypatch):
    monkeypatch.setattr(ImageRequest, "image", property(lambda request: request.picture))
    return [ImageRequest(number, f"image {number}", "cat") for number in range(3)]


def test_a_picture_alone_has_the_prompt_of_itself_twice(pictures):
    make = prompt("pair")
    first, second, _ = pictures
    value = make("cat", (first, second))
    assert isinstance(value, PairEmbeddings)
    for picture in (first, second):
        alone = value.alone(picture)
        assert torch.equal(alone.rows, make("cat", (picture, picture)).rows)
        assert not torch.equal(alone.rows, value.rows)


def test_it_is_the_same_whichever_pair_and_whatever_memory_has_let_go(pictures):
    make = prompt("pair")
    first, second, third = pictures
    expected = make("cat", (first, second)).alone(first).rows
    value = make("cat", (second, third))
    assert torch.equal(value.alone(first).rows, expected)
    assert torch.equal(prompt("pair")("cat", (third, first)).alone(first).rows, expected)


def test_a_module_of_one_picture_says_it_anyway(pictures):
    value = prompt("image")("cat", tuple(pictures[:2]))
    assert isinstance(value, PairPrompt)
    for side, picture in zip(value, pictures, strict=False):
        assert torch.equal(side.alone(picture).rows, side.rows)
