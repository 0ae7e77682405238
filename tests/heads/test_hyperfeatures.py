"""Hyperfeatures: inversion, the maps that are read, aggregation step by step, reading, files, training."""

from __future__ import annotations

import re

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import DDIMInverseScheduler
from safetensors.torch import load_file
from support.paths import PIPELINE
from torch.nn.functional import interpolate

from baselines.sources import STABLE_DIFFUSION_1_5
from harness.errors import UserError
from harness.frames import Frame, Size
from harness.specs import FeatureMap, ImageRequest, MakeContext, SharedObjects
from heads.aggregation.network import AggregationNetwork, AggregationShape
from heads.hyperfeatures.decoder import DecoderSteps
from heads.hyperfeatures.extractor import Hyperfeatures
from heads.hyperfeatures.inversion import Step, invert_step, keep_numbers, last_kept, plan_inversion
from heads.hyperfeatures.localizer import ArgmaxFrame
from heads.hyperfeatures.spec import EVERY, EXTRACTORS, ONE_STEP, SOURCE, STEPS
from heads.hyperfeatures.training import SMALL, StepFeatures, cell_numbers, checkpoint, lose, make_network
from matchers.backbones.checkpoints import save_checkpoint
from matchers.training.objective import Batch

SPEC = {spec.name: spec for spec in EXTRACTORS}

SHARED = SharedObjects()
"""Of all extractors here, so that the Stable Diffusion is loaded once."""


def request(run_seed: int = 0) -> ImageRequest:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    return ImageRequest(PIL.Image.fromarray(pixels), "picture", "cat", "", run_seed)


def context_of(params, **weights) -> MakeContext:
    params = {**SPEC[SOURCE].params, **params}
    return MakeContext(params=params, weights={STABLE_DIFFUSION_1_5: PIPELINE, **weights}, shared=SHARED)


def network_for(context: MakeContext) -> AggregationNetwork:
    features = StepFeatures(context)
    tensors = {f"level{number}": torch.empty(count, 0, 0) for number, count in enumerate(features.channels)}
    torch.manual_seed(0)
    network = make_network(tensors, SMALL, timesteps=DecoderSteps(context).kept)
    # Weights of the mixing that differ show an order that is wrong.
    torch.nn.init.normal_(network.mixing_weights)
    return network.eval()


@pytest.fixture(scope="module")
def three_steps(tmp_path_factory):
    """Parameters of a short inversion, of which two steps are kept, and a file of a network for it."""
    params = {"steps": 4, "every": 2}
    network = network_for(context_of(params))
    path = tmp_path_factory.mktemp("network") / "network.safetensors"
    save_checkpoint(path, *checkpoint(network, SMALL))
    return params, network, path


def test_steps_are_the_published_ones():
    plan = plan_inversion(1000, STEPS)
    assert plan[0] == Step(-1, 0, 49)
    assert plan[1] == Step(0, 20, 48)
    assert plan[-1] == Step(960, 980, 0)
    assert sorted(keep_numbers(STEPS, EVERY)) == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 49]
    assert plan_inversion(1000, 1) == [Step(-1, 0, 0)]
    assert keep_numbers(1, EVERY) == {0}
    assert last_kept(plan, frozenset({45, 49})) == 5


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_inversion_is_that_of_diffusers(prediction):
    scheduler = DDIMInverseScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type=prediction,
    )
    scheduler.set_timesteps(10)
    latents = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    theirs = ours = latents
    for step in plan_inversion(1000, 10):
        predicted = torch.sin(ours * 3 + step.goal)
        # diffusers names a step by its goal.
        theirs = scheduler.step(torch.sin(theirs * 3 + step.goal), step.goal, theirs).prev_sample
        ours = invert_step(ours, predicted, scheduler.alphas_cumprod, step, prediction)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(ours, latents, atol=0.1)


def test_maps_are_second_convolutions_before_the_sum():
    """Each, with its block's shortcut added, is the block's output, at the timesteps that the plan has."""
    steps = DecoderSteps(context_of({"steps": 2, "every": 1, "posterior": "mean"}))
    unet, told, outputs = steps.backbone.unet, [], []
    blocks = [block for stage in unet.up_blocks for block in stage.resnets]

    def shortcut(block, inputs, output):
        before = inputs[0] if block.conv_shortcut is None else block.conv_shortcut(inputs[0])
        outputs.append(output - before)

    hooks = [block.register_forward_hook(shortcut) for block in blocks]
    hooks.append(unet.time_proj.register_forward_hook(lambda m, inputs, o: told.append(int(inputs[0][0]))))
    latents = steps.latents(request())[None]
    with torch.inference_mode():
        maps = [level for step in steps.maps(latents, steps.conditions([request()])) for level in step]
    for hook in hooks:
        hook.remove()
    assert told == [-1, 0]
    assert len(maps) == len(steps.channels) * steps.kept == 2 * len(blocks)
    # The last block of the last pass is left before it ends.
    for level, expected in zip(maps, outputs, strict=False):
        torch.testing.assert_close(level, expected, atol=1e-5, rtol=1e-4)
    assert len(outputs) == len(maps) - 1


def test_what_is_aggregated_is_what_a_training_sees(three_steps):
    params, network, path = three_steps
    context = context_of(params, **{SOURCE: path})
    extractor = Hyperfeatures(context, SOURCE)
    (feature_map,) = extractor.extract([request()])
    features = StepFeatures(context)(request()).data
    assert features.shape[0] == sum(StepFeatures(context).channels)
    with torch.inference_mode():
        expected = network(features[None])[0]
    torch.testing.assert_close(feature_map.data, expected, atol=1e-4, rtol=1e-4)
    assert feature_map.frame == Frame.stretched(Size(30, 20), Size(*SPEC[SOURCE].fed(context.weights)))


