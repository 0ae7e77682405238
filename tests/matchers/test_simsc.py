"""SimSC: its temperature, its training, and from a file to points."""

from __future__ import annotations

import PIL.Image
import pytest
import torch
from support.vision_transformers import save_network

from harness.errors import UserError
from harness.frames import Frame, Size
from harness.localizers.on_grid import SoftArgmax
from harness.plugins.loading import load_plugins
from harness.specs import ImageRequest, MakeContext
from matchers.backbones.checkpoints import read_checkpoint, save_checkpoint
from matchers.simsc.files import file_of, read_backbone
from matchers.simsc.network import RANGE, Temperature
from matchers.simsc.objective import OBJECTIVE, PUBLISHED
from matchers.training.objective import Batch

SIDE = 32
KINDS = ["single", "mlp", "per-pixel"]


def settings_of(kind, **changes):
    return PUBLISHED.model_copy(
        update={"image_size": SIDE, "options": {**PUBLISHED.options, "temperature": kind}, **changes}
    )


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return read_backbone(save_network(tmp_path_factory.mktemp("start"), "v2"))


def batch_of(count=2):
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(2, count, 3, SIDE, SIDE, generator=generator)
    points = [SIDE * torch.rand(3 + row, 2, generator=generator) for row in range(count)]
    return Batch(*pictures, points, [part.flip(0) for part in points], None, None, ("cat",) * count)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_begins_as_one_number_and_stays_in_range(kind):
    temperature = Temperature(kind, 0.05)
    cosines = torch.rand(2, 3, 4, 5, 6) * 2 - 1
    shape = (2, 3, 4, 1, 1) if kind == "per-pixel" else (2, 1, 1, 1, 1)
    assert torch.allclose(temperature(cosines), torch.full(shape, 0.05))
    torch.nn.init.constant_(temperature.logarithm, 9.0)
    assert temperature(cosines).max() == RANGE[1]


