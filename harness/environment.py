"""The environment that numbers are made in: versions, source, hardware and devices."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.errors import UserError
from harness.imports import uncollected

PACKAGES = (
    "correspondence-bench",
    "torch",
    "diffusers",
    "transformers",
    "numpy",
    "scipy",
    "scikit-image",
    "pillow",
    "pluggy",
)

_LOG = logging.getLogger(__name__)

SOURCES = ("harness", "baselines", "matchers", "heads", "sd4match_plugin")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers may depend on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        installed = _package_version(package)
        if installed is not None:
            versions[package] = installed
    return versions


# Of a process's life: what it has imported stays what it was.
@cache
def _package_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


# Asked for by every cell, and three processes of git.
@cache
def source_state() -> tuple[str | None, bool | None]:
    """Commit of this package's source, and whether the source differs from it.

    Both are None where the source is not in a git checkout of its own. The answer of the first call holds for
    the process.
    """
    path = Path(__file__).resolve()
    root = path.parent.parent
    # An installed copy may lie inside a git checkout of the user's own, whose commit would say nothing.
    if _git(root, "ls-files", "--error-unmatch", str(path)) is None:
        return None, None
    # Of the source alone: results and notes beside it do not change numbers.
    changes = _git(root, "status", "--porcelain", "--", *SOURCES)
    is_changed = None if changes is None else bool(changes)
    return _git(root, "rev-parse", "HEAD"), is_changed


def hardware(device: str) -> dict[str, str]:
    """Processor, cores, system and, for a CUDA device, the GPU."""
    import torch

    facts = {
        "machine": platform.machine(),
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "system": platform.system(),
    }
    # Sums in another number of threads differ by rounding.
    facts["torch_threads"] = str(torch.get_num_threads())
    if device.startswith("cuda") and torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    # Some processors, such as ARM's, have no such line.
    return platform.processor()


def _git(root: Path, *words: str) -> str | None:
    command = ["git", "-C", str(root), *words]
    try:
        # With a limit: a slow network drive must not hold up a run.
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    return done.stdout.strip()


def device_name(name: str) -> str:
    """Checks a device's name, and replaces `auto` by a GPU if there is one. Raises `UserError`."""
    with uncollected():
        import torch

    if name == "auto":
        chosen = "cuda" if torch.cuda.is_available() else "cpu"
        _LOG.info("device: %s, chosen by --device auto", chosen)
        return chosen
    try:
        # Only a tensor shows whether the device is there: `torch.device` checks the spelling alone.
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        problem = str(error).splitlines()[0]
        # PyTorch lists two dozen kinds of devices, most of which nobody has.
        if problem.startswith("Expected one of"):
            raise UserError(
                f"--device {name}: no such kind of device; auto, cpu, cuda, cuda:1 or mps"
            ) from error
        raise UserError(f"--device {name}: {problem}; 'cpu' always works") from error
    _LOG.info("device: %s", name)
    return name


def require_compiler(device: str) -> None:
    """Compiles a trifle for a device, which takes some seconds the first time on a machine.

    Raises:
        UserError: there is no compiler.
    """
    import torch

    def trifle(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.sin() + 1

    try:
        torch.compile(trifle, fullgraph=True, dynamic=False)(torch.zeros(64, device=device))
    except Exception as error:
        # Errors of compilers are long, and may begin with empty lines.
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        needed = "a C++ compiler such as g++"
        if device.startswith("cuda"):
            needed = "Triton and a C compiler"
        problem = f"--compile: PyTorch cannot compile for {device} ({lines[0][:200]})"
        raise UserError(f"{problem}; install {needed}, or leave --compile out") from error
