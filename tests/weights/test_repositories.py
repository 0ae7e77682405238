"""Repositories of the hub that no plugin names: fetched, found by a run, listed, verified, refused."""

from __future__ import annotations

import json

import pytest
from support.any_vision_transformers import save_any
from support.hub_server import Hub, commit_of

from baselines import published

REPOSITORY = "somebody/small-net"


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> dict[str, bytes]:
    """Files of a repository, with those that nobody reads."""
    folder = tmp_path_factory.mktemp("network")
    save_any(folder, "clip")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    files["preprocessor_config.json"] = json.dumps({"image_mean": 0.5, "image_std": 0.5}).encode()
    return {**files, "pytorch_model.bin": b"pickle", "tf_model.h5": b"other", "README.md": b"# A net"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name in ("BENCH_WEIGHTS", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "correspondence-bench" / "weights"


@pytest.fixture
def hub(monkeypatch, root, network):
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.repositories[REPOSITORY] = network
        yield hub


def run(bench, photos, out, model, *more):
    few = ("--datasets", f"folder={photos}", "--limit", "2", "--out", out)
    return bench("run", "--methods", "vit", "--set", f"model={model}", *few, *more)


def test_a_repository_is_fetched_by_its_name_and_run(bench, hub, root, photos, tmp_path):
    done = bench("weights", "fetch", REPOSITORY)
    folder = root / "somebody" / "small-net"
    origin = f"{REPOSITORY}@{commit_of(REPOSITORY)}"
    assert done.out == f"{REPOSITORY}: fetched to {folder}, from {origin}\n"
    assert hub.downloads == ["config.json", "preprocessor_config.json", "model.safetensors"]
    again = bench("weights", "fetch", REPOSITORY)
    assert (again.status, len(hub.downloads)) == (0, 3)
    assert "is already at" in again.out

    out = tmp_path / "r"
    # At its commit, too: the same cell.
    for model in (origin, REPOSITORY):
        assert run(bench, photos, out, model).status == 0
    (path,) = out.glob("*/record.json")
    record = json.loads(path.read_text())
    assert record["cell"]["label"] == "vit[model=small-net]"
    assert set(record["provenance"]["weight_origins"].values()) == {origin}

    assert bench("weights", "path", REPOSITORY).out == f"{folder}\n"
    rows = {row["name"]: row for row in json.loads(bench("weights", "list", "--json").out)}
    assert (rows[REPOSITORY]["state"], rows[REPOSITORY]["origin"]) == ("fetched", origin)
    assert bench("weights", "verify", REPOSITORY).out.startswith(f"{REPOSITORY}: ok (3 as fetched)")
    # A file that has changed since is not taken for the hub's.
    (folder / "model.safetensors").write_bytes(b"changed")
    assert bench("weights", "verify").status == 1
    refused = run(bench, photos, tmp_path / "other", REPOSITORY)
    assert refused.status == 2
    assert f"'bench weights fetch {REPOSITORY}' gets it again, the path of the folder" in refused.complaint
    assert bench("weights", "fetch", REPOSITORY).status == 0
    assert bench("weights", "verify", REPOSITORY).status == 0


def test_pickles_and_shards_where_there_is_nothing_else(bench, hub, root, network):
    parts = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    hub.repositories["a/pickle"] = {name: network[name] for name in ("config.json", "pytorch_model.bin")}
    index = json.dumps({"weight_map": {"x": parts[0], "y": parts[1]}}).encode()
    sharded = {**dict.fromkeys(parts, b"tensors"), "model.safetensors.index.json": index}
    hub.repositories["a/shards"] = {"config.json": network["config.json"], **sharded}
    assert bench("weights", "fetch", "a/pickle", "a/shards").status == 0
    assert (root / "a/pickle/pytorch_model.bin").read_bytes() == b"pickle"
    assert {path.name for path in (root / "a/shards").iterdir()} >= {*parts, "model.safetensors.index.json"}


def test_a_mirror_of_a_known_source_is_that_source(bench, hub, root, network):
    config = json.dumps(published.VISION_TRANSFORMERS["dinov2-base"]).encode()
    processor = json.dumps(published.PREPROCESSING["dinov2-base"]).encode()
    network = {**network, "config.json": config, "preprocessor_config.json": processor}
    hub.repositories["facebook/dinov2-base"] = network
    done = bench("weights", "fetch", "facebook/dinov2-base")
    assert done.out.startswith(f"dinov2-base: fetched to {root / 'dinov2-base'}")
    count = len(hub.log)
    assert "is already at" in bench("weights", "fetch", "facebook/dinov2-base").out
    assert len(hub.log) == count
    # Another repository's files stand under that name.
    hub.repositories["a/copy"] = network
    bench("weights", "fetch", "dinov2-base", "--from", "a/copy")
    assert "from facebook/dinov2-base@" in bench("weights", "fetch", "facebook/dinov2-base").out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody/net", "weights nobody/net: nobody/net is not on http"),
        (f"{REPOSITORY}@v9", f"{REPOSITORY} has no revision 'v9'"),
        ("a/text", "a/text lacks config.json, model.safetensors"),
        ("a/..", "unknown weight source 'a/..'"),
        ("../net", "unknown weight source '../net'"),
        ("a/../../net", "unknown weight source"),
        (f"a/{'x' * 300}", "unknown weight source"),
    ],
)
def test_what_cannot_be_fetched_is_one_line_and_leaves_nothing(bench, hub, root, name, words):
    hub.repositories["a/text"] = {"README.md": b"nothing"}
    done = bench("weights", "fetch", name)
    assert done.status == 2
    assert words in done.complaint
    assert not root.exists()


