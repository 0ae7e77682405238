"""What tests share: the command line in this process and in others, real plugins, small photo collections."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, settings
from support.commands import Outcome, command, plugin_environment
from support.extractors import small_map
from support.paths import ROOT
from support.photos import make_photos

import harness.cli
import harness.cli.progress
import harness.files
from harness.cli import status
from harness.hookspecs import hookimpl
from harness.plugins.loading import load_plugins
from harness.specs import ExtractorSpec, Scope

# A busy machine is no failure.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.load_profile("untimed")

# Files that are flushed to the disk survive a power cut, which no test makes; every run would wait for it.
os.fsync = lambda handle: os.fstat(handle) and None

# Commands leave a signal alone that is ignored, as Ctrl-C is in what a shell runs in the background: these
# tests, perhaps.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Lines about the progress depend on how busy the machine is; their own tests set the clock.
harness.cli.progress.FIRST_LINE = float("inf")


@pytest.fixture
def bench(capsys):
    """`bench ...` in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = status([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def plugin_site(tmp_path_factory) -> Path:
    """A folder into which pip has installed the test plugins, the broken one too."""
    return install_packages(tmp_path_factory, "bench-toy", "bench-broken")


@pytest.fixture(scope="session")
def pairs_site(tmp_path_factory) -> Path:
    """A folder into which pip has installed the plugin with matchers."""
    return install_packages(tmp_path_factory, "bench-pairs")


def install_packages(tmp_path_factory, *names: str) -> Path:
    """Installs packages of `tests/packages` with pip, into a folder of their own."""
    site = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    packages = []
    for name in names:
        # From a copy: building writes beside the source.
        packages.append(str(source / name))
        subprocess.run(["cp", "-r", str(ROOT / "tests" / "packages" / name), str(source)], check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
    ]
    subprocess.run(
        [*pip, "--no-index", "--target", str(site), *packages], check=True, stderr=subprocess.DEVNULL
    )
    return site


@pytest.fixture
def shell_bench(plugin_site):
    """`bench ...` in a process of its own, with the test plugins installed."""

    def run(*arguments: object, **environment: str) -> Outcome:
        done = subprocess.run(
            command(*arguments),
            env=plugin_environment(plugin_site, **environment),
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def bench_with(bench, monkeypatch):
    """Site folder -> `bench ...` in this process with its plugins, which each command imports anew."""

    def forget():
        importlib.invalidate_caches()
        for name in ("bench_toy", "bench_broken", "bench_pairs"):
            sys.modules.pop(name, None)

    def install(site: Path):
        monkeypatch.syspath_prepend(site)
        monkeypatch.delenv("BENCH_BLOCK", raising=False)

        def run(*arguments: object) -> Outcome:
            forget()
            return bench(*arguments)

        return run

    yield install
    forget()


@pytest.fixture
def plugin_bench(bench_with, plugin_site):
    """`bench ...` in this process with the test plugins installed."""
    return bench_with(plugin_site)


@pytest.fixture
def photos(tmp_path) -> Path:
    """A `folder` dataset of four pictures and twelve pairs."""
    return make_photos(tmp_path / "photos")


@pytest.fixture
def whole_batches(monkeypatch):
    """Cuts short lists into batches as the rest of a long list is cut: no pair has a batch of its own."""
    monkeypatch.setattr("harness.features.items.TRIAL_PAIRS", dict.fromkeys(get_args(Scope), 0))


@pytest.fixture
def with_extractor(monkeypatch):
    """Adds an extractor `mine` (and localizers) to what `bench` in this process loads."""

    def add(extract=None, scope="image", localizers=(), **spec):
        module = types.ModuleType("mine")
        name = "extract_pairs" if scope == "pair" else "extract"
        made = types.SimpleNamespace(**{name: extract or (lambda requests: [small_map(r) for r in requests])})
        records = [
            ExtractorSpec(name="mine", make=lambda context: made, scope=scope, image_size=(48, 48), **spec)
        ]
        module.bench_extractors = hookimpl(lambda: records)
        module.bench_localizers = hookimpl(lambda: list(localizers))

        def load(blocked=()):
            host = load_plugins(blocked, points=[])
            host.load("mine", "mine", "1", lambda: module)
            return host

        monkeypatch.setattr(harness.cli, "load_plugins", load)

    return add
