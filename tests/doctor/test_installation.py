"""`bench doctor` without a method: a text that a stranger may see, whatever is broken."""

from __future__ import annotations

import importlib
import json
import sys
import types

import pytest
import torch
from support.paths import ROOT

import harness.cli
from harness.doctor import machine, privacy, software, storage
from harness.environment import source_state
from harness.plugins.loading import load_plugins
from harness.version import __version__

TITLES = (
    "versions",
    "machine",
    "environment variables",
    "folders",
    "plugins",
    "weights",
    "datasets",
    "methods",
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home folder of a user called ada, without caches or tokens."""
    folder = tmp_path / "homes" / "ada"
    folder.mkdir(parents=True)
    for name in ("HF_TOKEN", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("BENCH_WEIGHTS", "BENCH_DATA_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    privacy._homes.cache_clear()
    privacy._user_names.cache_clear()
    yield folder
    privacy._homes.cache_clear()
    privacy._user_names.cache_clear()


@pytest.fixture
def look_over(bench, tmp_path, monkeypatch):
    """`bench doctor --json` in an empty folder -> title -> name -> entry, and the exit status."""
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)

    def run(*arguments):
        done = bench("doctor", "--device", "cpu", "--json", *arguments)
        assert not done.err
        sections = json.loads(done.out)
        named = {title: {entry["name"]: entry for entry in rows} for title, rows in sections.items()}
        return named, done.status

    return run


def test_a_whole_installation(look_over):
    found, status = look_over()
    assert status == 0
    assert tuple(found) == TITLES
    assert found["versions"]["bench"]["detail"].startswith(__version__)
    assert (source_state()[0] or "installed") in found["versions"]["bench"]["detail"]
    assert found["versions"]["torch"]["detail"] == torch.__version__
    assert found["machine"]["device"]["result"] == "ok"
    assert found["plugins"]["sd4match"]["result"] == "ok"
    assert found["weights"]["tiny-dino"]["detail"].startswith("bundled, 2.48 MB, ")
    assert found["datasets"]["shapes"]["detail"] == "runs: bundled"
    assert found["methods"]["position"]["detail"] == "runs"


def test_what_is_missing_comes_with_the_command_that_mends_it(look_over):
    found, _ = look_over("--weights-root", "my weights", "--data-root", "elsewhere")
    assert found["methods"]["sd4match-cpm"] == {
        "name": "sd4match-cpm",
        "detail": "--weights tiny runs; "
        "--weights paper needs stable-diffusion-2-1, dinov2-base and sd4match-prompts",
        "result": "ok",
        "remedy": "",
    }
    source = found["weights"]["dinov2-base"]
    assert source["detail"].startswith("absent, about 346 MB to fetch, needed by dinov2, ")
    assert source["detail"].endswith(", sd-dino, sd4match-cpm and vit")
    assert source["remedy"] == "'bench weights fetch dinov2-base --weights-root \"my weights\"'"
    assert "accept its licence" in found["weights"]["dinov3-vitb16"]["remedy"]
    assert found["datasets"]["spair-71k"]["remedy"] == "'bench data fetch spair-71k --data-root elsewhere'"


def test_a_source_of_the_users_own_counts(look_over):
    own = ROOT / "baselines" / "tiny" / "weights" / "dino"
    found, _ = look_over("--weights", f"dinov2-base={own}")
    assert found["methods"]["dinov2"]["detail"] == "runs"
    assert "needed" not in found["weights"]["dinov2-base"]["detail"]


def test_begun_weights_and_datasets_are_told(look_over, tmp_path):
    folder = tmp_path / "weights" / "dinov2-base"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    found, status = look_over("--weights-root", tmp_path / "weights")
    entry = found["weights"]["dinov2-base"]
    assert entry["result"] == "warned"
    assert "lacks model.safetensors" in entry["detail"]
    assert entry["remedy"] == f"'bench weights fetch dinov2-base --weights-root {folder.parent}'"
    assert status == 0


def test_the_text_is_aligned_and_marked(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = bench("doctor", "--device", "cpu")
    lines = done.out.splitlines()
    assert [line for line in lines if line in TITLES] == list(TITLES)
    assert "  ✓ shapes     runs: bundled" in lines
    assert "  – pf-willow  absent; 'bench data fetch pf-willow'" in lines
    assert f"    numpy            {importlib.import_module('numpy').__version__}" in lines


def test_neither_the_users_name_nor_a_secret_is_told(bench, home, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_aBcDeFgHiJkLmNoP")
    monkeypatch.setenv("BENCH_MINE", "4f3c2b1a4f3c2b1a4f3c2b1a4f3c2b1a")
    monkeypatch.setenv("HTTPS_PROXY", "http://ada:pass-of-ada@proxy.example:8080")
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example/a?sig=pass-of-ada")
    monkeypatch.setenv("PYTHONPATH", f"{home}/src:/scratch/ada/lib:/scratch/adaptive")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "4 threads")
    monkeypatch.setenv("HF_MY_PASSPHRASE", "swordfish")
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    monkeypatch.setenv("PASSWORD", "never-looked-at")
    out = bench("doctor", "--device", "cpu", "--data-root", home / "data", "--out", "/scratch/ada").out
    assert "ada/" not in out
    assert "ada@" not in out
    for secret in ("hf_aBcD", "4f3c", "pass-of-ada", "never-looked-at", "swordfish"):
        assert secret not in out
    rows = [line.split(maxsplit=1) for line in out.splitlines() if line.startswith("    ")]
    shown = dict(row for row in rows if len(row) == 2)
    assert shown["HF_TOKEN"] == shown["BENCH_MINE"] == "set, not shown"
    assert shown["HTTPS_PROXY"] == "http://proxy.example:8080"
    assert shown["HF_ENDPOINT"] == "https://hub.example/a"
    assert shown["PYTHONPATH"] == "~/src:/scratch/<user>/lib:/scratch/adaptive"
    assert shown["TOKENIZERS_PARALLELISM"] == "4 threads"
    assert shown["HF_HUB_DISABLE_IMPLICIT_TOKEN"] == "1"
    assert shown["hub"] == "token             present"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ada", "/home/<user>"),
        ("/data/ada/x: gone", "/data/<user>/x: gone"),
        ("/data/adam/x", "/data/adam/x"),
        ("https://me:word@host/x?token=1", "https://host/x"),
    ],
)
def test_names_in_texts(text, shown):
    assert privacy.without_names(text) == shown


def test_the_home_folder_is_a_tilde(home):
    assert privacy.without_names(f"{home}/a {home}.old {home}") == f"~/a {home.parent}/ada.old ~"


def test_a_broken_plugin_stops_nothing(look_over, monkeypatch):
    def load(blocked=()):
        host = load_plugins(blocked, points=[])
        host.load("mine", "mine", "1", lambda: importlib.import_module("no_such_module_anywhere"))
        return host

    monkeypatch.setattr(harness.cli, "load_plugins", load)
    found, status = look_over()
    assert status == 1
    entry = found["plugins"]["mine"]
    assert entry["result"] == "failed"
    assert "mine 1, failed: " in entry["detail"]
    assert "No module named 'no_such_module_anywhere'" in entry["detail"]
    assert found["methods"]["dift"]["result"] == "ok"


def test_a_method_whose_parts_are_missing_is_a_fault_of_its_own(look_over):
    found, status = look_over("--no-plugin", "baselines")
    assert status == 1
    assert "unknown extractor 'stable-diffusion'" in found["methods"]["sd4match-cpm"]["detail"]
    assert found["plugins"]["baselines"]["result"] == "skipped"


def test_without_torch(look_over, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found, status = look_over()
    assert status == 1
    assert found["machine"]["torch"]["result"] == "failed"
    assert found["methods"]["dift"]["result"] == "ok"


def test_a_device_that_is_not_there(look_over):
    found, status = look_over("--device", "cuda:7")
    assert status == 1
    assert "--device cuda:7: " in found["machine"]["device"]["detail"]


def test_folders_that_cannot_be_written_to(look_over, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    closed = tmp_path / "closed"
    closed.mkdir()
    access = storage.os.access
    # As for a user who is not the superuser.
    monkeypatch.setattr(storage.os, "access", lambda path, mode: path != closed and access(path, mode))
    found, status = look_over("--out", closed / "results", "--cache", file / "cache", "--weights-root", file)
    assert status == 1
    folders = found["folders"]
    assert folders["results"]["detail"] == f"{closed / 'results'}: {closed} must not be written to"
    assert folders["--cache-dir"]["detail"] == f"{file / 'cache'}: {file} is a file"
    assert folders["fetched weights"]["result"] == "failed"


def test_no_folder_for_temporary_files(look_over, monkeypatch):
    def refuse():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(storage.tempfile, "gettempdir", refuse)
    found, status = look_over()
    assert status == 1
    assert found["folders"]["temporary files"]["remedy"].startswith("set TMPDIR")


def test_an_installation_without_its_source_knows_what_it_needs(look_over, tmp_path, monkeypatch):
    monkeypatch.setattr(software, "_folder", lambda: tmp_path)
    monkeypatch.setattr(
        software,
        "requires",
        lambda name: ["click>=8", "no-such-package>=3 ; python_version > '3'", "ruff>=0.9 ; extra == 'dev'"],
    )
    found, status = look_over()
    assert status == 1
    versions = found["versions"]
    assert versions["click"]["result"] == ""
    assert versions["no-such-package"]["result"] == "failed"
    assert versions["no-such-package"]["remedy"] == "pip install 'no-such-package>=3'"
    assert "ruff" not in versions


def test_sizes_of_caches_are_of_the_files_and_not_of_links(look_over, home, monkeypatch):
    blobs = home / ".cache" / "huggingface" / "hub" / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "1").write_bytes(bytes(1500))
    snapshot = blobs.parent / "snapshots" / "c"
    snapshot.mkdir(parents=True)
    (snapshot / "x").symlink_to(blobs / "1")
    (snapshot / "all").symlink_to(home)
    detail = look_over()[0]["folders"]["Hugging Face's cache"]["detail"]
    assert detail.startswith("~/.cache/huggingface/hub, 1.")
    assert detail.endswith(" kB")
    monkeypatch.setattr(storage, "SECONDS", -1)
    assert "more than" in look_over()[0]["folders"]["Hugging Face's cache"]["detail"]


@pytest.fixture(
    params=[
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.82.07  Release Build",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  Thu Sep 19 01:00:00 UTC 2024",
    ]
)
def driver(request, tmp_path, monkeypatch):
    """NVIDIA's driver of version 580.82.07, as its two kinds of module name themselves."""
    file = tmp_path / "version"
    file.write_text(request.param + "\nGCC version: gcc version 12.2.0\n", encoding="utf-8")
    monkeypatch.setattr(machine, "_NVIDIA", file)


@pytest.mark.usefixtures("driver")
def test_a_gpu_that_torch_cannot_use_is_told(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (entry,) = [entry for entry in machine.machine("cpu") if entry.name == "GPU"]
    assert entry.result == "warned"
    assert entry.detail.startswith("NVIDIA driver 580.82.07 is there, and torch ")
    assert entry.detail.endswith(" is built without CUDA")


@pytest.mark.usefixtures("driver")
def test_each_gpu_has_a_line(monkeypatch):
    facts = types.SimpleNamespace(name="Some GPU", total_memory=80_000_000_000, major=9, minor=0)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: facts)
    entries = {entry.name: entry.detail for entry in machine.machine("cpu")}
    assert entries["cuda:0"] == entries["cuda:1"]
    assert entries["cuda:0"] == "Some GPU, 80 GB, compute 9.0, NVIDIA driver 580.82.07, CUDA 13.0"


def test_a_limit_of_memory_is_told(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("2000000000\n", encoding="utf-8")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    assert "limited to 2 GB" in machine._memory()
    (tmp_path / "memory.max").write_text("max\n", encoding="utf-8")
    assert "limited" not in machine._memory()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--localizer", "argmax"), "--localizer: is checked with a method"),
        (("position", "--out", "results"), "--results: is looked at without NAME"),
        (("position", "--cache", "results"), "--cache-dir: is looked at without NAME"),
        (("--weights", "papr"), "--weights papr: expected tiny, paper or NAME=PATH"),
    ],
)
def test_options_that_say_nothing_are_refused(bench, arguments, problem):
    done = bench("doctor", *arguments)
    assert done.status == 2
    assert problem in done.err
    assert not done.out


def test_a_methods_checks_as_json(bench):
    done = bench("doctor", "position", "--device", "cpu", "--json")
    findings = json.loads(done.out)
    assert done.status == 0
    assert findings[0] == {
        "check": "the plugin's import is cheap",
        "result": "ok",
        "detail": "baselines.plugin",
        "traceback": "",
    }
