"""Nodes and processes of a Ray cluster. This is the only module that imports Ray.

Ray places the workers' processes, gives them their GPUs, starts them again where they end and carries
messages. Everything else is ours.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from harness.engines.address import LOCAL, Address, find_address
from harness.engines.chatter import sorting_out_chatter
from harness.engines.cluster import Gone, Refused, Unreachable
from harness.engines.placement import Node, node_of
from harness.engines.proof import Setting
from harness.engines.worker import Worker
from harness.errors import UserError
from harness.messages import first_line
from harness.running.predict import WantedPairs

_LOG = logging.getLogger(__name__)

INSTALL = "pip install 'correspondence-bench[cluster]'"

STORE_BYTES = 1 << 30
"""Memory for cells and messages in a cluster that is started for a run."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Under 'uv run', Ray would pack the working directory and install everything again for each worker.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}


class RayCluster:
    """A `harness.engines.cluster.Cluster`, by Ray's core actors.

    Args:
        ray: the module, connected to a cluster.

    Attributes:
        can_grow: whether further nodes may join; none joins a run's own.
    """

    def __init__(self, ray: Any, *, can_grow: bool = True) -> None:
        self._ray, self.can_grow = ray, can_grow
        self._worker_class = ray.remote(Worker)
        self._setting: Setting | None = None
        self._variables: Mapping[str, str] = {}

    def set_up(self, setting: Setting, variables: Mapping[str, str]) -> None:
        """Says how the processes of workers are set up: before the first one is started."""
        self._setting, self._variables = setting, variables

    def nodes(self) -> list[Node]:
        """All nodes, those that have left included."""
        return [node_of(entry) for entry in self._ray.nodes()]

    def start(self, node: Node | None, cpus: float, gpus: float) -> Any:
        """Starts a worker: see `Cluster.start`."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy: Any = "SPREAD"
        if node is not None:
            strategy = NodeAffinitySchedulingStrategy(node.id, soft=False)
        options = self._worker_class.options(
            num_cpus=cpus,
            num_gpus=gpus,
            # Its process comes back; what it was at is submitted again by us, or fails by name.
            max_restarts=-1,
            max_task_retries=0,
            scheduling_strategy=strategy,
            # No `working_dir`: nodes have the package, and prove that it is the same one.
            runtime_env={"env_vars": dict(self._variables)},
        )
        return options.remote(self._setting, node.id if node else "")

    def end(self, worker: Any) -> None:
        """Ends a worker for good."""
        self._ray.kill(worker, no_restart=True)

    def share(self, content: bytes) -> Any:
        """Puts bytes where all workers can read them."""
        return self._ray.put(content)

    def ask(self, worker: Any, question: str, *arguments: object) -> Any:
        """Calls a method of a worker."""
        return getattr(worker, question).remote(*arguments)

    def stream(self, worker: Any, key: str, content: Any, wanted: WantedPairs) -> Any:
        """Calls a worker's `work`."""
        return worker.work.options(num_returns="streaming").remote(key, content, wanted)

    def wait(self, tickets: Sequence[Any], seconds: float) -> list[Any]:
        """Those of the tickets that have an answer."""
        ready, _ = self._ray.wait(list(tickets), num_returns=1, timeout=seconds, fetch_local=False)
        if ready:
            # All that are ready, so that a busy worker does not keep others waiting.
            ready, _ = self._ray.wait(list(tickets), num_returns=len(tickets), timeout=0, fetch_local=False)
        return list(ready)

    def answer(self, ticket: Any) -> object:
        """The answer that a ticket has: see `Cluster.answer`."""
        errors = self._ray.exceptions
        try:
            reference = next(ticket) if isinstance(ticket, self._ray.ObjectRefGenerator) else ticket
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            raise Refused from error.cause
        except (errors.ActorUnavailableError, errors.ObjectLostError) as error:
            raise Unreachable(first_line(error)) from error
        except errors.RayError as error:
            raise Gone(_reason(error)) from error


def require_ray() -> None:
    """Raises `UserError` where Ray is not installed."""
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise UserError(f"--engine ray: Ray is not installed; {INSTALL}")


@contextmanager
def connected(given: str | None, *, is_verbose: bool) -> Iterator[tuple[RayCluster, str]]:
    """Connects to a cluster, or starts one on this machine, until the end of the `with` block.

    A program that is connected to a cluster already goes on with that one.

    Args:
        given: value of --address.
        is_verbose: whether Ray's own reports, and what workers print, are shown.

    Yields:
        The cluster, and a line on which one it is.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    require_ray()
    with ExitStack() as stack:
        stack.enter_context(sorting_out_chatter(is_shown=is_verbose))
        if is_connected():
            import ray

            yield RayCluster(ray), "Ray: the cluster that this program is connected to"
            return
        address = find_address(given)
        stack.enter_context(_signals_kept())
        ray = _connect(address, is_verbose)
        stack.callback(ray.shutdown)
        yield RayCluster(ray, can_grow=address.text != LOCAL), _cluster_line(address)


def is_connected() -> bool:
    """Says whether this program has connected itself to a cluster. Imports nothing that is not there yet."""
    import sys

    ray = sys.modules.get("ray")
    return bool(ray and ray.is_initialized())


def _connect(address: Address, is_verbose: bool) -> Any:
    before = {name: os.environ.get(name) for name in (*_QUIET, "RAY_RUNTIME_ENV_HOOK", "RAY_ADDRESS")}
    os.environ |= {name: value for name, value in _QUIET.items() if before[name] is None}
    # The hook of 'uv' and its like; and RAY_ADDRESS, which has been read.
    for name in ("RAY_RUNTIME_ENV_HOOK", "RAY_ADDRESS"):
        os.environ.pop(name, None)
    try:
        import ray

        if address.text == LOCAL:
            choices: dict[str, Any] = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
        else:
            choices = {"address": address.text}
        ray.init(
            logging_level=logging.INFO if is_verbose else logging.CRITICAL,
            log_to_driver=is_verbose,
            **choices,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
        raise UserError(f"{address.subject}: cannot be connected to ({first_line(error, 300)})") from error
    finally:
        for name in ("RAY_RUNTIME_ENV_HOOK", "RAY_ADDRESS"):
            if before[name] is not None:
                os.environ[name] = str(before[name])
    return ray


def _cluster_line(address: Address) -> str:
    if address.text == LOCAL:
        return "Ray: a cluster of this run's own, on this machine; --address names another"
    return f"Ray: the cluster at {address.text}"


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Puts back the handler of SIGTERM, which Ray replaces by one of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _reason(error: Exception) -> str:
    """Ray's messages are of many lines: the one that says why, as far as there is one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # An error of the worker's own making stands at the end, as Python prints it.
    wanted = [line for line in lines if "Error:" in line]
    return (wanted or lines or [type(error).__name__])[-1 if wanted else 0][:300]
