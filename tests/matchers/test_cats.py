"""CATs, SemiMatch and SCorrSAN from files of weights to points."""

from __future__ import annotations

import PIL.Image
import pytest
import torch

from harness.errors import UserError
from harness.plugins.loading import load_plugins
from harness.specs import ImageRequest, MakeContext
from matchers.backbones.checkpoints import save_checkpoint
from matchers.backbones.resnet import ResNet
from matchers.cats.files import load_cats
from matchers.cats.network import Cats, HeadShape
from matchers.scorrsan.files import load_scorrsan
from matchers.scorrsan.network import Scorrsan, ScorrsanShape, enlarge, window_offsets

SETTINGS = {
    "cats": {"image_size": 64, "levels": "0,2,3", "heads": 3},
    "semimatch": {"image_size": 64, "levels": "0,2,3", "heads": 3},
    "scorrsan": {"image_size": 64},
}


def small_network(method):
    """A network on a ResNet of three blocks, made from a seed."""
    torch.manual_seed(0)
    backbone = ResNet(8, (12, 16, 20), (1, 1, 1))
    if method == "scorrsan":
        return Scorrsan(backbone, ScorrsanShape(20, 24, kernel=3, grid=8), level=3).eval()
    return Cats(backbone, HeadShape((8, 16, 20), grid=4, projection=8, heads=3), (0, 2, 3)).eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    paths = {}
    for method, settings in SETTINGS.items():
        paths[method] = folder / f"{method}.safetensors"
        save_checkpoint(paths[method], small_network(method).state_dict(), settings)
    return paths


@pytest.fixture(scope="module")
def host():
    return load_plugins()


def noise(seed, size):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (size[1], size[0], 3), generator=generator, dtype=torch.uint8)
    return PIL.Image.fromarray(pixels.numpy())


def requests(*sizes):
    return [ImageRequest(noise(n, size), str(n), "cat") for n, size in enumerate(sizes)]


def made(host, method, path, **options):
    recipe = host.methods[method]
    extractor, matcher = host.extractors[recipe.extractor], host.matchers[recipe.matcher]
    params = {**extractor.params, **matcher.params, **options.pop("params", {})}
    context = MakeContext(weights={method: path}, params=params, **options)
    assert tuple(extractor.fed(context.weights)) == (64, 64)
    return extractor.make(context), matcher.make(context)


@pytest.mark.parametrize("method", SETTINGS)
def test_a_recipe_gives_what_the_network_gives_with_roles_swapped(host, method, files):
    extractor, matcher = made(host, method, files[method])
    pictures = requests((90, 60), (50, 70))
    source, target = extractor.extract(pictures)
    (matches,) = matcher.match([(source, target)])
    network = small_network(method)
    with torch.inference_mode():
        pixels = [extractor.prepare(request.image)[None] for request in pictures]
        if method == "scorrsan":
            expected = network(*(network.encode(network.see(each)) for each in pixels))[0]
        else:
            ours, theirs = (network.encode(each) for each in pixels)
            # The authors' source is looked up from their target.
            expected = network.refine(theirs, ours)[0].T.reshape(4, 4, 4, 4)
            swapped = network.refine(ours, theirs)[0].reshape(4, 4, 4, 4)
            assert not torch.allclose(matches.volume, swapped, atol=1e-3)
    assert torch.allclose(matches.volume, expected, atol=1e-5)
    assert matches.volume.is_contiguous()
    assert matches.source.frame.original == (90, 60)
    assert matches.target.frame.original == (50, 70)
    # A picture by itself has the same features, and so has one that was prepared ahead.
    (alone,) = extractor.extract(pictures[1:])
    assert torch.allclose(alone.data, target.data, atol=1e-6)
    prepared = ImageRequest(pictures[1].picture, "1", "cat", prepared=extractor.prepare(pictures[1].image))
    assert torch.equal(extractor.extract([prepared])[0].data, alone.data)


def test_semimatch_is_cats_network_at_another_temperature(host, files):
    maps = made(host, "cats", files["cats"])[0].extract(requests((64, 64)))
    others = made(host, "semimatch", files["cats"])[0].extract(requests((64, 64)))
    assert torch.equal(maps[0].data, others[0].data)
    assert "flow-pixel" not in host.methods["cats"].localizer_options
    assert host.methods["semimatch"].localizer_options["flow-pixel"] == {"temperature": 0.05}


def test_the_network_of_a_cell_is_loaded_once(host, files):
    context = MakeContext(weights={"cats": files["cats"]})
    extractor = host.extractors["cats"].make(context)
    matcher = host.matchers["cats"].make(context)
    assert extractor._network is matcher._network


def test_reduced_precision_is_that_of_the_backbone_alone(host, files):
    exact = made(host, "cats", files["cats"])[0].extract(requests((64, 64)))[0]
    extractor, matcher = made(host, "cats", files["cats"], precision="bf16")
    (rounded,) = extractor.extract(requests((64, 64)))
    assert rounded.data.dtype == torch.float32
    assert 0 < (rounded.data - exact.data).abs().max() < 0.1
    assert matcher.match([(rounded, rounded)])[0].volume.dtype == torch.float32


