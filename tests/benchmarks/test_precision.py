"""Half precision: parts that stay single, limits of differences, and that the measurement sees them."""

from __future__ import annotations

import numpy as np
import PIL.Image
import precision
import pytest
import torch
from numeric_range import ranges
from precision import Question, map_difference, maps_of, shift
from support.paths import ROOT
from workloads import Extent, write_folder

from baselines.methods.dift import StretchedFeatures
from baselines.prompts.implicit_captioner import ImageEncoder
from baselines.sources import STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.backbone import StableDiffusion, draw_noise
from harness.frames import Frame, Size
from harness.plugins.loading import load_plugins
from harness.running.resources import Resources
from harness.running.run_cell import run_cell
from harness.specs import FeatureMap, ImageRequest, MakeContext

DINO = ROOT / "baselines" / "tiny" / "weights" / "dino"


# About twice the measured differences. Features, cosines: see `MapDifference`; moved: share of points that
# move by 0.01 of the size of the target or more.
LIMITS = {
    ("dift", "bf16"): (0.012, 0.014, 0.1),
    ("dift", "fp16"): (0.0012, 0.0014, 0.02),
    ("dinov2", "bf16"): (0.02, 0.016, 0.1),
    ("dinov2", "fp16"): (0.002, 0.0016, 0.02),
}


@pytest.fixture(scope="module")
def question(tmp_path_factory):
    place = tmp_path_factory.mktemp("precision")
    data = write_folder(place / "data", Extent(categories=2, images=3, pairs=4, longer=96, shorter=72))
    return Question(place / "results", place, f"folder={data}", ensemble=2)


@pytest.fixture(scope="module")
def tiny(question):
    """Folder of the bundled Stable Diffusion."""
    return question.resolve(load_plugins(), "dift", "fp32").weights.paths[STABLE_DIFFUSION_2_1]


@pytest.mark.parametrize(("method", "half"), list(LIMITS))
def test_half_precision_stays_within_its_limits(question, method, half):
    host = load_plugins()
    full, low = (question.resolve(host, method, name) for name in ("fp32", half))
    for cell in (full, low):
        assert run_cell(Resources(host, cell.options), cell).status == "ok"
    found, apart = (
        map_difference(maps_of(full, 2), maps_of(low, 2)),
        shift(full, low, full.cell.localizers[0]),
    )
    features, cosines, moved = LIMITS[method, half]
    assert 0 < found.features < features
    assert 0 < found.cosines < cosines
    assert (apart.relative >= 0.01).mean() < moved


def test_the_table_has_a_row_for_each_precision(question):
    table = list(precision.rows(question, load_plugins(), "dinov2"))
    assert [row[3] for row in table] == ["fp32", "bf16", "fp16"]
    assert table[0][0] == "dinov2, folder:spair-shaped/test"
    # A difference, with or without an interval: six pictures may be too few for one.
    assert all(cell.startswith(("+", "-")) for row in table[1:] for cell in row[4:7])


@pytest.mark.parametrize("half", ["bf16", "fp16"])
def test_what_the_network_is_fed_is_computed_in_single_precision(tiny, half):
    backbones = [StableDiffusion(tiny, precision=name) for name in ("fp32", half)]
    posterior = backbones[1].posterior(torch.rand(1, 3, 96, 96))
    assert posterior.mean.dtype == posterior.std.dtype == torch.float32
    sample = posterior.mean + posterior.std * draw_noise(posterior.mean.shape, "posterior")
    expected, found = (one.noisy(sample, draw_noise(sample.shape, "noise"), 261) for one in backbones)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize("half", ["bf16", "fp16"])
def test_the_mean_of_the_draws_is_taken_in_single_precision(tiny, half):
    params = {
        "timestep": 261,
        "ensemble": 3,
        "level": "up-block 1",
        "posterior": "sampled",
        "resample": "bicubic",
    }
    made = StretchedFeatures(MakeContext(precision=half, params=params, weights={STABLE_DIFFUSION_2_1: tiny}))
    passed, usual = [], made.backbone.activations

    def noted(*arguments):
        passed.append(usual(*arguments))
        return passed[-1]

    made.backbone.activations = noted
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    (found,) = made.extract([ImageRequest(PIL.Image.fromarray(pixels), "a picture", "cat", None)])
    (members,) = passed[0].values()
    assert members.dtype == made.backbone.dtype
    # Rounded once, for the convolution behind it, which is in half precision as all are.
    (upsampler,) = made.backbone.unet.up_blocks[1].upsamplers
    expected = upsampler(members.double().mean(dim=0, keepdim=True).to(members.dtype))[0]
    rounded = upsampler((members[0] + members[1] + members[2])[None] / 3)[0]
    assert torch.equal(found.data, expected.float())
    assert not torch.equal(expected, rounded)


