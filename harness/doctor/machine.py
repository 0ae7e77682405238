"""This machine: its system, processor, memory, threads and devices."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from harness.doctor.entries import Entry
from harness.environment import device_name, processor
from harness.errors import BenchError
from harness.imports import uncollected
from harness.messages import bytes_text, counted, one_line

_CGROUP = Path("/sys/fs/cgroup")

_NVIDIA = Path("/proc/driver/nvidia/version")


def machine(device: str) -> Iterator[Entry]:
    """Lines about this machine.

    Args:
        device: as the user named it, such as `auto`.
    """
    yield Entry("system", _system())
    yield Entry("processor", f"{processor()}, {_cores()}")
    yield Entry("memory", _memory())
    try:
        with uncollected():
            import torch
    except (ImportError, OSError, RuntimeError) as error:
        # OSError: a library of CUDA that is not there.
        yield Entry("torch", one_line(error), "failed", "install torch anew; see https://pytorch.org")
        return
    yield Entry("threads", f"{torch.get_num_threads()} of torch")
    yield _chosen_device(device)
    yield from _gpus(torch)


def _system() -> str:
    parts = [f"{platform.system()} {platform.release()}", platform.machine()]
    with suppress(OSError, KeyError):  # not Linux, or one that does not say
        parts.insert(0, platform.freedesktop_os_release()["PRETTY_NAME"])
    return ", ".join(part for part in parts if part)


def _cores() -> str:
    number = os.cpu_count() or 0
    text = counted(number, "core")
    # A job of a cluster, or a container, is often given some of them.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else number
    return text if usable == number else f"{text}, {usable:,} of them for this process"


def _memory() -> str:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return "not known"
    text = bytes_text(total)
    if (free := _available()) is not None:
        text += f", {bytes_text(free)} free"
    if (limit := _limit()) is not None and limit < total:
        text += f", limited to {bytes_text(limit)} for this container or job"
    return text


def _available() -> int | None:
    """Bytes that Linux could still give to programs."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", _read(Path("/proc/meminfo")), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _limit() -> int | None:
    """Bytes that the control group of this process may use, by version 2 or 1 of Linux's."""
    for file in (_CGROUP / "memory.max", _CGROUP / "memory" / "memory.limit_in_bytes"):
        if (text := _read(file).strip()).isdigit():
            return int(text)
    return None


def _read(file: Path) -> str:
    """The text of a file of the system; empty where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _chosen_device(name: str) -> Entry:
    try:
        return Entry("device", device_name(name), "ok")
    except BenchError as error:
        return Entry("device", str(error), "failed")


def _gpus(torch: ModuleType) -> Iterator[Entry]:
    """Lines about the GPUs that torch sees, and a warning about one that it cannot use."""
    driver = _driver()
    if torch.cuda.is_available():
        platform_version = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            detail = f"{facts.name}, {bytes_text(facts.total_memory)}, compute {facts.major}.{facts.minor}"
            yield Entry(f"cuda:{number}", ", ".join(filter(None, (detail, driver, platform_version))))
    elif driver and torch.version.cuda is None:
        yield Entry(
            "GPU",
            f"{driver} is there, and torch {torch.__version__} is built without CUDA",
            "warned",
            "install a torch with CUDA (https://pytorch.org) to use it",
        )
    elif driver:
        yield Entry("GPU", f"{driver} is there, and torch {torch.__version__} sees no GPU", "warned")
    if torch.backends.mps.is_available():
        yield Entry("mps", "Apple's GPU, which --device mps takes")


def _driver() -> str:
    """`driver 580.82`, of NVIDIA's on Linux; empty where there is none."""
    match = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", _read(_NVIDIA))
    return f"NVIDIA driver {match[1]}" if match else ""
