"""`--cache`: what is read from disk is what would be computed, to the byte, or it is not read."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.paths import ROOT
from support.results import predictions, the_record

from baselines.stable_diffusion.backbone import StableDiffusion
from baselines.vit.backbone import VisionTransformer
from harness.caching import array_store as store_module
from harness.caching import disk_cache as cache_module
from harness.caching.array_store import Store
from harness.caching.disk_cache import Cache
from sd4match_plugin.prompts.image_patches import ImagePatches

FEW = ("--split", "test", "--limit", 1, "--ensemble", 1, "--device", "cpu")


def arrays(cache: Path) -> dict[str, bytes]:
    """Name below the folder -> content."""
    return {str(path.relative_to(cache)): path.read_bytes() for path in sorted(cache.rglob("*.npy"))}


def of_kind(cache: Path, kind: str) -> list[Path]:
    return sorted(cache.glob(f"{kind}-*/*/*.npy"))


@pytest.fixture
def nothing_encodes(monkeypatch):
    """A function after whose call no picture is encoded, and no DINO loaded."""

    def begin():
        for owner, name in (
            (StableDiffusion, "posterior"),
            (VisionTransformer, "__init__"),
            (ImagePatches, "__init__"),
        ):
            monkeypatch.setattr(owner, name, lambda *_, name=name: pytest.fail(f"{name} was called"))

    return begin


def test_no_cache_a_cold_one_and_a_warm_one_give_the_same_bytes_and_a_warm_one_loads_no_dino(
    bench, nothing_encodes, photos, tmp_path
):
    run = ("run", "--methods", "sd4match-cpm,sd-dino", "--datasets", f"folder={photos}", *FEW)
    places = {name: tmp_path / name for name in ("none", "cold", "warm")}
    assert bench(*run, "--out", places["none"]).status == 0
    assert bench(*run, "--out", places["cold"], "--cache", tmp_path / "cache").status == 0
    nothing_encodes()
    told = bench(*run, "--out", places["warm"], "--cache", tmp_path / "cache")
    assert (told.status, told.warnings) == (0, [])
    expected = predictions(places["none"])
    assert len(expected) == 2
    for name in ("cold", "warm"):
        assert predictions(places[name]) == expected
    for cell in expected:
        one, *others = (json.loads((place / cell / "record.json").read_text()) for place in places.values())
        assert one["provenance"]["cache"] == {}
        for other, use in zip(others, ("computed", "found"), strict=True):
            counts = other["provenance"]["cache"].values()
            assert len(counts) == 2
            assert all(count[use] == sum(count.values()) > 0 for count in counts)
            varying = {"provenance": None, "sealed": ""}
            assert {**other, **varying} == {**one, **varying}


def test_training_and_evaluation_share_what_they_keep(bench, nothing_encodes, photos, tmp_path):
    data, split = f"folder={photos}", ("--split", "test", "--device", "cpu")
    train = (
        "train",
        "sd4match-cpm",
        "--dataset",
        data,
        *split,
        "--validation-split",
        "none",
        "--steps",
        1,
        "--batch",
        1,
    )
    run = ("run", "--methods", "sd4match-cpm", "--datasets", data, *split, "--ensemble", 1)
    trained, evaluated = tmp_path / "trained", tmp_path / "evaluated"
    assert bench(*train, "--out", tmp_path / "prompt", "--cache", trained).status == 0
    assert bench(*run, "--out", tmp_path / "one", "--cache", evaluated).status == 0
    assert len(arrays(trained)) == 8
    assert arrays(trained) == arrays(evaluated)
    nothing_encodes()
    assert bench(*run, "--out", tmp_path / "other", "--cache", trained).status == 0
    assert predictions(tmp_path / "other") == predictions(tmp_path / "one")


def test_a_file_of_options_names_the_folder(bench, photos, tmp_path):
    (tmp_path / "sweep.toml").write_text(
        f'methods = "dift"\ndatasets = "folder={photos}"\ncache = "{tmp_path / "cache"}"\n'
    )
    assert bench("run", "--config", tmp_path / "sweep.toml", *FEW, "--out", tmp_path / "out").status == 0
    assert of_kind(tmp_path / "cache", "posterior")


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--methods", "dift", "--datasets"),
        ("train", "sd4match-single", "--validation-split", "none", "--steps", 1, "--dataset"),
    ],
)
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_loaded(
    bench, monkeypatch, photos, tmp_path, command
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(StableDiffusion, "__init__", lambda *_: pytest.fail("loaded"))
    told = bench(
        *command,
        f"folder={photos}",
        "--split",
        "test",
        "--out",
        tmp_path / "out",
        "--cache",
        tmp_path / "file" / "cache",
    )
    assert told.status == 2
    assert told.complaint.endswith(
        f"cache folder {tmp_path / 'file' / 'cache'}: Not a directory; choose another with --cache"
    )


def test_a_full_disk_is_told_once_and_stops_nothing(bench, monkeypatch, photos, tmp_path):
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = ("run", "--methods", "sd4match-cpm,dift", "--datasets", f"folder={photos}", *FEW)
    assert bench(*run, "--out", tmp_path / "none").status == 0
    monkeypatch.setattr(store_module, "replacing", full)
    told = bench(*run, "--out", tmp_path / "full", "--cache", tmp_path / "cache")
    assert told.status == 0
    assert (
        told.complaint == f"bench: cache folder {tmp_path / 'cache'}: No space left on device; "
        "the run goes on without writing all of it"
    )
    assert predictions(tmp_path / "full") == predictions(tmp_path / "none")


def test_damaged_files_and_those_of_other_pictures_are_computed_again(bench, photos, tmp_path):
    few = ("--split", "test", "--ensemble", 1, "--device", "cpu")
    run = ("run", "--methods", "dift", "--datasets", f"folder={photos}", *few, "--cache", tmp_path / "cache")
    assert bench(*run, "--out", tmp_path / "one").status == 0
    before = arrays(tmp_path / "cache")
    first, second, third, _ = of_kind(tmp_path / "cache", "posterior")
    damaged = bytearray(first.read_bytes())
    damaged[200] ^= 1
    first.write_bytes(damaged)
    shutil.copy(third, second)
    third.write_bytes(third.read_bytes()[:-40])
    assert bench(*run, "--out", tmp_path / "other").status == 0
    (counts,) = the_record(tmp_path / "other")["provenance"]["cache"].values()
    assert counts == {"found": 1, "computed": 3}
    assert arrays(tmp_path / "cache") == before
    assert predictions(tmp_path / "other") == predictions(tmp_path / "one")


HASHES = {"sd": {"vae/model": "1", "text_encoder/model": "2"}}


def folder_of(
    device: str = "cpu",
    precision: str = "fp32",
    hashes: dict = HASHES,
    name: str = "posterior",
    **preprocessing: object,
) -> str:
    made = Cache(Path(), hashes, device, precision)
    options = {"frame": [768, 768], "resample": "bicubic", **preprocessing}
    return made.store(
        name, (2, 4, 96, 96), source="sd", part="vae/", package="diffusers", **options
    ).folder.name


@pytest.mark.parametrize(
    "changed",
    [
        {"precision": "bf16"},
        {"device": "meta"},
        {"hashes": {"sd": {"vae/model": "3"}}},
        {"frame": [512, 512]},
        {"resample": "bilinear"},
        {"name": "crops"},
    ],
    ids=str,
)
def test_what_an_array_depends_on_makes_another_store(changed):
    assert folder_of(**changed) != folder_of()


def test_weights_that_do_not_matter_make_no_other_store():
    assert folder_of(hashes={"sd": {"vae/model": "1", "text_encoder/model": "3"}}) == folder_of()


@pytest.mark.parametrize("package", ["correspondence-bench", "torch", "pillow", "diffusers"])
def test_another_version_makes_another_store(monkeypatch, package):
    before, versions = folder_of(), cache_module.package_versions() | {package: "0"}
    monkeypatch.setattr(cache_module, "package_versions", lambda: versions)
    assert folder_of() != before


def test_another_number_of_threads_makes_another_store(monkeypatch):
    before, threads = folder_of(), torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    assert folder_of() != before


def test_another_gpu_makes_another_store_and_another_processor_beside_it_does_not(monkeypatch):
    found = {"processor": "a", "torch_threads": "1", "gpu": "H100"}
    stores = []
    for changed in ({}, {"processor": "b"}, {"gpu": "H200"}):
        monkeypatch.setattr(cache_module, "hardware", lambda device, changed=changed: found | changed)
        stores.append(folder_of(device="cuda"))
    assert stores[0] == stores[1] != stores[2]
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    assert folder_of(device="cuda") != stores[2]


def test_a_file_of_another_store_is_not_read(tmp_path):
    one, other = (Store(tmp_path, "x", {"weights": weights}, (3,)) for weights in "12")
    one.fill(["abc"], lambda identity: np.ones(3, dtype=np.float32))
    shutil.copytree(one.folder, other.folder)
    assert one.get("abc") is not None
    assert other.get("abc") is None


@pytest.mark.parametrize("identity", ["../../outside", "a/b", "x", "image 1", "é" * 300])
def test_whatever_a_picture_is_called_its_file_lies_in_the_store(tmp_path, identity):
    store = Store(tmp_path / "cache", "x", {}, (3,))
    store.once(identity, lambda: np.ones(3, dtype=np.float32))
    assert (store.found, store.computed, store.trouble) == (0, 1, "")
    (file,) = tmp_path.rglob("*.npy")
    assert file.parent.parent == store.folder
    assert store.once(identity, lambda: pytest.fail("computed again")).tolist() == [1, 1, 1]


def test_a_folder_where_a_file_belongs_leaves_out_that_picture_alone(tmp_path):
    store = Store(tmp_path, "arrays", {}, (2,))
    array = np.ones(2, dtype=np.float32)
    store._path("first").mkdir(parents=True)
    for identity in ("first", "second"):
        assert (store.once(identity, lambda: array) == array).all()
    assert store.trouble == ""
    assert store.get("first") is None
    assert (store.get("second") == array).all()


def test_one_store_may_be_filled_by_several_processes_at_once(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from harness.caching.array_store import Store\n"
        "store = Store(Path(sys.argv[1]), 'x', {}, (50_000,))\n"
        "for number in range(40):\n"
        "    found = store.once(f'{number:04}', lambda: np.full(50_000, number, dtype=np.float32))\n"
        "    assert (found == number).all()\n"
        "assert not store.trouble, store.trouble\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    started = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) for _ in range(3)
    ]
    assert [one.wait() for one in started] == [0, 0, 0]
    assert Store(tmp_path, "x", {}, (50_000,)).missing(f"{number:04}" for number in range(40)) == []
    assert not list(tmp_path.rglob("*.tmp"))