def test_kinds_see_the_pair_or_the_row():
    cosines = torch.rand(2, 3, 4, 5, 6)
    values = {}
    for kind in ("mlp", "per-pixel"):
        temperature = Temperature(kind, 0.05)
        torch.nn.init.normal_(temperature.mlp[-1].weight)
        values[kind] = temperature(cosines)
        assert len(values[kind].unique()) == values[kind].numel()
        # A pair's temperature does not depend on the others.
        assert torch.allclose(temperature(cosines[1:]), values[kind][1:])
    with pytest.raises(UserError, match="temperature=both: not one of single, mlp, per-pixel"):
        Temperature("both", 0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_backbone_and_temperature_learn(start, kind):
    network = OBJECTIVE.make_network(start, settings_of(kind))
    groups = OBJECTIVE.groups(network)
    optimizer = torch.optim.Adam(
        [{"params": groups.head, "lr": 1e-2}, {"params": groups.backbone, "lr": 1e-3}]
    )
    losses = []
    for _ in range(12):
        loss = OBJECTIVE.loss(network, batch_of(), settings_of(kind), torch.Generator())["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    moved = network.backbone.state_dict()
    assert any(not torch.equal(moved[name], start[name]) for name in start)
    assert float(network.temperature.logarithm.detach().exp()) != pytest.approx(0.05, rel=1e-4)


def test_the_loss_is_the_mean_distance_over_the_side(start):
    network = OBJECTIVE.make_network(start, settings_of("single"))
    batch = batch_of(1)
    source, target = (network.encode(pixels) for pixels in (batch.source, batch.target))
    rows = network.match(source, target)[0].flatten(2).softmax(-1)
    # Centres of patches of 8 pixels.
    x = torch.arange(4).repeat(4) * 8.0 + 4
    y = torch.arange(4).repeat_interleave(4) * 8.0 + 4
    centre = torch.tensor([[12.0, 20.0]])
    expected = torch.stack([(rows[2, 1] * x).sum(), (rows[2, 1] * y).sum()])
    one = Batch(batch.source, batch.target, [centre], [torch.zeros(1, 2)], None, None, ("cat",))
    loss = OBJECTIVE.loss(network, one, settings_of("single"), torch.Generator())["loss"].detach()
    assert float(loss) == pytest.approx(float(expected.detach().norm()) / SIDE, rel=1e-4)


@pytest.fixture
def file(start, tmp_path):
    network = OBJECTIVE.make_network(start, settings_of("per-pixel"))
    torch.nn.init.normal_(network.temperature.mlp[-1].weight)
    path = tmp_path / "simsc.safetensors"
    save_checkpoint(path, *OBJECTIVE.checkpoint(network, settings_of("per-pixel")))
    return path, network.eval()


def make_parts(path, **params):
    host = load_plugins()
    context = MakeContext(params={"temperature": None, **params}, weights={"simsc": path})
    return host.extractors["simsc"].make(context), host.matchers["simsc"].make(context)


def maps_of(extractor, batch):
    picture = PIL.Image.new("RGB", (64, 96))
    pixels = [batch.source[0], batch.target[0]]
    return extractor.extract(
        [ImageRequest(picture, str(row), "cat", prepared=x) for row, x in enumerate(pixels)]
    )


def test_from_a_file_to_points(file):
    path, network = file
    assert load_plugins().extractors["simsc"].fed({"simsc": path}) == (SIDE, SIDE)
    extractor, matcher = make_parts(path)
    batch = batch_of(1)
    (matches,) = matcher.match([tuple(maps_of(extractor, batch))])
    with torch.no_grad():
        assert torch.allclose(matches.volume, network(batch.source, batch.target)[0], atol=1e-3)
    # The recipe's reading predicts what the loss measures.
    method = load_plugins().methods["simsc"]
    assert method.localizer_options[method.localizer] == {"temperature": 1.0}
    frame = Frame.stretched(Size(64, 96), Size(SIDE, SIDE))
    points = frame.to_original(batch.source_points[0].double())
    predicted = frame.from_original(SoftArgmax(temperature=1.0).read(matches, points).points)
    distance = (predicted - batch.target_points[0]).norm(dim=1).mean() / SIDE
    with torch.no_grad():
        loss = OBJECTIVE.loss(network, batch, settings_of("per-pixel"), torch.Generator())["loss"]
    assert float(distance) == pytest.approx(float(loss), rel=1e-4)


def test_a_user_may_choose_the_temperature(file):
    path, _ = file
    extractor, matcher = make_parts(path, temperature=0.1)
    (matches,) = matcher.match([tuple(maps_of(extractor, batch_of(1)))])
    assert matches.volume.abs().max() <= 10 + 1e-4
    with pytest.raises(UserError, match="temperature=2: not from"):
        make_parts(path, temperature=2)


def test_half_precision_halves_the_backbone(start):
    network = OBJECTIVE.make_network(start, settings_of("single"))
    tensors, _ = file_of(network, SIDE, is_half=True)
    kinds = {name.partition(".")[0]: tensor.dtype for name, tensor in tensors.items()}
    assert kinds == {"backbone": torch.float16, "temperature": torch.float32}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": "warm"}, "setting 'temperature' is 'warm'"),
        ({"configuration": "{}"}, "configuration"),
        ({"configuration": "3"}, "says no configuration"),
        ({"configuration": '{"model_type": "resnet"}'}, "configuration"),
        ({"image_size": None}, "setting 'image_size' is None"),
        ({"image_size": 30}, "not a whole number of patches of 8 pixels"),
    ],
)
def test_settings_that_do_not_fit_are_told(file, settings, message):
    path, _ = file
    checkpoint = read_checkpoint(path)
    save_checkpoint(path, checkpoint.tensors, {**checkpoint.settings, **settings})
    with pytest.raises(UserError, match=message) as told:
        make_parts(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["backbone.layernorm.weight", "temperature.mlp.0.bias"])
def test_a_missing_tensor_is_named(file, name):
    path, _ = file
    checkpoint = read_checkpoint(path)
    tensors = {key: tensor for key, tensor in checkpoint.tensors.items() if key != name}
    assert len(tensors) < len(checkpoint.tensors)
    save_checkpoint(path, tensors, checkpoint.settings)
    with pytest.raises(UserError, match=name.partition(".")[2]):
        make_parts(path)


def test_an_input_of_no_whole_patches_is_told(start):
    with pytest.raises(UserError, match="image_size=30: not a whole number of patches of 8 pixels; take 24"):
        OBJECTIVE.make_network(start, settings_of("single", image_size=30))
