"""Options that spare most of a pair's pass: exact where they must be, and of the picture alone elsewhere."""

from __future__ import annotations

from functools import partial

import numpy as np
import PIL.Image
import pytest
import torch
from support.networks import true_unet
from support.paths import PIPELINE

from baselines.methods.dift import EXTRACTOR, StretchedFeatures, fed_size
from baselines.sources import STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.backbone import StableDiffusion
from baselines.stable_diffusion.card import Card
from baselines.stable_diffusion.conditioning import Conditioning, PairEmbeddings, TokenEmbeddings, prompt_key
from baselines.stable_diffusion.prefix import flatten_outputs, prefix_submodules, replace_outputs
from baselines.stable_diffusion.sparing import average_draws, drop_unread
from baselines.weights import BUNDLED
from harness.errors import NotApplicable, UserError
from harness.plugins.loading import load_plugins
from harness.running.plan import plan
from harness.specs import ImageRequest, MakeContext, SharedObjects
from harness.sweep import DatasetChoice, Sweep, cell_id

PIPELINES = {"authors": PIPELINE, "tiny": BUNDLED / "stable-diffusion"}

SPARING = (
    {"prompt_from": "mid-block"},
    {"prompt_from": "up-block 1"},
    {"draws_averaged": "prompt"},
    {"prompt_from": "down-block 2", "draws_averaged": "prompt"},
)


@pytest.fixture(scope="module", params=PIPELINES)
def backbone(request):
    return StableDiffusion(PIPELINES[request.param])


SHARED = SharedObjects()
"""Loads the networks once; prefixes are each extractor's own."""


def extractor(scope: str = "pair", cache_bytes: int = 1 << 30, pipeline: str = "authors", **params):
    return StretchedFeatures(
        MakeContext(
            params={**EXTRACTOR.params, "ensemble": 2, **params},
            weights={STABLE_DIFFUSION_2_1: PIPELINES[pipeline]},
            prompt_scope=scope,
            cache_bytes=cache_bytes,
            shared=SHARED,
        )
    )


def rows(number: int, width: int = 8) -> torch.Tensor:
    return torch.randn(77, width, generator=torch.Generator().manual_seed(number))


def request(picture: int, pair: int, alone: int | None = None, width: int = 8) -> ImageRequest:
    """A picture of a pair; its own prompt is numbered by the picture where nothing else is said."""
    pixels = np.random.default_rng(picture).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    own = TokenEmbeddings(rows(100 + picture if alone is None else alone, width))
    prompt = PairEmbeddings(rows(pair, width), lambda image: own)
    return ImageRequest(PIL.Image.fromarray(pixels), f"image {picture}", "cat", prompt)


def features(make: StretchedFeatures, *requests: ImageRequest) -> list[torch.Tensor]:
    with torch.inference_mode():
        return [feature_map.data for feature_map in make.extract(requests)]


