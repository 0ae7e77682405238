"""NCNet and PWarpC-NCNet from files to matches; other networks' files are refused by name."""

import argparse
import re

import numpy as np
import PIL.Image
import pytest
import torch

from harness.errors import UserError
from harness.frames import Size
from harness.specs import ImageRequest, MakeContext
from harness.weights.places import missing_message
from matchers.backbones.checkpoints import save_checkpoint
from matchers.backbones.resnet import ResNet
from matchers.convolution4d import swap_sides
from matchers.ncnet import spec as ncnet
from matchers.ncnet.network import NCNet, NeighConsensus
from matchers.pwarpc import spec as pwarpc
from matchers.pwarpc.extractor import pad_corner

SPECS = {"ncnet": ncnet, "pwarpc-ncnet": pwarpc}
SIDE = 64


def random_network():
    torch.manual_seed(0)
    network = NCNet(ResNet(4, (8, 8, 12), (1, 2, 1)), NeighConsensus((3, 1), (3, 3))).eval()
    for parameter in network.NeighConsensus.parameters():
        parameter.data.abs_()
    return network


@pytest.fixture(scope="module")
def weights():
    """Tensors of a small NCNet under the authors' names."""
    return random_network().state_dict()


def write(folder, method, tensors, **settings):
    prefix = "matching_model." if method == "pwarpc-ncnet" else ""
    tensors = {prefix + name: tensor for name, tensor in tensors.items()}
    if method == "pwarpc-ncnet":
        tensors["bin_model.bin_score"] = torch.tensor(0.4)
    path = folder / "weights.safetensors"
    save_checkpoint(path, tensors, {"image_size": SIDE, **settings})
    return path


def make(method, path, extractor=0, precision="fp32"):
    context = MakeContext(weights={method: path}, precision=precision)
    return SPECS[method].EXTRACTORS[extractor].make(context), SPECS[method].MATCHERS[0].make(context)


