"""Times `bench run` to its first pair."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from report import plain, seconds

TARGET = 5.0


def measure_start(folder: Path, repeats: int) -> str:
    """Times `bench run --methods dift --limit 1` in processes of its own, and returns a table of its parts.

    The first pair is done when its predictions are on disk: with one pair, the time of the file.
    """
    walls: list[float] = []
    first: list[float] = []
    processor: list[float] = []
    stages: dict[str, list[float]] = {}
    for number in range(repeats):
        out = folder / str(number)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        # The time of a file is that of this clock.
        clock = time.time()
        start = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "harness.cli",
            "run",
            "--methods",
            "dift",
            "--limit",
            "1",
            "--device",
            "cpu",
            "--out",
            str(out),
        ]
        subprocess.run(command, check=True, capture_output=True)
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        (predictions,) = out.glob("*/predictions.parquet")
        first.append(predictions.stat().st_mtime - clock)
        (record,) = out.glob("*/record.json")
        provenance = json.loads(record.read_text(encoding="utf-8"))["provenance"]
        for name, stage in provenance["stages"].items():
            stages.setdefault(name, []).append(float(stage["seconds"]))
    whole, pair = statistics.median(walls), statistics.median(first)
    parts = {name: statistics.median(values) for name, values in stages.items()}
    rest = whole - sum(parts.values())
    rows = [
        ["to the first pair, its predictions on disk", seconds(pair)],
        ["whole, to the printed table", seconds(whole)],
    ]
    for name, value in parts.items():
        rows.append([f"of it: {name}", seconds(value)])
    rows.append(["of it: importing torch, plan, manifest, table", seconds(rest)])
    rows.append(["processor time, all cores together", seconds(statistics.median(processor))])
    met = "met" if pair < TARGET else "MISSED"
    return (
        f"### Start-up\n\n{plain(['part', 'seconds'], rows)}\n\n`bench run --methods dift --limit 1`, tiny "
        f"weights, on the CPU, median of {repeats}. Stage `load` imports diffusers and transformers. The "
        f"first pair waits for its batch of 8 pictures. Target: under {TARGET:g} s to the first pair: {met}."
    )
