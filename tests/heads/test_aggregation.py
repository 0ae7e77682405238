"""The aggregation network: sizes from a file's tensors, files that are refused, and heads as extractors."""

from __future__ import annotations

from dataclasses import replace

import PIL.Image
import pytest
import torch
from support.vision_transformers import save_network

from baselines.sources import DINOV2
from harness.errors import UserError
from harness.plugins.loading import load_plugins
from harness.specs import ImageRequest, MakeContext
from heads.aggregation.features import ZeroShotFeatures
from heads.aggregation.files import load_aggregation
from heads.aggregation.network import AggregationNetwork, AggregationShape
from matchers.backbones.checkpoints import save_checkpoint

SHAPE = AggregationShape((24,), projection=16, width=8, groups=4)


def save_head(path, shape=SHAPE, drop=(), **settings):
    torch.manual_seed(0)
    tensors = AggregationNetwork(shape).state_dict()
    for name in drop:
        del tensors[name]
    save_checkpoint(path, tensors, {"groups": shape.groups, **settings})
    return path


@pytest.mark.parametrize(
    "shape",
    [
        SHAPE,
        AggregationShape((24, 16), 16, 8, blocks=2, groups=2),
        AggregationShape((24, 16, 8), 16, 8, repeats=3, groups=8, scales=()),
        AggregationShape((16,), 16, 8, groups=1, scales=("logit_scale",)),
    ],
)
def test_all_sizes_follow_from_the_tensors(shape, tmp_path):
    network = load_aggregation(save_head(tmp_path / "head.safetensors", shape))
    assert network.shape == shape
    assert network(torch.randn(2, shape.input_channels, 5, 4)).shape == (2, 16, 5, 4)
    # Channels that are the result's already take the short way as they are.
    shortcuts = [stage[0].shortcut is None for stage in network.bottleneck_layers]
    assert shortcuts == [channels == 16 for channels in shape.channels]


def test_a_training_programs_file_is_read(tmp_path):
    state = AggregationNetwork(AggregationShape((32,), 768, 32)).state_dict()
    torch.save({"step": 3, "aggregation_network": state}, tmp_path / "all.pth")
    assert load_aggregation(tmp_path / "all.pth", "aggregation_network").shape.groups == 32
    torch.save(state, tmp_path / "best_856.PTH")
    assert load_aggregation(tmp_path / "best_856.PTH").shape.channels == (32,)


def test_a_small_file_that_does_not_say_its_groups_is_refused(tmp_path):
    """As tensors alone, it would be taken for one of 32 groups, with other results."""
    torch.save(AggregationNetwork(AggregationShape((32,), 64, 32, groups=8)).state_dict(), tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"a\.pth: does not say how many groups its norms have"):
        load_aggregation(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("drop", "settings", "why"),
    [
        (["mixing_weights"], {}, "tensor mixing_weights is missing"),
        (["bottleneck_layers.0.0.conv1.weight"], {}, "bottleneck_layers.0.0.conv1.weight is missing"),
        (["bottleneck_layers.0.0.conv2.norm.bias"], {}, "bottleneck_layers.0.0.conv2.norm.bias"),
        ([], {"groups": 3}, "16 channels are not 3 groups of equal size"),
        ([], {"groups": "four"}, "setting 'groups' is 'four'; it must be a whole number from 1"),
    ],
)
def test_a_file_of_another_network_is_refused_in_one_line(drop, settings, why, tmp_path):
    path = save_head(tmp_path / "head.safetensors", drop=drop, **settings)
    with pytest.raises(UserError) as told:
        load_aggregation(path)
    message = str(told.value)
    assert message.startswith(str(path)) and why in message and "\n" not in message


def test_a_head_refines_the_tokens_that_dinov2_gives(tmp_path):
    host, folder = load_plugins(points=[]), save_network(tmp_path / "dino", "v2")
    head = save_head(tmp_path / "head.safetensors")
    spec, plain = host.extractors["diy-sc"], host.extractors["dinov2"]
    context = MakeContext(params=dict(spec.params), weights={DINOV2: folder, "diy-sc": head})
    picture = PIL.Image.effect_noise((40, 30), 80).convert("RGB")
    requests = [ImageRequest(image, str(image.size), "cat") for image in (picture, picture.rotate(90))]
    refined = spec.make(context).extract(requests)
    tokens = plain.make(replace(context, params=dict(plain.params))).extract(requests)
    network = load_aggregation(head)
    for ours, theirs in zip(refined, tokens, strict=True):
        assert ours.frame == theirs.frame and ours.grid == theirs.grid
        assert torch.equal(ours.data, network(theirs.data[None])[0])
    assert tuple(spec.fed(context.weights)) == tuple(tokens[0].frame.size)


def test_a_head_for_other_features_is_refused(tmp_path):
    host, folder = load_plugins(points=[]), save_network(tmp_path / "dino", "v2")
    head = save_head(tmp_path / "head.safetensors", AggregationShape((64, 64, 24), 16, 8, groups=4))
    spec = host.extractors["diy-sc"]
    context = MakeContext(params=dict(spec.params), weights={DINOV2: folder, "diy-sc": head})
    with pytest.raises(UserError, match=r"takes features of 64 \+ 64 \+ 24 channels, not of 24; these"):
        spec.make(context)


def test_levels_of_sd_dino_come_to_one_grid_in_order_and_weigh_the_same_without_a_head():
    host = load_plugins(points=[])
    spec = host.extractors["sd-dinov2-levels"]
    weights = {
        name: host.weight_sources[host.weight_sources[name].stand_in].locate() for name in spec.weights
    }
    context = MakeContext(params=dict(spec.params), weights=weights)
    extractor = spec.make(context)
    assert isinstance(extractor, ZeroShotFeatures)
    picture = PIL.Image.effect_noise((60, 40), 80).convert("RGB")
    request = ImageRequest(picture, "noise", "cat", prompt="a cat")
    (features,) = extractor.extract([request])
    levels = extractor._features
    states, tokens = levels._states(request), levels._tokens(request)
    counts = [len(states[level]) for level in ("s3", "s4", "s5")]
    assert levels.channels == (*counts, len(tokens))
    raw = levels(request)
    assert torch.equal(raw.data[: counts[0]], states["s3"])
    small = torch.nn.functional.adaptive_avg_pool2d(raw.data[counts[0] : sum(counts[:2])], 1)
    assert torch.allclose(small, states["s4"].mean((1, 2), keepdim=True), atol=0.05)
    parts = features.data.split([sum(counts), len(tokens)])
    for part in parts:
        assert torch.allclose(part.norm(dim=0), torch.ones(part.shape[1:]), atol=1e-5)
    assert tuple(features.frame.size) == tuple(spec.fed(weights))
