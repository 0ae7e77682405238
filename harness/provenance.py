"""What made the numbers: versions, source, files, hardware, time and memory."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.records import Stage

PACKAGES = ("correspondence-bench", "torch", "diffusers", "transformers", "numpy", "scipy", "scikit-image", "pillow", "pluggy")
SOURCES = ("harness", "baselines", "sd4match_plugin")


class StageClock:
    """Seconds spent in each stage, and the process's peak memory when it last ended."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._peaks: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts what runs inside as `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start
            self._peaks[name] = peak_memory()

    def stages(self) -> dict[str, Stage]:
        """What has been counted so far."""
        return {name: Stage(seconds=round(self._seconds[name], 4), peak_memory_bytes=self._peaks[name]) for name in self._seconds}


def peak_memory() -> int:
    """The process's high-water mark of resident memory, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers may depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def source_state() -> tuple[str | None, bool | None]:
    """(commit, whether the package's source differs from it), or (None, None) where the source is not in a git checkout of its own."""
    root = Path(__file__).resolve().parent.parent
    if _git(root, "ls-files", "--error-unmatch", "harness/provenance.py") is None:
        return None, None
    changes = _git(root, "status", "--porcelain", "--", *SOURCES)
    return _git(root, "rev-parse", "HEAD"), None if changes is None else bool(changes)


def hardware(device: str) -> dict[str, str]:
    """Processor, cores, system and, for a CUDA device, the GPU."""
    import torch

    found = {"machine": platform.machine(), "processor": _processor(), "cores": str(os.cpu_count()), "system": platform.system()}
    found["torch_threads"] = str(torch.get_num_threads())
    if device.startswith("cuda") and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