def request(width, height, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return ImageRequest(PIL.Image.fromarray(pixels).resize((width, height)), str(seed), "cat")


REQUESTS = (request(80, 48, 1), request(56, 72, 2))


def test_names_are_the_authors(weights):
    parts = {tuple(name.split(".")[:3]) for name in weights}
    backbone = {("FeatureExtraction", "model", number) for number in "01456"}
    assert parts == backbone | {("NeighConsensus", "conv", "0"), ("NeighConsensus", "conv", "2")}


@pytest.mark.parametrize("method", SPECS)
def test_a_pair_is_matched_in_the_harness_direction(method, weights, tmp_path):
    """The volume is the network's own of swapped roles; sides are told apart by their cells' numbers."""
    path = write(tmp_path, method, weights)
    extractor, matcher = make(method, path)
    first, second = extractor.extract(REQUESTS)
    assert first.data.shape == (12, 4, 4)
    cropped = second.__class__(second.data[:, :3], second.frame)
    (matches,) = matcher.match([(first, cropped)])
    assert matches.volume.shape == (4, 4, 3, 4)
    assert matches.source.frame == first.frame
    assert matches.target.cells == Size(4, 3)
    expected = random_network().match(cropped.data[None], first.data[None])
    if method == "pwarpc-ncnet":
        exponents = expected.double().flatten(3).flatten(1, 2).exp()
        expected = (exponents / (exponents.sum(1, keepdim=True) + np.exp(0.4))).view_as(expected).float()
    torch.testing.assert_close(matches.volume, swap_sides(expected)[0])


def test_a_strong_file_has_no_bin(weights, tmp_path):
    """Without a bin, the correlations themselves are read; the best cells are the same ones."""
    weak = make("pwarpc-ncnet", write(tmp_path, "pwarpc-ncnet", weights))
    strong_path = tmp_path / "strong.pth"
    torch.save(
        {"state_dict": {f"matching_model.{name}": tensor for name, tensor in weights.items()}}, strong_path
    )
    plain_path = tmp_path / "plain.pth"
    torch.save(weights, plain_path)
    maps = weak[0].extract(REQUESTS)
    (probabilities,) = weak[1].match([tuple(maps)])
    (strong,) = make("pwarpc-ncnet", strong_path)[1].match([tuple(maps)])
    (plain,) = make("pwarpc-ncnet", plain_path)[1].match([tuple(maps)])
    assert torch.equal(strong.volume, plain.volume)
    assert float(probabilities.volume.sum((2, 3)).min()) < 0.995
    assert torch.equal(strong.volume.flatten(2).argmax(2), probabilities.volume.flatten(2).argmax(2))


@pytest.mark.parametrize("part", ["vgg", "model"])
def test_authors_files_are_read_old_ones_too(part, weights, tmp_path):
    """With the options and losses that their program saves beside the tensors."""
    path = tmp_path / "ncnet_pfpascal.pth.tar"
    tensors = {name.replace("model", part): tensor for name, tensor in weights.items()}
    company = {"args": argparse.Namespace(ncons_channels=[16, 16, 1]), "train_loss": np.zeros(5)}
    torch.save({"epoch": 5, "state_dict": tensors, **company}, path)
    assert ncnet.EXTRACTORS[0].image_size({"ncnet": path}) == (400, 400)
    extractor, _ = make("ncnet", path)
    (features,) = extractor.extract(REQUESTS[:1])
    assert features.data.shape == (12, 25, 25)


class Evil:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("method", SPECS)
@pytest.mark.parametrize("kind", ["extractor", "matcher"])
def test_other_files_are_refused_by_name(method, kind, weights, tmp_path, capsys):
    path = tmp_path / "weights.safetensors"
    context = MakeContext(weights={method: path})
    spec = (SPECS[method].EXTRACTORS if kind == "extractor" else SPECS[method].MATCHERS)[0]

    def refusal(tensors):
        write(tmp_path, method, tensors)
        with pytest.raises(UserError, match=re.escape(str(path))) as caught:
            spec.make(context)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    lacking = "FeatureExtraction.model.6.0.conv2.weight"
    assert lacking in refusal({name: tensor for name, tensor in weights.items() if name != lacking})
    assert "NeighConsensus.conv.0.weight" in refusal(
        {"feature_extraction.backbone.conv1.weight": torch.ones(1)}
    )
    swapped = {**weights, "NeighConsensus.conv.2.bias": torch.zeros(2)}
    assert "NeighConsensus.conv.2.bias" in refusal(swapped)
    flat = {**weights, "NeighConsensus.conv.0.weight": torch.zeros(2, 2)}
    assert "NeighConsensus.conv.0.weight" in refusal(flat)
    torch.save({"state_dict": weights, "hook": Evil()}, path.with_suffix(".pth"))
    with pytest.raises(UserError, match=r"holds more than tensors"):
        spec.make(MakeContext(weights={method: path.with_suffix(".pth")}))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("side", [8, 2000, "64", 64.5])
def test_an_input_without_room_is_refused(side, weights, tmp_path):
    path = write(tmp_path, "ncnet", weights, image_size=side)
    with pytest.raises(UserError, match=r"image_size is .* not a whole number from 32 to 1024"):
        ncnet.EXTRACTORS[0].image_size({"ncnet": path})


def test_pairs_are_padded_to_one_size(weights, tmp_path):
    """Their maps are those of pictures that were padded before, and frames leave the padding out."""
    path = write(tmp_path, "pwarpc-ncnet", weights)
    alone, _ = make("pwarpc-ncnet", path)
    together, matcher = make("pwarpc-ncnet", path, extractor=1)
    (maps,) = together.extract_pairs([REQUESTS])
    common = Size(80, 72)
    for feature_map, single in zip(maps, REQUESTS, strict=True):
        padded = ImageRequest(pad_corner(single.image, common), "", "cat")
        (expected,) = alone.extract([padded])
        torch.testing.assert_close(feature_map.data, expected.data, rtol=0, atol=1e-6)
        assert feature_map.frame.original == single.size
        assert feature_map.frame.scale == expected.frame.scale
    assert matcher.match([maps])[0].source.frame == maps[0].frame


def test_reduced_precision_is_near(weights, tmp_path):
    path = write(tmp_path, "ncnet", weights)
    volumes = []
    for precision in ("fp32", "bf16"):
        extractor, matcher = make("ncnet", path, precision=precision)
        (matches,) = matcher.match([tuple(extractor.extract(REQUESTS))])
        assert matches.volume.dtype == torch.float32
        volumes.append(matches.volume)
    exact, near = volumes
    assert not torch.equal(exact, near)
    torch.testing.assert_close(near, exact, rtol=0, atol=0.1 * float(exact.max()))


def test_weights_on_a_drive_are_told_with_their_place(tmp_path):
    """What no command can fetch: the message has the advice, and names no command."""
    message = missing_message(pwarpc.WEIGHTS[0], tmp_path)
    assert "Google Drive" in message
    assert "bench weights fetch" not in message
    assert "--weights pwarpc-ncnet=PATH" in message
    assert "'bench weights fetch ncnet' gets https://" in missing_message(ncnet.WEIGHTS[0], tmp_path)
