"""The user's options for a run on a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import UserError

START_TIMEOUT = 300.0
"""Seconds that a worker may take to start: a machine of a cloud takes some minutes to come up."""

DEVICES = ("auto", "cpu", "cuda")
"""Values of --device that say something on every machine of a cluster."""


@dataclass(frozen=True)
class ClusterOptions:
    """The user's options for a run on a Ray cluster.

    Attributes:
        address: `HOST:PORT` of the cluster's head, `auto` or `local`; None for RAY_ADDRESS or a cluster that
            runs on this machine, and where there is none, one of this run's own on this machine.
        gpus_per_worker: GPUs that each worker is given, 0.5 for two workers on one; None for 1 where the
            cluster has any.
        workers_per_node: None for as many as the node's GPUs, or cores, are enough for.
        start_timeout: seconds that a worker may take to start.
        allows_mixed_devices: whether nodes may compute on different GPUs, or processors.
    """

    address: str | None = None
    gpus_per_worker: float | None = None
    workers_per_node: int | None = None
    start_timeout: float = START_TIMEOUT
    allows_mixed_devices: bool = False


def gpus_of(options: ClusterOptions, device: str, most_gpus: float) -> float:
    """GPUs for each worker.

    Args:
        device: value of --device.
        most_gpus: those of the node of the cluster that has most.

    Raises:
        UserError: the options contradict each other.
    """
    if device not in DEVICES:
        raise UserError(
            f"--device {device}: with --engine ray a worker sees the GPUs that it is given; "
            f"{', '.join(DEVICES)}, and --gpus-per-worker says how many"
        )
    gpus = options.gpus_per_worker
    if gpus and gpus > 1 and gpus != int(gpus):
        raise UserError(f"--gpus-per-worker {gpus:g}: a whole number, or a share of one GPU such as 0.5")
    if device == "cpu":
        if gpus:
            raise UserError(
                f"--gpus-per-worker {gpus:g}: workers with GPUs that compute on --device cpu; "
                "leave one of the two out"
            )
        return 0.0
    if gpus is None:
        # One that was named is waited for, as a machine of a cloud that starts when it is needed.
        return 1.0 if most_gpus or device == "cuda" else 0.0
    if device == "cuda" and not gpus:
        raise UserError("--gpus-per-worker 0: leaves workers no GPU for --device cuda; leave one of them out")
    return gpus
