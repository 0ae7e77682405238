"""Checks against the vectors: each takes a folder of them, and raises AssertionError if a number differs."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch

from baselines.stable_diffusion.backbone import StableDiffusion
from baselines.stable_diffusion.conditioning import Conditioning, TokenEmbeddings
from harness.datasets.pf_pascal import PFPascal
from harness.datasets.pf_willow import PFWillow
from harness.datasets.spair71k import SPair71k
from harness.datasets.splits import Target
from harness.frames import Frame, Size
from harness.localizers.on_grid import Argmax, Bilinear, KernelSoftmax, SoftArgmax, WindowSoftmax
from harness.localizers.original_resolution import ArgmaxOriginal
from harness.preprocess import stretched_batch
from harness.scoring.pck import count_per_pair, is_correct, target_in_frame, threshold_length
from harness.scoring.protocols import SD4MATCH
from harness.specs import FeatureMap, ImagePair, ImageRequest, valid_points
from sd4match_plugin.prompts.cpm import ConditionalPrompting, CpmConfig
from sd4match_plugin.prompts.tokens import Boundaries, assemble
from sd4match_plugin.tuning.loss import matching_loss as loss_of_maps

LOCALIZERS = {
    "nn": Argmax,
    "bilinear": Bilinear,
    "softargmax": SoftArgmax,
    "kernel_softargmax": KernelSoftmax,
}
SOFT = ("softargmax", "kernel_softargmax")
FED = Size(768, 768)
ALPHAS = (0.05, 0.1, 0.15)


def size(height_width: np.ndarray) -> Size:
    """Size of an image from its (height, width)."""
    return Size(int(height_width[1]), int(height_width[0]))


def feature_map(data: np.ndarray, image: Size) -> FeatureMap:
    """A feature map of an image that was neither resized nor padded."""
    return FeatureMap(torch.from_numpy(data.copy()), Frame.unchanged(image))


def matching_localizers(folder: Path) -> None:
    """SD4Match's four localizers, with and without normalisation."""
    vectors = np.load(folder / "matching.npz")
    source_size, target_size = size(vectors["src_size_hw"]), size(vectors["trg_size_hw"])
    for name, make in LOCALIZERS.items():
        for suffix, normalize in (("", True), ("_nol2", False)):
            localize = make(normalize=normalize)
            for number, count in enumerate(vectors["n_pts"]):
                maps = (
                    feature_map(vectors["src_featmap"][number], source_size),
                    feature_map(vectors["trg_featmap"][number], target_size),
                )
                points = torch.from_numpy(vectors["src_kps"][number, :count]).double()
                predicted = localize(*maps, points).points.numpy()
                expected = vectors[f"out/{name}{suffix}"][number, :count]
                tolerance = 1e-3 if name in SOFT else 1e-4
                np.testing.assert_allclose(predicted, expected, rtol=0, atol=tolerance, err_msg=name + suffix)


def matching_pck(folder: Path) -> None:
    """PCK of the release's predictions: `<=`, clamped truth, per image and point, all and by category."""
    vectors = np.load(folder / "matching.npz")
    target_size, counts = size(vectors["trg_size_hw"]), vectors["n_pts"]
    short = {
        "nn": "nn",
        "bilinear": "bilinear",
        "softargmax": "softmax",
        "kernel_softargmax": "kernelsoftmax",
    }
    compared = set()
    for name in LOCALIZERS:
        errors = []
        for number, count in enumerate(counts):
            target = Target(vectors["trg_kps"][number, :count].astype(float), target_size, None)
            truth = target_in_frame(SD4MATCH, target, Frame.unchanged(target_size))
            distance = np.linalg.norm(vectors[f"out/{name}"][number, :count] - truth, axis=1)
            errors.append(distance / vectors["pck_threshold"][number])
        hits = np.stack([is_correct(np.concatenate(errors), alpha, strict=False) for alpha in ALPHAS], axis=1)
        rows = np.repeat(np.arange(len(counts)), counts)
        hits_of_pair, points_of_pair = count_per_pair(hits, rows, len(counts))
        for category in ("all", *sorted(set(vectors["category"]))):
            is_inside = vectors["category"] == category
            if category == "all":
                is_inside = np.ones(len(counts), bool)
            for column, alpha in enumerate(ALPHAS):
                values = {
                    "image": (hits_of_pair[is_inside, column] / points_of_pair[is_inside]).mean(),
                    "point": hits_of_pair[is_inside, column].sum() / points_of_pair[is_inside].sum(),
                }
                for averaging, value in values.items():
                    key = f"out/pck/{averaging}/{short[name]}_pck{alpha}/{category}"
                    np.testing.assert_allclose(value, vectors[key], rtol=0, atol=1e-7, err_msg=key)
                    compared.add(key)
    assert compared == {key for key in vectors.files if key.startswith("out/pck/")}


