"""Ray nodes that are processes of this machine, and `bench run` on them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from support.commands import PATIENCE, Outcome, command, plugin_environment
from support.paths import ROOT

SITE = ROOT / "tests" / "cluster" / "site"
"""A folder with the plugin `trouble`, as pip leaves one."""

NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}


def environment(meeting: Path | None = None, **more: str) -> dict[str, str]:
    """Variables of a process that finds the plugin `trouble`."""
    if meeting:
        more["BENCH_TROUBLE"] = str(meeting)
    # One thread: two workers share the cores of a small machine.
    return plugin_environment(SITE, OMP_NUM_THREADS="1", RAY_ADDRESS="", **more)


class Nodes:
    """A cluster of nodes that are processes of this machine."""

    def __init__(self) -> None:
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": environment()["PYTHONPATH"]}
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(shutdown_at_exit=True)
        self._start(include_dashboard=False)
        self.address = self._cluster.address

    def add(self, **variables: str) -> object:
        """Adds a node."""
        return self._start(env_vars=variables or None)

    def _start(self, **options: object) -> object:
        """Starts a node, again where a busy machine needs longer for that than Ray waits."""
        while True:
            try:
                return self._cluster.add_node(**NODE, **options)
            except Exception as error:
                if "timed out during startup" not in str(error):
                    raise

    def remove(self, node: object) -> None:
        """Removes a node at once, as when its machine loses power."""
        self._cluster.remove_node(node, allow_graceful=False)

    def settle(self) -> None:
        """Waits until the cluster lists no node that has been removed: it does for some seconds."""
        self._cluster.wait_for_nodes(timeout=PATIENCE)

    def has(self, node: object) -> bool:
        """Says whether a node that was added has not been removed."""
        return node in self._cluster.worker_nodes

    def close(self) -> None:
        """Ends all nodes."""
        self._cluster.shutdown()


def on_cluster(head: Nodes, out: Path, *arguments: object) -> list[str]:
    """The command of a run on the cluster, with a worker on each node."""
    options = ("--engine", "ray", "--address", head.address, "--workers-per-node", 1, "--start-timeout", 3600)
    return command("run", "--out", out, *options, *arguments)


def call(words: list[str], meeting: Path | None = None) -> Outcome:
    """Runs a command to its end."""
    done = subprocess.run(
        words, env=environment(meeting), capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def locally(out: Path, *arguments: object, meeting: Path | None = None) -> Outcome:
    """The same run in one process."""
    return call(command("run", "--out", out, *arguments), meeting)


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for something that must come."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def waiting_processes(meeting: Path) -> set[int]:
    """The workers that wait for the file `open`."""
    return {int(path.name.partition("-")[2]) for path in meeting.glob("waits-*")}


def is_running(process: int) -> bool:
    """Says whether a process is there, and not only its entry for a parent that has not asked yet."""
    try:
        return ") Z" not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