def test_scorrsan_is_enlarged_to_as_many_cells_as_asked(host, files):
    extractor, matcher = made(host, "scorrsan", files["scorrsan"], params={"grid": 5})
    source, target = extractor.extract(requests((64, 64), (64, 64)))
    (matches,) = matcher.match([(source, target)])
    assert matches.volume.shape == (5, 5, 5, 5)
    with pytest.raises(UserError, match="grid"):
        made(host, "scorrsan", files["scorrsan"], params={"grid": 0})


def test_enlarging_needs_little_more_memory_than_its_result():
    """Beside the result there is only the volume that was enlarged on one side."""
    sizes = {}

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            storage = result.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return result

    with torch.inference_mode(False), torch.no_grad(), Watch():
        volume = enlarge(torch.rand(1, 4, 4, 4, 4), 16)
    assert volume.is_contiguous()
    assert sorted(sizes.values())[-2:] == [volume.nbytes / 16, volume.nbytes]


def test_the_window_of_the_context_encoder():
    assert window_offsets(3) == [
        *[(0, 0), (1, 1), (2, 2)],
        *[(0, 1), (1, 1), (2, 1)],
        *[(0, 2), (1, 1), (2, 0)],
        *[(1, 0), (1, 1), (1, 2)],
    ]


def changed(method, **changes):
    """Tensors of a file with some in another shape, or left out."""
    tensors = dict(small_network(method).state_dict())
    for name, value in changes.items():
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value
    return tensors


BACKBONE = "feature_extraction.backbone."
CASES = [
    ("cats", {"decoder.pos_embed_x": None}, {}, "tensor decoder.pos_embed_x is missing"),
    ("cats", {"decoder.proj.bias": None}, {}, "decoder.proj.bias"),
    ("cats", {"decoder.pos_embed_x": torch.ones(3)}, {}, "has another shape"),
    ("cats", {"proj.1.weight": torch.ones(8, 3)}, {}, r"projections take \(8, 3, 20\) channels"),
    ("cats", {"x_normal": torch.zeros(4)}, {}, "x_normal is not 4 positions from -1 to 1"),
    ("cats", {f"{BACKBONE}layer2.0.conv2.weight": None}, {}, "layer2.0.conv2"),
    ("cats", {}, {"levels": "0,2"}, "setting 'levels' is '0,2', not 3 whole numbers"),
    ("cats", {}, {"levels": "0,2,x"}, "not 3 whole numbers"),
    ("cats", {}, {"levels": "0,2,9"}, "reads levels 0, 2 and 9 of a ResNet that has 0 to 3"),
    ("cats", {}, {"levels": None}, "it has 3 projections, not 7 or 8"),
    ("cats", {}, {"heads": 5}, "a width of 24 is not that of 5 attention heads"),
    ("cats", {}, {"heads": "six"}, "setting 'heads' is 'six'"),
    ("scorrsan", {"SCEs.0.conv.weight": None}, {}, "SCEs.0.conv.weight is missing"),
    ("scorrsan", {"SCEs.0.conv.weight": torch.ones(24, 28, 1, 1)}, {}, "the 8 others are not those"),
    ("scorrsan", {"y_normal": torch.zeros(8)}, {}, "y_normal"),
    ("scorrsan", {}, {"level": 7}, "reads levels 7 of"),
]


@pytest.mark.parametrize(("method", "changes", "settings", "text"), CASES)
def test_a_file_of_another_network_is_refused_in_one_line(method, changes, settings, text, tmp_path):
    path = tmp_path / "other.safetensors"
    given = {**SETTINGS[method], **settings}
    kept = {name: value for name, value in given.items() if value is not None}
    save_checkpoint(path, changed(method, **changes), kept)
    load = load_scorrsan if method == "scorrsan" else load_cats
    with pytest.raises(UserError, match=text) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_each_file_is_told_from_the_others(host, files):
    for method, other in (("cats", "scorrsan"), ("scorrsan", "cats"), ("semimatch", "scorrsan")):
        with pytest.raises(UserError, match=rf"{other}\.safetensors"):
            made(host, method, files[other])


@pytest.mark.parametrize("size", [0, "big", 5.5])
def test_a_size_of_the_input_that_is_none_is_told(host, size, tmp_path):
    path = tmp_path / "sizes.safetensors"
    save_checkpoint(path, small_network("cats").state_dict(), {**SETTINGS["cats"], "image_size": size})
    with pytest.raises(UserError, match="'image_size'"):
        host.extractors["cats"].fed({"cats": path})


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


def test_the_authors_layout_is_read_and_nothing_in_it_is_run(tmp_path, capsys):
    state = small_network("scorrsan").state_dict()
    classifier = {f"{BACKBONE}fc.weight": torch.ones(5, 20), f"{BACKBONE}fc.bias": torch.ones(5)}
    path = tmp_path / "model_best.pth"
    torch.save({"epoch": 1, "best_loss": 0.5, "state_dict": {**state, **classifier}}, path)
    assert torch.equal(load_scorrsan(path).SCEs[0].conv.weight, state["SCEs.0.conv.weight"])
    torch.save({"epoch": Harmful(), "state_dict": state}, path)
    with pytest.raises(UserError, match="nothing in it was run"):
        load_scorrsan(path)
    assert "run" not in capsys.readouterr().out