def matching_loss(folder: Path) -> None:
    """The training loss, and its gradient in both maps."""
    vectors = np.load(folder / "matching.npz")
    maps = {
        side: torch.from_numpy(vectors[f"{side}_featmap"].copy()).requires_grad_() for side in ("src", "trg")
    }
    points = [torch.from_numpy(vectors[f"{side}_kps"]) for side in ("src", "trg")]
    sizes = [size(vectors[f"{side}_size_hw"]) for side in ("src", "trg")]
    loss = loss_of_maps(maps["src"], maps["trg"], *points, torch.from_numpy(vectors["n_pts"]), *sizes)
    np.testing.assert_allclose(loss.item(), vectors["out/loss"], rtol=0, atol=1e-5)
    for side, gradient in zip(("src", "trg"), torch.autograd.grad(loss, list(maps.values())), strict=True):
        expected = vectors[f"out/loss_grad_{side}"]
        np.testing.assert_allclose(
            gradient.numpy(),
            expected,
            rtol=1e-4,
            atol=1e-5 * np.abs(expected).max(),
            err_msg=f"gradient of {side}",
        )


def original_argmax(folder: Path) -> None:
    """DIFT's argmax at original resolution; pixels that tie are equally right."""
    vectors = np.load(folder / "original_resolution_argmax.npz")
    cases = sorted({key.split("/")[0] for key in vectors.files})
    for case in cases:
        source_size, target_size = size(vectors[f"{case}/src_size_hw"]), size(vectors[f"{case}/trg_size_hw"])
        frames = [Frame.stretched(original, Size(96, 96)) for original in (source_size, target_size)]
        source, target = (
            FeatureMap(torch.from_numpy(vectors[f"{case}/{side}_featmap"].copy()), frame)
            for side, frame in zip(("src", "trg"), frames, strict=True)
        )
        located = ArgmaxOriginal()(source, target, torch.from_numpy(vectors[f"{case}/src_kps"]).double())
        np.testing.assert_allclose(
            located.score.numpy(), vectors[f"{case}/out/score"], rtol=0, atol=2e-6, err_msg=case
        )
        cosines = upsampled_cosines(source, target, vectors[f"{case}/src_kps"])
        width = cosines.shape[2]
        predictions = located.points.long().numpy()
        expected_predictions = vectors[f"{case}/out/prediction_xy"]
        for row, (predicted, expected) in enumerate(zip(predictions, expected_predictions, strict=True)):
            # Where two pixels tie, rounding decides; the expected one is then that of the plain computation.
            is_tied = cosines[row, predicted[1], predicted[0]] >= cosines[row].max() - 1e-6
            best = cosines[row].argmax()
            is_plain_argmax = (best % width, best // width) == tuple(expected)
            is_right = (predicted == expected).all() or (is_tied and is_plain_argmax)
            assert is_right, f"case {case}, point {row}: {predicted} instead of {expected}"


def upsampled_cosines(source: FeatureMap, target: FeatureMap, points: np.ndarray) -> np.ndarray:
    """(N, H, W) float32 cosines, computed plainly: both maps are upsampled to image size and normalised."""

    def upsample(features: FeatureMap) -> torch.Tensor:
        width, height = features.frame.original
        full = torch.nn.functional.interpolate(
            features.data[None], (height, width), mode="bilinear", align_corners=False
        )[0]
        return torch.nn.functional.normalize(full, dim=0)

    queries = upsample(source)[:, points[:, 1], points[:, 0]]
    return torch.einsum("cn,chw->nhw", queries, upsample(target)).numpy()


def window_softmax(folder: Path) -> None:
    """GeoAware-SC's windowed soft-argmax."""
    vectors = np.load(folder / "window_softmax.npz")
    side = int(vectors["frame_size"])
    maps = [feature_map(vectors[f"{name}_featmap"], Size(side, side)) for name in ("src", "trg")]
    points = torch.from_numpy(vectors["src_kps"]).double()
    for window in (5, 7):
        predicted = WindowSoftmax(window=window)(*maps, points).points.numpy()
        expected = vectors[f"out/window{window}"]
        np.testing.assert_allclose(predicted, expected, rtol=0, atol=1e-3, err_msg=f"window {window}")
    # A window of the best patch alone, with a temperature at which nothing else counts.
    predicted = WindowSoftmax(window=0, temperature=1e-4)(*maps, points).points.numpy()
    np.testing.assert_allclose(predicted, vectors["out/argmax"], rtol=0, atol=1e-3, err_msg="argmax")


DATASETS = {
    "spair": (SPair71k, "SPair-71k", "box"),
    "pfpascal": (PFPascal, "pf-pascal", "image"),
    "pfwillow": (PFWillow, "pf-willow", "points"),
}


def datasets(folder: Path) -> None:
    """SD4Match's loaders on miniatures of the three datasets."""
    expected = json.loads((folder / "datasets.json").read_text())
    assert len(expected) == 7
    for key, pairs in expected.items():
        compare_dataset(folder, key, pairs)


def compare_dataset(folder: Path, key: str, pairs: list[dict]) -> None:
    """Compares one split, such as `spair/test`."""
    name, split = key.split("/")
    make, home, threshold = DATASETS[name]
    dataset = make(folder / "datasets" / home, split)
    assert len(dataset) == len(pairs), key
    for number, expected in enumerate(pairs):
        _compare_pair(f"{key} {number}", dataset[number], expected, threshold)


def _compare_pair(label: str, pair: ImagePair, expected: dict, threshold: str) -> None:
    """Compares an image pair with the numbers that the release's loader returned for it."""
    valid = valid_points(pair)
    assert pair.category == expected["category"], label
    assert valid.sum() == expected["n_points"], label
    for side, image, points, original in (
        ("source", pair.source, pair.source_points, pair.source_size),
        ("target", pair.target, pair.target_points, pair.target_size),
    ):
        identifier = expected[f"{side}_identifier"]
        # The release marks mirrored pictures with -1 and others with -0; ours have a flag.
        mirrored = bool(getattr(image, "mirror", False))
        assert identifier in (image.name, f"{image.name}-{int(mirrored)}"), (
            f"{label}: {image.name} instead of {identifier}"
        )
        target = Target(points[valid], original, pair.target_box if side == "target" else pair.source_box)
        frame = Frame.stretched(original, FED)
        points_in_frame = target_in_frame(SD4MATCH, target, frame)
        np.testing.assert_allclose(
            points_in_frame, expected[f"{side}_keypoints"], rtol=0, atol=1e-3, err_msg=f"{label} {side}"
        )
        if side == "target":
            length = threshold_length(threshold, target, frame)
            np.testing.assert_allclose(
                length, expected["pck_threshold"], rtol=0, atol=1e-3, err_msg=f"{label} threshold"
            )
        pixels = stretched_batch([ImageRequest(image.open(), image.identity(), pair.category)], FED)
        means = (2 * pixels - 1).double().mean(dim=(0, 2, 3)).numpy()
        np.testing.assert_allclose(
            means, expected[f"{side}_image_mean"], rtol=0, atol=1e-6, err_msg=f"{label} {side} image"
        )


SD_CASES = {
    "text": (1, 261, 1),
    "token_embeddings": (1, 50, 1),
    "token_embeddings_ensemble4": (1, 50, 4),
    "hidden_states": (1, 261, 1),
    "layer0": (0, 261, 1),
    "layer2": (2, 261, 1),
}
"""Name -> up-block, timestep, ensemble members."""


@cache
def _backbone(folder: Path) -> StableDiffusion:
    return StableDiffusion(folder)


def stable_diffusion(folder: Path) -> None:
    """SD4Match's extractor on a miniature Stable Diffusion 2."""
    vectors = {key: torch.from_numpy(value) for key, value in np.load(folder / "sd_features.npz").items()}
    backbone = _backbone((folder / "sd_pipeline").resolve())
    posterior = backbone.posterior(vectors["image"])
    torch.testing.assert_close(posterior.mean, vectors["out/latent_mean"], rtol=0, atol=5e-4)
    torch.testing.assert_close(posterior.std, vectors["out/latent_std"], rtol=0, atol=5e-4)
    latents = posterior.mean + posterior.std * vectors["posterior_eps"]
    for name, (block, timestep, members) in SD_CASES.items():
        if name == "text":
            prompts = [backbone.condition(text) for text in ("a photo of a cat", "a photo of a dog")]
        elif name == "hidden_states":
            prompts = [Conditioning(states) for states in vectors["prompt"]]
        else:
            prompts = [backbone.condition(TokenEmbeddings(rows)) for rows in vectors["prompt"]]
        noisy = backbone.noisy(
            latents.repeat_interleave(members, 0), vectors["noise"][: 2 * members], timestep
        )
        submodule = backbone.card.levels[f"up-block {block}"]
        repeated = [prompt for prompt in prompts for _ in range(members)]
        activations = backbone.activations(noisy, timestep, repeated, [submodule])[submodule]
        features = activations.unflatten(0, (2, members)).mean(dim=1)
        torch.testing.assert_close(
            features, vectors[f"out/{name}"], rtol=0, atol=5e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def _waves(shape: tuple[int, ...], number: int, scale: float) -> torch.Tensor:
    """The made-up weights with a number; the folder's README has the formula."""
    index = np.arange(np.prod(shape), dtype=np.float64)
    values = np.sin(index * 0.7311 * (1 + number * 0.013) + number) * scale
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def cpm(folder: Path) -> None:
    """The conditional prompting module's variants, and the whole prompts made of their outputs."""
    vectors = np.load(folder / "cpm.npz")
    seed, cases = int(vectors["seed"]), [key for key in vectors.files if key.startswith("out/")]
    assert len(cases) == 5
    start, end, positions = (
        _waves((1024,), 901, 0.05),
        _waves((1024,), 902, 0.05),
        _waves((77, 1024), 903, 0.05),
    )
    boundaries = Boundaries(start, end, torch.zeros(1024), positions)
    for key in cases:
        config = CpmConfig.from_release_name(key.removeprefix("out/"))
        module = ConditionalPrompting(config)
        names = sorted(module.state_dict())
        scales = {name: 0.05 if "linear" in name else 0.5 for name in names}
        weights = {}
        for k, name in enumerate(names):
            weights[name] = _waves(config.shapes[name], seed + k, scales[name])
        module.load_state_dict(weights)
        descriptors = []
        for image in ("a", "b"):
            array = vectors[f"{image}_pool"] if config.descriptor == "head" else vectors[f"{image}_seq"][1:]
            descriptors.append(torch.from_numpy(array.copy())[None])
        if config.inputs == "image":
            descriptors = descriptors[:1]
        with torch.no_grad():
            prompt = assemble(module(*descriptors), boundaries)[0].numpy()
        expected = vectors[key]
        columns = prompt[:, :: 1024 // expected.shape[1]]
        np.testing.assert_allclose(columns, expected, rtol=0, atol=1e-5, err_msg=key)


CHECKS: dict[str, Callable[[Path], None]] = {
    check.__name__: check
    for check in (
        matching_localizers,
        matching_pck,
        matching_loss,
        original_argmax,
        window_softmax,
        datasets,
        stable_diffusion,
        cpm,
    )
}
