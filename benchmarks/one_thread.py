"""Times the stages of `bench run` on one thread, in seconds of the processor, in a process of its own.

On an idle machine those are the seconds on the clock; on a busy one they are what an idle one would show.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_LAUNCHER = """
import sys, time
# The clock of the stages: of this process and all its threads, in place of the wall's.
time.perf_counter = time.process_time
from harness.cli import main
sys.argv[0] = "bench"
sys.exit(main())
"""


class Seconds(NamedTuple):
    """Processor seconds of a run.

    Attributes:
        loading: of networks, with the libraries that they need.
        features, points: of all pairs.
    """

    loading: float
    features: float
    points: float

    @property
    def working(self) -> float:
        """Features and points."""
        return self.features + self.points


def run_on_one_thread(options: Sequence[str], out: Path, source: Path | None = None) -> Seconds:
    """Runs `bench run` with these options.

    Args:
        options: such as `--methods dift`.
        out: an empty results folder.
        source: root of the code to run; None for the code that this process has imported.

    Raises:
        RuntimeError: the command fails, or leaves another number of cells than one.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = os.environ | threads
    if source:
        environment["PYTHONPATH"] = str(source)
    command = [sys.executable, "-c", _LAUNCHER, "run", *options, "--device", "cpu", "--out", str(out)]
    process = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=source, check=False
    )
    records = list(out.glob("*/record.json"))
    if process.returncode or len(records) != 1:
        raise RuntimeError(f"{' '.join(options)}: exit status {process.returncode}\n{process.stderr}")
    stages = json.loads(records[0].read_text(encoding="utf-8"))["provenance"]["stages"]
    seconds = {name: float(stage["seconds"]) for name, stage in stages.items()}
    return Seconds(seconds["load"], seconds["extract"], seconds["locate"])