@pytest.mark.parametrize("half", ["bf16", "fp16"])
def test_the_captioners_mean_of_patches_is_taken_in_single_precision(half):
    encoder = ImageEncoder(DINO, "cpu", half)
    pixels = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tokens = encoder._network(pixels.to(encoder._dtype)).last_hidden_state[:, encoder._prefix :]
    expected = tokens.double().mean(dim=1)
    assert (encoder.embed(pixels) - expected).norm() <= 1e-6 * expected.norm()


def test_attention_holds_scores_that_fp16_does_not(tiny):
    """SD 2-1 asks for scores in single precision; diffusers' fused attention ignores that."""
    torch.manual_seed(0)
    blocks = [StableDiffusion(tiny, precision=name).unet.mid_block for name in ("fp32", "fp16")]
    attentions = [block.attentions[0].transformer_blocks[0].attn1 for block in blocks]
    width = attentions[0].to_q.in_features
    for attention in attentions:
        for projection in (attention.to_q, attention.to_k):
            projection.weight.copy_(200 * torch.eye(width))
    states = torch.randn(1, 32, width)
    with ranges({"attention": attentions[0]}) as found:
        expected = attentions[0](states)
    assert found()[0].score > 4 * torch.finfo(torch.float16).max
    low = attentions[1](states.half()).float()
    assert (low - expected).norm() <= 0.01 * expected.norm()


def make_map(data: torch.Tensor) -> FeatureMap:
    return FeatureMap(data, Frame.stretched(Size(8, 8), Size(8, 8)))


def test_the_difference_of_maps_is_what_it_says():
    torch.manual_seed(0)
    source, target = torch.randn(2, 16, 4, 4).double()
    swapped = target.clone()
    swapped[:, 0, 0], swapped[:, 0, 3] = target[:, 0, 3], target[:, 0, 0]
    source[:, 1, 1] = target[:, 0, 0]
    source[:, 2, 2] = target[:, 0, 3]
    full = [(make_map(source), make_map(target))]
    same = map_difference(full, full)
    assert (same.features, same.cosines, same.moved) == (0, 0, 0)
    found = map_difference(full, [(make_map(source), make_map(swapped))])
    assert found.features == pytest.approx(
        float((target - swapped).norm() / torch.cat([source, target]).norm())
    )
    assert found.moved >= 2 / 16
    assert (found.distances == 3).all()
    longer = map_difference(full, [(make_map(source), make_map(1.5 * target))])
    assert longer.moved == 0
    assert longer.cosines < 1e-5 < longer.features


def test_the_shift_is_in_pixels_and_in_the_targets_size(question, monkeypatch):
    host = load_plugins()
    cell = question.resolve(host, "hog", "fp32")
    assert run_cell(Resources(host, cell.options), cell).status == "ok"
    usual = precision.read_points
    assert shift(cell, cell, "argmax").moved == 0

    def moved(index, folder, record, localizer):
        points = usual(index, folder, record, localizer)
        calls.append(folder)
        if len(calls) == 1:
            return points
        return {pair_id: predicted + (3, 0) for pair_id, predicted in points.items()}

    calls = []
    monkeypatch.setattr(precision, "read_points", moved)
    found = shift(cell, cell, "argmax")
    assert found.moved == 1
    assert found.pixels == pytest.approx(3)
    # A box is at most as long as its picture, and the frame is square.
    assert (found.relative >= 0.99 * 3 / 96).all()
    assert found.jump == pytest.approx(100 * np.median(found.relative))


def test_what_overflows_is_counted():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.ReLU())
    network[0].weight.data = torch.tensor([[400.0, 0], [0, -1]])
    with ranges({"small": network}) as found:
        network(torch.tensor([[200.0, 1]]))
    (one,) = found()
    assert (one.largest, one.where, one.overflows) == (80_000, "0", 0)
    with ranges({"small": network.half()}) as found:
        network(torch.tensor([[200.0, 1]]).half())
    (one,) = found()
    assert (one.largest, one.overflows) == (1, 3)
