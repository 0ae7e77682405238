"""SFNet and PMD from checkpoint files to points; other networks' files are refused by name."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from harness.errors import UserError
from harness.specs import ImageRequest, MakeContext
from matchers.backbones.checkpoints import save_checkpoint
from matchers.backbones.resnet import ResNet
from matchers.pmd import spec as pmd
from matchers.sfnet import spec as sfnet

VECTORS = Path(__file__).parents[1] / "conformance" / "vectors" / "classic" / "sfnet_pmd.npz"

GROUPS = {"adap_layer_feat3": "state_dict1", "adap_layer_feat4": "state_dict2", "chn4": "chn4_dict"}
READINGS = {"beta50_sigma5": (50.0, 5.0), "beta20_sigma1.5": (20.0, 1.5)}
METHODS = {"sfnet": (sfnet, 16), "pmd": (pmd, 0)}


@pytest.fixture(scope="module")
def vectors():
    with np.load(VECTORS) as file:
        return dict(file)


def head_of(vectors, method):
    """The weights of a vector file in the layout of the authors' checkpoint."""
    layout = {}
    for key, value in vectors.items():
        if key.startswith(f"{method}/") and "/weights/" in key:
            module, name = key.removeprefix(f"{method}/").split("/weights/")
            layout.setdefault(GROUPS[module], {})[name] = torch.tensor(value)
    return layout


def write_backbone(folder, widths=(4, 4, 6, 8)):
    """A file of a small ResNet with random numbers, classifier included."""
    torch.manual_seed(0)
    state = ResNet(4, widths, (1, 1, 1, 1)).torchvision_state()
    path = folder / "resnet.pth"
    torch.save({**state, "fc.weight": torch.zeros(5, widths[-1]), "fc.bias": torch.zeros(5)}, path)
    return path


def make(method, head, backbone):
    """Extractor and matcher of a method, as the harness makes them."""
    spec, _ = METHODS[method]
    context = MakeContext(weights={method: head, "resnet101": backbone})
    return spec.EXTRACTORS[0].make(context), spec.MATCHERS[0].make(context)


def request(height_width, seed):
    """A picture of random pixels."""
    height, width = (int(side) for side in height_width)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return ImageRequest(PIL.Image.fromarray(pixels), str(seed), "cat")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reading", READINGS)