def test_names_of_files_that_leave_the_folder_are_refused(bench, hub, root, network, monkeypatch):
    hub.repositories["a/evil"] = network
    monkeypatch.setattr("harness.weights.fetch.select_files", lambda *_: _Escaping())
    done = bench("weights", "fetch", "a/evil")
    assert "which leads out of the folder; refused" in done.complaint
    assert not root.exists()


class _Escaping:
    files, missing = ("../config.json",), ()


def test_no_network_is_one_line(bench, root, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = bench("weights", "fetch", REPOSITORY)
    assert done.status == 2
    assert "cannot be reached (" in done.complaint
    assert done.complaint.endswith(f"at {root / REPOSITORY}, or name a folder of your own instead")
    assert bench("weights", "fetch", "a/b", "--from", "c/d").complaint.endswith("give one of the two")


def test_a_plan_names_each_missing_network_and_how_to_get_it(bench, photos, root, tmp_path):
    models = "a/one,b/two,facebook/dinov2-base,dinov2-base,./no/where"
    done = run(bench, photos, tmp_path / "r", models, "--dry-run")
    assert done.status == 2
    lines = [line.strip() for line in done.out.partition("missing:\n")[2].splitlines() if line.strip()]
    assert lines[:2] == [
        "weights a/one: bench weights fetch a/one",
        "weights b/two: bench weights fetch b/two",
    ]
    assert lines[2].endswith("MB): bench weights fetch facebook/dinov2-base")
    assert lines[3].endswith("MB): bench weights fetch dinov2-base")
    assert lines[4].startswith("weights ./no/where: no such folder; give a folder")
    assert "lacks weights a/one" in done.out
    missing = run(bench, photos, tmp_path / "r", "a/one")
    assert "'bench weights fetch a/one' gets it" in missing.complaint


def test_a_fetch_that_broke_off_is_told(bench, photos, root, tmp_path):
    folder = root / "a" / "one"
    folder.mkdir(parents=True)
    (folder / ".bench-fetching").touch()
    done = run(bench, photos, tmp_path / "r", "a/one")
    assert done.status == 2
    assert "a fetch into" in done.complaint
