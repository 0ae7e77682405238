"""Agreement with the authors' own code, and tests that a disagreement would be noticed."""

import json
import os
import runpy
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from checks import CHECKS, SD_CASES, compare_dataset

HERE = Path(__file__).parent
BUNDLED_VECTORS = HERE / "vectors"
VECTORS = Path(os.environ.get("BENCH_CONFORMANCE") or BUNDLED_VECTORS)


@pytest.mark.parametrize("name", CHECKS)
def test_agrees_with_the_authors_code(name):
    CHECKS[name](VECTORS)


def copy_vectors(tmp_path: Path, *names: str) -> Path:
    """Makes a folder of vectors in which files called `names` are copies, and the others links."""
    for entry in BUNDLED_VECTORS.iterdir():
        if entry.name in names:
            shutil.copy(entry, tmp_path / entry.name)
        else:
            (tmp_path / entry.name).symlink_to(entry)
    return tmp_path


def rewrite(path: Path, key: str, by: float) -> None:
    """Changes the first number of one array, which belongs to a point that counts."""
    arrays = dict(np.load(path))
    value = arrays[key].copy()
    value[(0,) * value.ndim] += by
    arrays[key] = value
    np.savez(path, **arrays)


LOCALIZERS = ("nn", "bilinear", "softargmax", "kernel_softargmax")
PCK = product(
    ("image", "point"),
    ("nn", "bilinear", "softmax", "kernelsoftmax"),
    ("0.05", "0.1", "0.15"),
    ("all", "cat", "car"),
)
CPM = (
    *(f"{images}-DINO-{part}-G25-C50" for images, part in product(("Pair", "Img"), ("Feat", "Head"))),
    "Pair-DINO-Feat-G0-C50",
)
NUMBERS = [
    *(
        ("matching_localizers", "matching.npz", f"out/{name}{suffix}", 0.01)
        for name, suffix in product(LOCALIZERS, ("", "_nol2"))
    ),
    *(
        ("matching_pck", "matching.npz", f"out/pck/{averaging}/{name}_pck{alpha}/{kind}", 0.01)
        for averaging, name, alpha, kind in PCK
    ),
    ("matching_loss", "matching.npz", "out/loss", 2e-5),
    *(("matching_loss", "matching.npz", f"out/loss_grad_{side}", 1e-5) for side in ("src", "trg")),
    *(
        ("original_argmax", "original_resolution_argmax.npz", f"{case}/out/prediction_xy", 5)
        for case in range(4)
    ),
    *(("original_argmax", "original_resolution_argmax.npz", f"{case}/out/score", 1e-4) for case in range(4)),
    *(
        ("window_softmax", "window_softmax.npz", f"out/{name}", 0.01)
        for name in ("argmax", "window5", "window7")
    ),
    *(
        ("stable_diffusion", "sd_features.npz", f"out/{name}", 0.01)
        for name in (*SD_CASES, "latent_mean", "latent_std")
    ),
    *(("cpm", "cpm.npz", f"out/{name}", 1e-4) for name in CPM),
]


@pytest.mark.parametrize(("check", "file", "key", "by"), NUMBERS)
def test_a_changed_number_is_noticed(check, file, key, by, tmp_path):
    folder = copy_vectors(tmp_path, file)
    rewrite(folder / file, key, by)
    with pytest.raises(AssertionError):
        CHECKS[check](folder)


@pytest.mark.parametrize(
    "dataset",
    [
        "spair/test",
        "spair/trn",
        "spair/val",
        "pfpascal/trn",
        "pfpascal/val",
        "pfpascal/test",
        "pfwillow/test",
    ],
)
@pytest.mark.parametrize(
    "key",
    ["source_keypoints", "target_keypoints", "pck_threshold", "source_image_mean", "category", "n_points"],
)
def test_a_changed_number_of_a_dataset_is_noticed(dataset, key, tmp_path):
    folder = copy_vectors(tmp_path, "datasets.json")
    content = json.loads((folder / "datasets.json").read_text())
    pair = content[dataset][-1]
    if key.endswith("keypoints"):
        pair[key][-1][1] += 0.1
    elif key == "source_image_mean":
        pair[key][2] += 0.001
    else:
        pair[key] += "?" if key == "category" else 1
    (folder / "datasets.json").write_text(json.dumps(content))
    with pytest.raises(AssertionError):
        compare_dataset(folder, dataset, content[dataset])


def test_another_folder_is_read_where_the_environment_names_one(tmp_path, monkeypatch):
    """This file, run anew, fails on a copy with a changed number; before, its check passes on it."""
    folder = copy_vectors(tmp_path, "window_softmax.npz")
    CHECKS["window_softmax"](folder)
    rewrite(folder / "window_softmax.npz", "out/window5", 0.01)
    monkeypatch.setenv("BENCH_CONFORMANCE", str(folder))
    again = runpy.run_path(__file__)
    with pytest.raises(AssertionError):
        again[test_agrees_with_the_authors_code.__name__]("window_softmax")
