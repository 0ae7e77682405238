"""How long `bench run` takes to its first pair."""

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


def measured(folder: Path, repeats: int) -> str:
    """Seconds of `bench run --methods dift --limit 1` in processes of their own, tiny weights, and what they went into, as a table."""
    walls: list[float] = []
    processor: list[float] = []
    stages: dict[str, list[float]] = {}
    for number in range(repeats):
        out = folder / str(number)
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "harness.cli", "run", "--methods", "dift", "--limit", "1", "--device", "cpu", "--out", str(out)]
        subprocess.run(command, check=True, capture_output=True)
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        (record,) = out.glob("*/record.json")
        for name, stage in json.loads(record.read_text(encoding="utf-8"))["provenance"]["stages"].items():
            stages.setdefault(name, []).append(float(stage["seconds"]))
    whole = statistics.median(walls)
    parts = {name: statistics.median(values) for name, values in stages.items()}
    rest = whole - sum(parts.values())
    rows = [["whole, to the printed table", seconds(whole)], *([f"of it: {name}", seconds(value)] for name, value in parts.items())]
    rows.append(["of it: imports, plan, manifest, table", seconds(rest)])
    rows.append(["processor time, all cores together", seconds(statistics.median(processor))])
    met = "met" if whole < TARGET else "MISSED"
    return (
        f"### Start-up\n\n{plain(['part', 'seconds'], rows)}\n\n`bench run --methods dift --limit 1`, tiny weights, on the CPU, median of "
        f"{repeats}. The first pair waits for its batch of 8 pictures. Target: under {TARGET:g} s to the first pair; the whole run: {met}."
    )
