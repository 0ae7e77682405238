"""Times the start of `bench run` and of `bench match`, and what of it other packages' imports are."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from report import plain, seconds

TARGET = 5.0
"""Seconds to the first pair."""

IMPORTS = """
import gc, json, time
gc.disable()
begin = time.process_time()
import torch
after_torch = time.process_time()
from transformers import CLIPTextModel
after_transformers = time.process_time()
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
after_diffusers = time.process_time()
gc.freeze()
print(json.dumps({
    "torch": after_torch - begin,
    "transformers": after_transformers - after_torch,
    "diffusers": after_diffusers - after_transformers,
}))
"""
"""Imports what Stable Diffusion needs, as the commands do, and prints each package's processor seconds."""


@dataclass(frozen=True)
class _Ended:
    """A command that has ended.

    Attributes:
        began: time of the clock, which files have, too.
        seconds, processor: of it, and of all cores together.
    """

    began: float
    seconds: float
    processor: float
    output: str


@dataclass(frozen=True)
class Start:
    """Seconds of both commands.

    Attributes:
        medians: part -> median of several runs.
        repeats: number of runs.
    """

    medians: Mapping[str, float]
    repeats: int

    @property
    def first_pair(self) -> float:
        """Until the first pair's predictions are on disk."""
        return self.medians["first pair"]

    @property
    def is_met(self) -> bool:
        """Whether the first pair came in time."""
        return self.first_pair < TARGET


def measure_start(folder: Path, repeats: int) -> Start:
    """Times both commands in processes of their own, alternately.

    The first pair is done when its predictions are on disk: with one pair, the time of the file. What Python
    has compiled of the program is there, as it is for users from their second command on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    photos = _write_photos(folder)
    _bench("run", "--methods", "dift", "--limit", "1", "--device", "cpu", "--out", str(folder / "first"))
    columns: dict[str, list[float]] = {}
    for number in range(repeats):
        out = folder / str(number)
        run = _bench("run", "--methods", "dift", "--limit", "1", "--device", "cpu", "--out", str(out))
        (predictions,) = out.glob("*/predictions.parquet")
        _add(columns, "first pair", predictions.stat().st_mtime - run.began)
        _add(columns, "run", run.seconds)
        _add(columns, "run's processor", run.processor)
        (record,) = out.glob("*/record.json")
        provenance = json.loads(record.read_text(encoding="utf-8"))["provenance"]
        for name, stage in provenance["stages"].items():
            _add(columns, f"stage {name}", float(stage["seconds"]))
        words = ("--method", "dift", "--category", "cat", "--points", "40,30", "--device", "cpu")
        match = _bench("match", *photos, *words)
        _add(columns, "match", match.seconds)
        _add(columns, "match's processor", match.processor)
        for name, value in json.loads(_run([sys.executable, "-c", IMPORTS]).output).items():
            _add(columns, f"import {name}", value)
    return Start({name: statistics.median(values) for name, values in columns.items()}, repeats)


def tabulate_start(start: Start) -> str:
    """A table of their parts."""
    medians = start.medians
    stages = {name: value for name, value in medians.items() if name.startswith("stage ")}
    imports = {name: value for name, value in medians.items() if name.startswith("import ")}
    rows = [
        ["`bench run`, to the first pair, its predictions on disk", medians["first pair"]],
        ["`bench run`, to the printed table and the end of the process", medians["run"]],
        *([f"of it: {name}", value] for name, value in stages.items()),
        ["of it: importing torch, plan, manifest, table, end", medians["run"] - sum(stages.values())],
        ["its processor time, all cores together", medians["run's processor"]],
        ["`bench match` of two photos, whole", medians["match"]],
        ["its processor time", medians["match's processor"]],
        *([f"processor time of both for {name}", value] for name, value in imports.items()),
    ]
    text = plain(["part", "seconds"], [[str(name), seconds(float(value))] for name, value in rows])
    met = "met" if start.is_met else "MISSED"
    share = 100 * sum(imports.values()) / medians["match's processor"]
    note = (
        "`bench run --methods dift --limit 1` and `bench match A B --method dift`, tiny weights, on the CPU, "
        f"median of {start.repeats}, each after a first one. Stage `load` imports diffusers and "
        f"transformers. Imports of torch, transformers and diffusers are {share:.0f} % of the processor time "
        "of `bench match`. "
        f"Target: under {TARGET:g} s to the first pair: {met}."
    )
    return f"### Start-up\n\n{text}\n\n{note}"


def _write_photos(folder: Path) -> tuple[str, str]:
    """Two pictures that a network can be fed: what they show takes no time."""
    paths = []
    for name in ("a", "b"):
        path = folder / f"{name}.png"
        values = np.random.default_rng(0).integers(0, 255, (75, 100, 3), dtype=np.uint8)
        PIL.Image.fromarray(values).save(path)
        paths.append(str(path))
    return paths[0], paths[1]


def _add(columns: dict[str, list[float]], name: str, value: float) -> None:
    columns.setdefault(name, []).append(value)


def _bench(*words: str) -> _Ended:
    return _run([sys.executable, "-m", "harness.cli", *words])


def _run(command: Sequence[str]) -> _Ended:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began, start = time.time(), time.perf_counter()
    # Where Python may not keep what it has compiled, each start would compile the program's modules again.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=kept)
    elapsed = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return _Ended(began, elapsed, processor, done.stdout)
