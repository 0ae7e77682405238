"""Any vision transformer by name: every family against its own forward pass, and what is refused."""

from __future__ import annotations

import json
import shutil
from functools import partial

import PIL.Image
import pytest
import torch
import torch.nn.functional as F
import transformers
from support.any_vision_transformers import LAYERS, NATIVE, NETWORKS, PATCH, PREFIX, own_states, save_any
from support.photos import draw

from baselines.methods import vit
from baselines.networks.loading import quiet
from baselines.networks.pixels import normalize_pixels
from baselines.sources import DINOV2
from baselines.vit.any_backbone import AnyVisionTransformer
from baselines.vit.backbone import PROJECTIONS
from baselines.vit.families import FAMILIES, AnyCard
from harness.errors import UserError
from harness.frames import Frame, PatchGrid, Size
from harness.preprocess import padded, prepared_batch, stretched
from harness.specs import ImageRequest, MakeContext

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Kind -> folder and network."""
    made = {}
    for kind in NETWORKS:
        folder = tmp_path_factory.mktemp(kind)
        made[kind] = (folder, save_any(folder, kind))
    return made


def pictures(side, number=2):
    """Pictures that are another when rows and columns are exchanged."""
    pixels = torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(1))
    return pixels * torch.linspace(0, 1, side)[:, None]


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("side", [NATIVE, 48])
def test_features_are_those_of_the_networks_own_pass(networks, kind, side):
    folder, model = networks[kind]
    if kind == "sam" and side != NATIVE:
        pytest.skip("its own pass takes the native size alone; see the test of its positions")
    if kind == "aimv2" and side != NATIVE:
        pytest.skip("its own pass takes the native size alone; see the test of what is refused")
    backbone = AnyVisionTransformer(folder, side)
    assert backbone.prefix == PREFIX.get(kind, 1)
    pixels = pictures(side)
    own = own_states(model, kind, normalize_pixels(pixels, backbone.card.mean, backbone.card.std))
    for layer in range(LAYERS - 1):
        torch.testing.assert_close(backbone.features(pixels, layer), own[layer], atol=1e-5, rtol=1e-4)
    # Of the last block, hidden states may be those after the norm.
    last = backbone.features(pixels, -1)
    if not torch.allclose(last, own[-1], atol=1e-4):
        torch.testing.assert_close(backbone.features(pixels, -1, "token-norm"), own[-1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(own[0], own[0].transpose(2, 3), atol=1e-2)


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind not in ("sam", "aimv2")])
def test_facets_are_projections_and_the_norm(networks, kind):
    backbone = AnyVisionTransformer(networks[kind][0], NATIVE)
    pixels = pictures(NATIVE)
    outputs = {}
    block = backbone._blocks[1]
    hooks = []
    for name, module in block.named_modules():
        for facet, names in PROJECTIONS.items():
            if name.rpartition(".")[2] in names:
                hooks.append(
                    module.register_forward_hook(lambda _, __, out, facet=facet: outputs.update({facet: out}))
                )
    backbone.features(pixels, 2)
    for hook in hooks:
        hook.remove()
    for facet in ("key", "query", "value"):
        expected = outputs[facet][:, backbone.prefix :].transpose(1, 2).reshape(2, 24, 4, 4)
        assert torch.equal(backbone.features(pixels, 1, facet), expected)
    if kind in ("beit", "data2vec"):
        # They average the patches in the place of a norm.
        with pytest.raises(UserError, match="no norm after its last block"):
            backbone.features(pixels, 0, "token-norm")
        return
    tokens = backbone.features(pixels, 0).permute(0, 2, 3, 1)
    norm = backbone._final_norm()
    normed = F.layer_norm(tokens, (24,), norm.weight, norm.bias, norm.eps).permute(0, 3, 1, 2)
    torch.testing.assert_close(backbone.features(pixels, 0, "token-norm"), normed, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind not in ("sam", "aimv2")])
def test_overlapping_patches_lie_where_they_begin(networks, kind):
    """Values of the first block depend on their own patch alone."""
    folder = networks[kind][0]
    if AnyCard.of(folder).family.positions == "fixed":
        with pytest.raises(UserError, match="takes no overlapping patches"):
            AnyVisionTransformer(folder, NATIVE, 4)
        return
    backbone = AnyVisionTransformer(folder, NATIVE, 4)
    dark = torch.zeros(1, 3, NATIVE, NATIVE)
    bright = dark.clone()
    bright[:, :, 8:16, 16:24] = 1.0
    before, after = (backbone.features(pixels, 0, "value") for pixels in (dark, bright))
    changed = (before != after).any(dim=1)[0]
    expected = torch.zeros(7, 7, dtype=torch.bool)
    expected[1:4, 3:6] = True
    assert torch.equal(changed, expected)
    # Where strided patches coincide with plain ones, the network's own positions are interpolated between.
    plain = AnyVisionTransformer(folder, NATIVE, PATCH).features(bright, 0, "value")
    assert plain.shape == (1, 24, 4, 4)


def test_sams_positions_are_interpolated_to_another_size(networks):
    folder, model = networks["sam"]
    pixels = pictures(48)
    backbone = AnyVisionTransformer(folder, 48)
    got = backbone.features(pixels, 1)
    positions = model.vision_encoder.pos_embed.detach()
    larger = F.interpolate(positions.permute(0, 3, 1, 2), (6, 6), mode="bicubic").permute(0, 2, 3, 1)
    config = transformers.SamVisionConfig(**{**NETWORKS["sam"][2], "image_size": 48})
    other = transformers.SamVisionModel(config).eval()
    state = {**model.state_dict(), "vision_encoder.pos_embed": larger}
    for name, tensor in other.state_dict().items():
        if "rel_pos" in name and state[name].shape != tensor.shape:
            resized = F.interpolate(state[name].T[None], len(tensor), mode="linear")
            state[name] = resized[0].T
    other.load_state_dict(state)
    own = own_states(other, "sam", normalize_pixels(pixels))
    torch.testing.assert_close(got, own[1], atol=1e-4, rtol=1e-4)


def test_cards_have_the_defaults_of_transformers():
    for model_type, family in FAMILIES.items():
        config = transformers.CONFIG_MAPPING[model_type]()
        vision = getattr(config, "vision_config", config)
        for key, value in family.values.items():
            assert getattr(vision, key) == value, (model_type, key)
        assert hasattr(transformers, family.network)


def test_pixels_are_normalised_as_the_folder_says(networks, tmp_path):
    shutil.copytree(networks["vit"][0], tmp_path / "model")
    folder = tmp_path / "model"
    assert AnyCard.of(folder).mean == (0.485, 0.456, 0.406)
    assert "no preprocessor_config.json" in AnyCard.of(folder).remarks[0]
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]}))
    card = AnyCard.of(folder)
    assert (card.mean, card.std, card.remarks) == ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3), ())
    pixels = pictures(NATIVE)
    own = own_states(networks["vit"][1], "vit", normalize_pixels(pixels, card.mean, card.std))
    torch.testing.assert_close(
        AnyVisionTransformer(folder, NATIVE).features(pixels, 0), own[0], atol=1e-5, rtol=1e-4
    )
    path.write_text(json.dumps({"do_normalize": False}))
    assert AnyCard.of(folder).std == (1, 1, 1)
    for damaged in (
        {"image_std": [0, 1, 1]},
        {"image_mean": "x"},
        {"rescale_factor": 1},
        {"do_rescale": False},
    ):
        path.write_text(json.dumps({"image_mean": 0.5, "image_std": 0.5, **damaged}))
        with pytest.raises(UserError, match=r"preprocessor_config\.json: "):
            AnyCard.of(folder)


def test_families_have_the_statistics_of_their_pictures(networks):
    half = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    clip = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    others = {"clip": clip, "whole-clip": clip} | dict.fromkeys(
        ("siglip", "whole-siglip", "siglip2", "beit"), half
    )
    for kind, (folder, _) in networks.items():
        card = AnyCard.of(folder)
        expected = others.get(kind, ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        assert (card.mean, card.std) == expected, kind


def test_patches_in_another_order_are_no_plain_transformer(networks, monkeypatch):
    from transformers.models.aimv2.modeling_aimv2 import Aimv2VisionEmbeddings

    own = Aimv2VisionEmbeddings.forward
    monkeypatch.setattr(Aimv2VisionEmbeddings, "forward", lambda self, pixels: own(self, pixels).flip(1))
    with pytest.raises(UserError, match="does not make one token of each of the 4 x 4 patches"):
        AnyVisionTransformer(networks["aimv2"][0], NATIVE)


def test_the_extractor_is_what_its_parameters_say(networks, tmp_path):
    """By hand: padded or stretched, size, layer, facet and stride."""
    draw(tmp_path / "a.png", 3)
    request = ImageRequest(PIL.Image.open(tmp_path / "a.png"), "a", "blob")
    lanczos = PIL.Image.Resampling.LANCZOS
    folder = networks["clip"][0]
    for changed, prepare, frame in (
        (
            {"layer": 1, "facet": "key", "size": 48},
            partial(padded, side=48, resample=lanczos),
            Frame.padded(request.size, 48),
        ),
        (
            {"resize": "stretched", "stride": 0.5},
            partial(stretched, size=(32, 32), resample=lanczos),
            Frame.stretched(request.size, Size(32, 32)),
        ),
    ):
        params = {**vit.EXTRACTOR.params, **changed}
        context = MakeContext(params=params, weights={DINOV2: folder})
        (feature_map,) = vit.EXTRACTOR.make(context).extract([request])
        side, stride = frame.size.width, int(PATCH * params["stride"])
        backbone = AnyVisionTransformer(folder, side, stride)
        pixels = prepared_batch([request], prepare, backbone.device)
        (expected,) = backbone.features(pixels, params["layer"], params["facet"])
        assert torch.equal(feature_map.data, expected)
        assert feature_map.frame == frame
        assert feature_map.grid == PatchGrid(PATCH, stride)
        assert vit.EXTRACTOR.fed({DINOV2: folder}, params) == Size(side, side)


def test_sizes_are_whole_patches(networks):
    card = AnyCard.of(networks["clip"][0])
    assert (card.side(None), card.side(33), card.side(36), card.side(1)) == (32, 32, 40, 8)
    assert card.size_remarks(None) == card.size_remarks(40) == ()
    assert card.size_remarks(33) == ("33 pixels are not whole patches of 8: the image is fed at 32.",)
    for wrong in (0, -8, 10**6):
        with pytest.raises(UserError, match="--set size"):
            card.side(wrong)


@pytest.mark.parametrize(
    ("network", "config", "values", "words"),
    [
        (
            "BertModel",
            "BertConfig",
            {
                "hidden_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 16,
                "vocab_size": 9,
            },
            "not that of a vision transformer",
        ),
        (
            "ConvNextModel",
            "ConvNextConfig",
            {"hidden_sizes": [8, 8], "depths": [1, 1], "num_stages": 2},
            "not that of a vision transformer",
        ),
        (
            "SwinModel",
            "SwinConfig",
            {
                "embed_dim": 8,
                "depths": [1, 1],
                "num_heads": [1, 1],
                "image_size": 32,
                "patch_size": 4,
                "window_size": 2,
            },
            "no plain vision transformer|no list of",
        ),
    ],
)
def test_other_networks_are_refused_in_one_line(tmp_path, network, config, values, words):
    model = getattr(transformers, network)(getattr(transformers, config)(**values))
    with quiet():
        model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=words) as error:
        backbone = AnyVisionTransformer(tmp_path, 32)
        backbone.features(torch.rand(1, 3, 32, 32), -1)
    assert "\n" not in str(error.value)


def test_what_a_network_does_not_have_is_told(networks, tmp_path):
    pixels = pictures(NATIVE)
    sam, clip = (AnyVisionTransformer(networks[kind][0], NATIVE) for kind in ("sam", "clip"))
    cases = [
        (sam, (0, "key"), "does not project key by itself"),
        (sam, (0, "token-norm"), "has no norm after its last block"),
        (clip, (3, "token"), "layer 3 of a backbone that has layers 0 to 2"),
        (clip, (-4, "token"), "layer -4 of "),
        (clip, (0, "keys"), "unknown facet 'keys'"),
    ]
    for backbone, arguments, words in cases:
        with pytest.raises(UserError, match=words):
            backbone.features(pixels, *arguments)
    with pytest.raises(UserError, match="does not take pictures of 48 x 48"):
        AnyVisionTransformer(networks["aimv2"][0], 48)
    folder = tmp_path / "damaged"
    shutil.copytree(networks["clip"][0], folder)
    path = folder / "config.json"
    whole = json.loads(path.read_text())
    for key, value in (
        ("model_type", "no-such-type"),
        ("model_type", None),
        ("patch_size", 0),
        ("patch_size", [8, 4]),
        ("image_size", "large"),
        ("num_hidden_layers", 0),
        ("num_channels", 1),
    ):
        path.write_text(json.dumps({**whole, key: value}))
        with pytest.raises(UserError, match=r"config\.json: "):
            AnyCard.of(folder)
    path.write_text(json.dumps({**whole, "num_hidden_layers": LAYERS + 1}))
    with pytest.raises(UserError, match="missing"):
        AnyVisionTransformer(folder, NATIVE)