def near(outcome: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether they differ by rounding alone."""
    return bool((outcome - expected).abs().max() < 1e-4 * expected.abs().max())


@pytest.mark.parametrize("level", ["up_blocks.1", "up_blocks.2"])
def test_a_prefix_of_the_same_prompt_gives_the_bits_of_a_whole_pass(backbone, level):
    """Whichever block ends it, and without the states that nothing reads any more."""
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(2, 4, 8, 8, generator=generator)
    prompt = Conditioning(torch.randn(77, backbone.text_width, generator=generator))
    blocks = [block for block in backbone.card.prompted.values() if block <= level]
    assert "mid_block" in blocks
    with torch.inference_mode():
        expected = backbone.activations(noisy, 50, [prompt] * 2, [level])[level]
        for first in blocks:
            prefix = drop_unread(backbone.unet, backbone.run_prefix(noisy, 50, prompt, first), level)
            outcome = backbone.activations(noisy, 50, [prompt] * 2, [level], prefix)[level]
            assert torch.equal(outcome, expected)


def test_states_that_nothing_reads_are_not_kept(backbone):
    noisy = torch.randn(1, 4, 8, 8)
    prompt = Conditioning(torch.zeros(77, backbone.text_width))
    with torch.inference_mode():
        whole = backbone.run_prefix(noisy, 50, prompt, "mid_block")
    kept = drop_unread(backbone.unet, whole, "up_blocks.1")
    assert kept["down_blocks.0 0"].shape[1] == 0
    last = len(backbone.unet.down_blocks) - 1
    assert torch.equal(kept[f"down_blocks.{last} 0"], whole[f"down_blocks.{last} 0"])
    assert sum(map(torch.numel, kept.values())) < 0.7 * sum(map(torch.numel, whole.values()))
    everything = drop_unread(backbone.unet, whole, f"up_blocks.{len(backbone.unet.up_blocks) - 1}")
    assert all(state.shape[1] for state in everything.values())


def test_the_true_network_is_cut_where_it_reads_the_prompt():
    unet = true_unet()
    assert prefix_submodules(unet, "up_blocks.1") == (
        *(f"down_blocks.{number}" for number in range(4)),
        "mid_block",
        "up_blocks.0",
        "up_blocks.1.resnets.0",
        "up_blocks.1.attentions.0.transformer_blocks.0.attn1",
    )


@pytest.mark.parametrize("block", ["down-block 1", "mid-block", "up-block 1"])
def test_a_prompt_that_is_the_pictures_own_is_exact(block):
    pair = [request(1, 7, alone=7), request(2, 7, alone=7)]
    for outcome, expected in zip(
        features(extractor(prompt_from=block), *pair), features(extractor(), *pair), strict=True
    ):
        assert near(outcome, expected)


def test_one_draw_averaged_is_exact():
    pair = [request(1, 7), request(2, 7)]
    plain, averaged = extractor(ensemble=1), extractor(ensemble=1, draws_averaged="prompt")
    for outcome, expected in zip(features(averaged, *pair), features(plain, *pair), strict=True):
        assert torch.equal(outcome, expected)


@pytest.mark.parametrize("params", SPARING)
def test_both_prompts_are_read(params):
    make = extractor(**params)
    outcome = features(make, request(1, 7))[0]
    assert not near(outcome, features(extractor(), request(1, 7))[0])
    assert not near(features(make, request(1, 8))[0], outcome)
    other_own = features(extractor(**params), request(1, 7, alone=3))[0]
    assert near(other_own, outcome) == ("prompt_from" not in params)


@pytest.mark.parametrize("params", SPARING)
def test_a_trained_networks_features_are_near_the_methods(params):
    """The miniature's made-up weights enlarge any difference."""
    settings = {"pipeline": "tiny", "timestep": 50, "ensemble": 8}
    image = request(1, 7, width=Card.of(PIPELINES["tiny"]).text_width)
    outcome = features(extractor(**settings, **params), image)[0]
    exact = features(extractor(**settings), image)[0]
    one_draw = features(extractor(**settings | {"ensemble": 1}), image)[0]
    apart = torch.linalg.vector_norm(outcome - exact)
    assert 0 < apart < torch.linalg.vector_norm(one_draw - exact)


def test_draws_are_averaged_in_front_of_the_first_block_that_reads_the_pairs_prompt():
    make = extractor(draws_averaged="prompt", ensemble=3)
    outcome, backbone = features(make, request(1, 7))[0], make.backbone
    with torch.inference_mode():
        draws = make._unet_input(request(1, 7))
        # No prompt is read there: the first block with cross-attention is the first of all.
        means = average_draws({"noisy": draws, **backbone.run_prefix(draws, 261)}, 3)
        noisy = means.pop("noisy")
        condition = backbone.condition(TokenEmbeddings(rows(7)))
        expected = backbone.activations(noisy, 261, [condition], ["up_blocks.1"], means)["up_blocks.1"][0]
    assert len(noisy) == 1
    assert torch.equal(outcome, expected)


def test_draws_of_several_pictures_are_averaged_by_picture():
    states = {"a": torch.tensor([[1.0], [3.0], [10.0], [30.0]])}
    assert average_draws(states, 2)["a"].tolist() == [[2.0], [20.0]]
    half = average_draws({"a": states["a"].half()}, 4)["a"]
    assert (half.dtype, half.tolist()) == (torch.float16, [[11.0]])


@pytest.mark.parametrize("params", SPARING)
def test_features_depend_on_no_other_pair(params):
    """Not on the pairs before, on their order, or on what memory has let go."""
    pairs = [[request(1, 1), request(2, 1)], [request(3, 2), request(1, 2)], [request(2, 3), request(1, 3)]]
    first = [features(make, *pair) for make in [extractor(**params)] for pair in pairs]
    back = [features(make, *pair) for make in [extractor(**params)] for pair in reversed(pairs)]
    alone = [features(extractor(cache_bytes=0, **params), *pair) for pair in pairs]
    for mine, theirs, fresh in zip(first, reversed(back), alone, strict=True):
        for number in range(2):
            assert torch.equal(mine[number], theirs[number])
            assert torch.equal(mine[number], fresh[number])


@pytest.mark.parametrize("params", SPARING)
def test_features_do_not_depend_on_the_batch(params):
    batch = [request(1, 1), request(2, 1), request(3, 2)]
    together = features(extractor(**params), *batch)
    for image, expected in zip(batch, together, strict=True):
        assert near(features(extractor(**params), image)[0], expected)


def test_what_comes_before_is_computed_once_a_picture(monkeypatch):
    make, begun = extractor(prompt_from="mid-block", draws_averaged="prompt"), []
    original = make.backbone.run_prefix
    monkeypatch.setattr(
        make.backbone, "run_prefix", lambda noisy, *rest: begun.append(len(noisy)) or original(noisy, *rest)
    )
    behind = []
    layer = make.backbone.unet.up_blocks[1].resnets[1]
    hook = layer.register_forward_hook(lambda module, inputs, output: behind.append(len(output)))
    features(make, request(1, 1), request(2, 1))
    features(make, request(2, 2), request(1, 2))
    hook.remove()
    # Two draws of each picture before, and one row of each picture behind.
    assert (begun, behind) == ([2, 2], [2, 2])


def test_a_prompt_that_shifts_the_timestep_is_averaged_with_its_own_prefix():
    time = torch.ones(Card.of(PIPELINE).time_width)
    image = request(1, 7)
    outcomes = []
    for scope in ("pair", "image"):
        for shift in (time, None):
            shifted = ImageRequest(image.image, image.identity, "cat", Conditioning(rows(7), shift))
            outcomes.append(features(extractor(scope, draws_averaged="prompt"), shifted)[0])
    shifted, plain, shifted_image, plain_image = outcomes
    assert torch.equal(shifted, shifted_image)
    assert torch.equal(plain, plain_image)
    assert not near(shifted, plain)


def test_a_forward_of_its_own_comes_back():
    """Such as a compiled one."""
    unet = StableDiffusion(PIPELINE).unet
    resnet = unet.get_submodule("mid_block.resnets.0")
    usual = resnet.forward
    resnet.forward = compiled = partial(usual)
    with replace_outputs(unet, flatten_outputs({"mid_block.resnets.0": torch.zeros(1)})):
        assert resnet.forward is not compiled
    assert resnet.forward is compiled


def test_prompts_that_are_not_of_a_pair_have_no_first_block():
    with pytest.raises(NotApplicable, match="made from the pair"):
        extractor("category", prompt_from="mid-block")
    text = ImageRequest(request(1, 1).image, "image 1", "cat", "a photo of a cat")
    with pytest.raises(NotApplicable, match="nothing of a picture by itself"):
        features(extractor(prompt_from="mid-block"), text)


@pytest.mark.parametrize(
    ("params", "known"),
    [
        ({"prompt_from": "middle"}, "level up-block 1 the backbone has start, down-block 1, down-block 2"),
        # Nothing reads a prompt there, that is `start`, and that comes after the level.
        ({"prompt_from": "up-block 0"}, "up-block 0"),
        ({"prompt_from": "down-block 0"}, "down-block 0"),
        ({"prompt_from": "up-block 2"}, "mid-block, up-block 1"),
        ({"prompt_from": "up-block 1", "level": "s5"}, "for level s5 the backbone has start, down-block 1"),
    ],
)
def test_a_block_that_reads_no_prompt_is_refused_in_one_line(params, known):
    with pytest.raises(UserError) as refusal:
        fed_size({STABLE_DIFFUSION_2_1: PIPELINE}, {**EXTRACTOR.params, **params})
    assert str(refusal.value).startswith(f"--set prompt_from: unknown block '{params['prompt_from']}'; ")
    assert known in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("setting", ["prompt_from=middle", "draws_averaged=begin"])
def test_a_wrong_value_ends_a_command_with_status_2(bench, setting):
    outcome = bench("run", "--methods", "sd4match-cpm", "--limit", "1", "--set", setting)
    assert outcome.status == 2
    assert f"--set {setting.partition('=')[0]}: unknown" in outcome.err


def test_cells_say_what_is_not_the_method():
    def cell(**overrides):
        sweep = Sweep(methods=("sd4match-cpm",), datasets=(DatasetChoice("shapes"),), overrides=overrides)
        return plan(sweep, load_plugins())[0]

    plain, spared = cell(), cell(prompt_from=("mid-block",), draws_averaged=("prompt",))
    assert plain.label == "sd4match-cpm"
    assert spared.label == "sd4match-cpm[draws_averaged=prompt,prompt_from=mid-block]"
    assert cell_id(plain, "shapes", {}) != cell_id(spared, "shapes", {})
    # The defaults, typed, are the method itself.
    assert cell_id(cell(prompt_from=("start",), draws_averaged=("end",)), "shapes", {}) == cell_id(
        plain, "shapes", {}
    )


def test_what_a_prompt_says_of_a_picture_alone_is_no_part_of_its_key():
    first = PairEmbeddings(rows(1), lambda image: TokenEmbeddings(rows(2)))
    same = PairEmbeddings(rows(1), lambda image: TokenEmbeddings(rows(3)))
    assert prompt_key(first) == prompt_key(same)
    assert prompt_key(first) != prompt_key(PairEmbeddings(rows(2), first.alone))
