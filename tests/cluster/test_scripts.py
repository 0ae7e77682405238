"""The scripts for clusters, run on this machine: SLURM's commands are stand-ins, everything else is real."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.paths import ROOT

SCRIPTS = ROOT / "examples" / "clusters"

SECONDS = 600

OPTIONS = ("--methods", "position", "--limit", "24", "--device", "cpu")

STAND_INS = {
    # One machine has all nodes.
    "scontrol": "echo 127.0.0.1",
    # As many copies as there are nodes, at once; the highest exit status counts.
    "srun": """
nodes=1
while [[ $1 == --* ]]; do
    case $1 in --nodes=*) nodes=${1#*=} ;; esac
    shift
done
pids=()
for ((node = 0; node < nodes; node++)); do "$@" & pids+=($!); done
status=0
for pid in "${pids[@]}"; do
    wait "$pid" || { code=$?; (( code > status )) && status=$code; }
done
exit "$status"
""",
    # Runs at once what would be queued, and prints the job's number, also of a job that failed.
    "sbatch": """
first=0 last=0
while [[ $1 == --* ]]; do
    case $1 in
    --array=*-*) range=${1#*=}; first=${range%-*} last=${range#*-} ;;
    --array=*) first=${1#*=} last=${1#*=} ;;
    --dependency=afterany:*)
        [[ -e $STAND_IN_JOBS/${1##*:} ]] || { echo "depends on a job that has not ended" >&2; exit 1; } ;;
    esac
    shift
done
job=$((100 + $(ls "$STAND_IN_JOBS" | wc -l)))
for ((task = first; task <= last; task++)); do
    SLURM_JOB_ID=$job SLURM_ARRAY_TASK_ID=$task bash "$@" >&2 || true
done
touch "$STAND_IN_JOBS/$job"
echo "$job"
""",
}


class Site:
    """A folder with the commands that a script needs, and one that it runs in.

    Args:
        ray_folder: for what Ray leaves behind.

    Attributes:
        folder: where scripts run.
    """

    def __init__(self, folder: Path, ray_folder: str) -> None:
        self.folder = folder / "work"
        self._commands = folder / "bin"
        jobs = folder / "jobs"
        for path in (self.folder, self._commands, jobs):
            path.mkdir()
        for name, text in STAND_INS.items():
            self._add(name, f"#!/bin/bash\n{text}\n")
        modules = {
            "bench": "harness.cli",
            "ray": "ray.scripts.scripts",
            "torchrun": "torch.distributed.run",
            "python": "",
        }
        for name, module in modules.items():
            option = f"-m {module} " if module else ""
            self._add(name, f'#!/bin/sh\nexec "{sys.executable}" {option}"$@"\n')
        self.environment = {
            **os.environ,
            "PATH": f"{self._commands}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            # Ray's token belongs to the test.
            "HOME": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            # What other clusters on this machine leave in the usual place is not looked at.
            "RAY_TMPDIR": ray_folder,
            "STAND_IN_JOBS": str(jobs),
            "SLURM_JOB_ID": "4711",
            "SLURM_JOB_NUM_NODES": "1",
            "SLURM_JOB_NODELIST": "node[1-2]",
        }

    def _add(self, name: str, text: str) -> None:
        path = self._commands / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def try_to_run(self, *command: object, **variables: str) -> tuple[int, str]:
        """Runs a command. Returns its exit status and what it printed to both streams."""
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return done.returncode, done.stdout

    def run(self, *command: object, status: int = 0, **variables: str) -> str:
        """Runs a command and returns what it printed; checks its exit status."""
        ended, printed = self.try_to_run(*command, **variables)
        assert ended == status, printed
        return printed

    def predictions(self, out: str) -> bytes:
        """Bytes of the predictions of the only cell in a results folder."""
        (path,) = (self.folder / out).glob("*/predictions.parquet")
        return path.read_bytes()


@pytest.fixture
def site(tmp_path):
    # A short path: Ray's sockets lie below it.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as ray_folder:
        yield Site(tmp_path, ray_folder)


def test_an_array_of_shards_is_the_whole(site):
    job = site.run("sbatch", "--parsable", "--array=1-2", SCRIPTS / "slurm-shard.sh", 2, "results", *OPTIONS)
    number = job.splitlines()[-1]
    merge = ("sbatch", f"--dependency=afterany:{number}", SCRIPTS / "slurm-merge.sh", 2, "results")
    assert "| position " in site.run(*merge)
    site.run("bench", "run", *OPTIONS, "--out", "whole")
    assert site.predictions("results") == site.predictions("whole")
    # Each of the jobs did a part.
    parts = [len(pq.read_table(path)) for path in site.folder.glob("results-*/*/predictions.parquet")]
    assert len(parts) == 2
    assert min(parts) > 0


def test_a_merge_after_an_array_that_failed_says_what_is_missing(site):
    shard = ("sbatch", "--parsable", "--array=1-2", SCRIPTS / "slurm-shard.sh", 2, "results")
    job = site.run(*shard, "--methods", "positoin")
    number = job.splitlines()[-1]
    merge = ("sbatch", f"--dependency=afterany:{number}", SCRIPTS / "slurm-merge.sh", 2, "results")
    assert "no results folder results-1" in site.run(*merge)


def test_one_part_of_an_array_can_be_repeated(site):
    shard = (SCRIPTS / "slurm-shard.sh", 2, "results", *OPTIONS)
    site.run("sbatch", "--array=1", *shard)
    # Merging says what is missing instead of printing a table of half the pairs.
    site.run("bash", SCRIPTS / "slurm-merge.sh", 2, "results", status=2)
    site.run("sbatch", "--array=2", *shard)
    site.run("bash", SCRIPTS / "slurm-merge.sh", 2, "results")


def isolated() -> list[str]:
    """Begins a command that sees no processes but its own.

    `ray symmetric-run` ends with `ray stop`, which ends every Ray that it sees.
    """
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("needs process namespaces (unshare)")
    return command


def job_number(base: int) -> str:
    """A job's number that stands for a free port above `base`."""
    for number in range(os.getpid() % 9000, 10000):
        with socket.socket() as trial:
            try:
                trial.bind(("", base + number))
            except OSError:
                continue
        return str(number)
    raise RuntimeError("no port is free")


def run_ray_script(site: Site, *options: object, status: int = 0, job: str = "") -> str:
    pytest.importorskip("ray")
    command = (*isolated(), "bash", SCRIPTS / "slurm-ray.sh", *options)
    for _ in range(5):
        ended, printed = site.try_to_run(*command, SLURM_JOB_ID=job or job_number(20000))
        # Ray waits half a minute for itself, which is short on a busy machine.
        if "timed out during startup" not in printed:
            break
    assert ended == status, printed
    return printed


def test_the_ray_script_runs_a_sweep(site):
    assert "Running command on head node" in run_ray_script(site, *OPTIONS, "--out", "results")
    site.run("bench", "run", *OPTIONS, "--out", "local")
    assert site.predictions("results") == site.predictions("local")
    # Its mark is gone.
    assert not list(site.folder.glob(".bench-*"))


def test_the_ray_script_ends_as_its_command_does(site):
    assert "positoin" in run_ray_script(site, "--methods", "positoin", status=2)


def test_the_ray_script_says_that_ray_did_not_start(site):
    job = job_number(20000)
    with socket.socket() as taken:
        taken.bind(("", 20000 + int(job)))
        taken.listen()
        printed = run_ray_script(site, *OPTIONS, status=1, job=job)
    assert "Ray did not start on all nodes" in printed


def test_two_nodes_train_one_prompt(site):
    options = "sd4match-single --steps 1 --validate-every 1 --limit-train 2 --limit-validation 2 --kernel 3"
    words = [*options.split(), "--timestep", "50", "--batch-size", "2", "--device", "cpu", "--out", "prompt"]
    two_nodes = {"SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": job_number(30000), "PROCESSES": "1"}
    printed = site.run("bash", SCRIPTS / "slurm-train.sh", *words, **two_nodes)
    assert "best.safetensors" in printed
    record = json.loads((site.folder / "prompt" / "record.json").read_text(encoding="utf-8"))
    assert record["processes"] == 2