def test_a_checkpoint_file_gives_the_authors_points(method, reading, vectors, tmp_path, monkeypatch):
    """Files in the authors' layout, and their levels in place of the backbone's: the points are theirs."""
    head = tmp_path / "head.safetensors"
    flat = {
        f"{group}.{name}": tensor
        for group, tensors in head_of(vectors, method).items()
        for name, tensor in tensors.items()
    }
    # Six cells of 16 pixels, of which SFNet leaves one empty on each side.
    save_checkpoint(head, flat, {"image_size": 96, "border": METHODS[method][1]})
    extractor, matcher = make(method, head, write_backbone(tmp_path))
    seen = []

    def levels_of_vectors(self, pixels, levels, before_relu=False):
        assert pixels.shape == (1, 3, 96, 96)
        side = "target" if seen else "source"
        seen.append(side)
        assert list(levels) == [3, 4]
        assert not before_relu
        return [torch.tensor(vectors[f"{method}/in/{side}_layer{level}"])[None] for level in (3, 4)]

    monkeypatch.setattr(ResNet, "forward", levels_of_vectors)
    source, target = (
        extractor.extract([request(vectors[f"in/{side}_hw"], seed)])[0]
        for seed, side in enumerate(("source", "target"))
    )
    np.testing.assert_allclose(source.data.numpy(), vectors[f"{method}/out/adapted_source3"], atol=1e-5)
    np.testing.assert_allclose(source.levels[0].numpy(), vectors[f"{method}/out/adapted_source4"], atol=1e-5)
    # The authors look up points of their target: it is the source here.
    matches = matcher.match([(target, source)])[0]
    beta, sigma = READINGS[reading]
    localizer = sfnet.LOCALIZERS[0].make(**{**sfnet.LOCALIZERS[0].options, "beta": beta, "sigma": sigma})
    points = torch.from_numpy(vectors[f"{method}/in/{reading}/target_points"]).double()
    predicted = localizer.read(matches, points).points
    np.testing.assert_allclose(predicted, vectors[f"{method}/out/{reading}/source_points"], atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_file_of_the_authors_layout_is_fed_the_published_square(method, vectors, tmp_path):
    head = tmp_path / "best.pt"
    # With what a training program saves beside its networks.
    torch.save({**head_of(vectors, method), "epoch": 7, "optimizer": {"lr": 3e-5}}, head)
    extractor, matcher = make(method, head, write_backbone(tmp_path))
    spec, border = METHODS[method]
    assert spec.EXTRACTORS[0].fed({method: head}) == (320, 320)
    one, other = extractor.extract([request((29, 41), 0), request((27, 33), 1)])
    assert one.data.shape == (6, 20, 20)
    assert one.levels[0].shape == (8, 10, 10)
    assert one.frame.offset == (border, border)
    matches = matcher.match([(one, other)])[0]
    assert matches.volume.shape == (20, 20, 20, 20)
    assert matches.source.frame == one.frame
    # Scores are normalised over the target's cells.
    norms = matches.volume.flatten(2).norm(dim=2)
    assert 0.9 < norms.min() <= norms.max() < 1.0001


def test_the_order_of_a_pair_matters_to_pmd(vectors, tmp_path):
    """The second picture's attention sees the first's scaled features."""
    head = tmp_path / "head.pt"
    torch.save(head_of(vectors, "pmd"), head)
    extractor, matcher = make("pmd", head, write_backbone(tmp_path))
    one, other = extractor.extract([request((29, 41), 0), request((27, 33), 1)])
    there, back = matcher.match([(one, other), (other, one)])
    reversed_back = back.volume.permute(2, 3, 0, 1)
    # Not the same up to the norm of each source cell's scores.
    scale = reversed_back.flatten(2).norm(dim=2)[..., None, None]
    assert (there.volume - reversed_back / scale).abs().max() > 1e-5


def test_files_of_other_networks_are_refused(vectors, tmp_path):
    layouts = {method: head_of(vectors, method) for method in METHODS}
    backbone = write_backbone(tmp_path)
    path = tmp_path / "head.pt"

    def refusal(method, layout, backbone=backbone):
        torch.save(layout, path)
        with pytest.raises(UserError) as error:
            make(method, path, backbone)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "chn4_dict" in refusal("pmd", layouts["sfnet"])
    assert "chn4_dict" in refusal("sfnet", layouts["pmd"])
    assert "state_dict1" in refusal("sfnet", ResNet(4, (4, 4), (1, 1)).torchvision_state())
    lacking = {group: dict(tensors) for group, tensors in layouts["sfnet"].items()}
    del lacking["state_dict2"]["conv2.1.running_mean"]
    assert "conv2.1.running_mean" in refusal("sfnet", lacking)
    no_convolution = {**layouts["sfnet"], "state_dict1": {"conv1.0.bias": torch.zeros(6)}}
    assert "conv1.0.weight" in refusal("sfnet", no_convolution)
    wide = write_backbone(tmp_path, (4, 4, 7, 8))
    assert "6 channels" in refusal("sfnet", layouts["sfnet"], wide)
    assert str(path) in refusal("sfnet", {**layouts["sfnet"], "extra": Path("x")})


@pytest.mark.parametrize("settings", [{"image_size": 20}, {"image_size": "big"}, {"border": -1}])
def test_settings_that_leave_no_picture_are_refused(settings, vectors, tmp_path):
    path = tmp_path / "head.safetensors"
    save_checkpoint(path, {"state_dict1.conv1.0.bias": torch.zeros(6)}, settings)
    with pytest.raises(UserError, match="leaves no picture"):
        sfnet.EXTRACTORS[0].fed({"sfnet": path})