def test_samples_belong_to_seed_and_picture(three_steps):
    params, _, path = three_steps

    def features(seed, **further):
        extractor = Hyperfeatures(context_of({**params, **further}, **{SOURCE: path}), SOURCE)
        return extractor.extract([request(seed)])[0].data

    assert torch.equal(features(0), features(0))
    assert not torch.equal(features(0), features(1))
    assert torch.equal(features(0, posterior="mean"), features(1, posterior="mean"))


def test_the_authors_file_is_read_without_its_code(three_steps, tmp_path):
    params, network, path = three_steps
    own = load_file(path)
    whole = {
        "step": 5000,
        "config": {"idxs": None, "save_timestep": [3, 2, 0], "prompt": ""},
        "aggregation_network": own,
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-3}]},
    }
    # The groups of a file that does not say them are 32.
    large = AggregationNetwork(
        AggregationShape(network.shape.channels, 384, 32, repeats=network.shape.repeats, scales=())
    )
    torch.save({**whole, "aggregation_network": large.state_dict()}, tmp_path / "theirs.pt")
    extractor = Hyperfeatures(context_of(params, **{SOURCE: tmp_path / "theirs.pt"}), SOURCE)
    assert extractor.extract([request()])[0].data.shape[0] == 384
    del whole["aggregation_network"]
    torch.save(whole, tmp_path / "no.pt")
    with pytest.raises(UserError, match=re.escape("mixing_weights is missing")):
        Hyperfeatures(context_of(params, **{SOURCE: tmp_path / "no.pt"}), SOURCE)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"steps": 4, "every": 1}, "aggregates 3 timesteps, and steps=4 with every=1 keeps 4"),
        ({"steps": 0}, "steps: 0 is not a number of passes"),
        ({"steps": 1001}, "give 1 to 1000"),
        ({"every": 0}, "every: 0 is no distance"),
    ],
)
def test_steps_that_do_not_fit_are_told(three_steps, params, problem):
    default, _, path = three_steps
    with pytest.raises(UserError, match=re.escape(problem)):
        Hyperfeatures(context_of({**default, **params}, **{SOURCE: path}), SOURCE)


def test_a_network_for_another_decoder_is_told(tmp_path):
    network = AggregationNetwork(AggregationShape((32, 16), 16, 8, groups=8, scales=()))
    save_checkpoint(tmp_path / "other", network.state_dict(), {"groups": 8})
    context = context_of({"steps": 1}, **{ONE_STEP: tmp_path / "other"})
    with pytest.raises(UserError, match="aggregates levels of 32 and 16 channels, and the decoder of"):
        Hyperfeatures(context, ONE_STEP)


def test_reading_is_that_of_the_enlarged_square():
    """Against maps that are really enlarged; pictures have another shape than the square."""
    generator = torch.Generator().manual_seed(1)
    square = Size(24, 24)
    source, target = (torch.randn(5, 6, 6, generator=generator) for _ in range(2))
    frames = Frame.stretched(Size(48, 12), square), Frame.stretched(Size(12, 96), square)
    points = torch.rand(20, 2, generator=generator, dtype=torch.float64) * torch.tensor([48.0, 12.0])
    located = ArgmaxFrame()(FeatureMap(source, frames[0]), FeatureMap(target, frames[1]), points)
    ours, theirs = (
        torch.nn.functional.normalize(interpolate(data[None], size=(24, 24), mode="bilinear")[0], dim=0)
        for data in (source, target)
    )
    x = (points[:, 0] / 2).round().clamp(0, 23).long()
    y = (points[:, 1] * 2).round().clamp(0, 23).long()
    cosines = ours[:, y, x].T @ theirs.flatten(1)
    # Pixels that are equal but for rounding are equally right.
    pixels = located.points * torch.tensor([2, 0.25])
    assert torch.equal(pixels, pixels.round())
    chosen = cosines.gather(1, (pixels[:, 1] * 24 + pixels[:, 0]).long()[:, None])[:, 0]
    torch.testing.assert_close(chosen, cosines.amax(1), atol=1e-6, rtol=0)


def test_cells_of_points():
    points = torch.tensor([[0.0, 0.0], [95.9, 0.0], [2.1, 6.0], [10.0, 4.1]])
    assert cell_numbers(points, 96, 24).tolist() == [0, 23, 24 * 2 + 1, 24 + 2]


def test_the_loss_falls_where_points_are_alike():
    network = make_network({"level0": torch.empty(24, 0, 0)}, SMALL, timesteps=1)
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 24, 6, 6, generator=generator)
    points = [torch.tensor([[20.0, 30.0], [60.0, 70.0]]), torch.zeros(0, 2)]

    def loss(source, target):
        batch = Batch(source, target, points, points, None, None, ("cat", "dog"))
        return lose(network, batch, SMALL, generator)["loss"]

    assert loss(maps, maps).item() < loss(maps, maps.flip(3)).item()
    loss(maps, maps).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_sizes_that_are_not_groups_are_told():
    settings = SMALL.model_copy(update={"options": {"projection": 20, "width": 8, "groups": 8}})
    with pytest.raises(UserError, match="projection=20, width=8, groups=8"):
        make_network({"level0": torch.empty(24, 0, 0)}, settings, timesteps=1)
