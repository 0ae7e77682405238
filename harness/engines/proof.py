"""What a machine must prove before it computes for a run: the same code, data and weights as here.

Predictions of one cell come from several machines, and nobody could tell later which of them had an older
package or another copy of the data. So each machine finds the run's cells by itself, and what it finds is
compared with what was found here.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.environment import device_name, hardware, package_versions, require_compiler
from harness.errors import UserError
from harness.messages import one_line
from harness.plugins.loading import load_plugins
from harness.plugins.version import engine_version
from harness.running.resolve import PROMPT_FILE, ResolvedCell, resolve_cell
from harness.running.resources import Resources, RunOptions
from harness.sweep import Cell

TRAVELLING = ("CUBLAS_WORKSPACE_CONFIG", "HF_HUB_OFFLINE", "HF_HOME", "TRANSFORMERS_OFFLINE")
"""Variables that workers get from here, besides those that begin with `BENCH_`."""

NUMERIC = (
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_THREAD_LIMIT",
    "ONEDNN_MAX_CPU_ISA",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
"""Variables that change sums by rounding. Workers get these, too, and one that is set there alone is told."""

MOST_DIFFERENCES = 3
"""Differences of one machine that are told."""

Facts = Mapping[str, str]
"""What is compared, in words for the user -> what was found."""


@dataclass(frozen=True)
class Setting:
    """How a worker's process is set up before it computes anything.

    Attributes:
        threads: of PyTorch. Sums in another number of threads differ by rounding.
        folder: the folder that relative paths start from.
        device: torch device name; `cuda` is the GPU that the worker was given.
    """

    threads: int
    folder: Path
    device: str

    def apply(self) -> None:
        """Sets up this process."""
        import torch

        torch.set_num_threads(self.threads)
        # A machine without the folder has nothing at relative paths, which the proof tells by name.
        with suppress(OSError):
            os.chdir(self.folder)


@dataclass(frozen=True)
class Machine:
    """Where a worker runs.

    Attributes:
        name: the machine's name.
        process: the worker's number there.
        log: the file that its output goes to; empty where nobody knows.
        hardware: as a record has it.
    """

    name: str
    process: int
    log: str
    hardware: Mapping[str, str]

    @property
    def device(self) -> str:
        """What numbers are computed on: the GPU's name, or the processor's."""
        return self.hardware.get("gpu") or self.hardware["processor"]


@dataclass(frozen=True, eq=False)
class Request:
    """The question to each machine.

    Attributes:
        compiled: whether networks are to be compiled there.
    """

    cells: Sequence[Cell]
    options: RunOptions
    compiled: bool = False


@dataclass(frozen=True)
class Proof:
    """The answer of one machine.

    Attributes:
        problem: why cells or device cannot be used there; empty where they can.
    """

    facts: Facts = field(default_factory=dict)
    problem: str = ""


def request_of(resolved: Sequence[ResolvedCell]) -> Request:
    """The question that goes with some cells of one run."""
    options = resolved[0].options
    # Protocols are for scoring, which is done here, and need not be known elsewhere.
    portable = replace(options, criteria=())
    return Request([cell.cell for cell in resolved], portable, options.compiled)


def describe_machine(device: str) -> Machine:
    """Describes the machine and process that this is called in."""
    log = ""
    with suppress(OSError):
        log = str(Path("/proc/self/fd/2").readlink())
    # What is not a file of this machine, such as a pipe, can be looked into by nobody.
    if not Path(log).is_file():
        log = ""
    return Machine(socket.gethostname(), os.getpid(), log, hardware(device))


def prove(request: Request) -> Proof:
    """Finds the cells by itself, in the process of a worker, and says what was found."""
    try:
        device_name(request.options.device)
        if request.compiled:
            require_compiler(request.options.device)
        resources = Resources(load_plugins(), request.options)
        resources.require_weights(request.cells)
        resolved = [resolve_cell(resources, cell) for cell in request.cells]
    except UserError as error:
        return Proof(problem=one_line(error))
    return Proof(facts_of(resolved))


def facts_of(resolved: Iterable[ResolvedCell]) -> dict[str, str]:
    """Everything that the predictions of some cells depend on besides the device, as it is here."""
    facts = process_facts()
    for cell in resolved:
        facts[f"the data of {cell.index.label} {cell.index.split}"] = cell.index.manifest
        for kind, version in cell.plugins.items():
            if kind != "harness":
                facts[f"the {kind} of {cell.cell.method}"] = version
        for name, localizer in cell.localizers.items():
            facts[f"localizer {name} of {cell.cell.method}"] = localizer.fingerprint
        # Cells of one run may have different networks and prompt files under one name.
        models = cell.extractor.spec.weights_params
        names = {models[parameter]: text for parameter, text in cell.cell.models}
        names[PROMPT_FILE] = f"{PROMPT_FILE} of {cell.cell.label}"
        for name, hashes in cell.weights.hashes.items():
            facts[f"the content of weights {names.get(name, name)}"] = _digest(hashes)
        for name, path in cell.weights.paths.items():
            facts[f"the place of weights {names.get(name, name)}"] = str(path)
        if cell.prompt_file:
            facts[f"the place of the prompt of {cell.cell.label}"] = str(cell.prompt_file)
        # Whatever else an id holds.
        facts[f"the identity of {cell.cell.label} on {cell.index.label}"] = cell.id.rpartition(".")[2]
    return facts


def process_facts() -> dict[str, str]:
    """What follows from the installation and the environment alone; quick to find out."""
    import torch

    facts = dict(package_versions())
    facts["the code of correspondence-bench"] = engine_version()
    facts["the number of threads"] = str(torch.get_num_threads())
    for name in NUMERIC:
        facts[f"variable {name}"] = os.environ.get(name, "not set")
    return facts


def differences(expected: Facts, actual: Facts) -> list[str]:
    """Phrases on what another machine has, each with what is here."""
    phrases: list[str] = []
    for subject, value in expected.items():
        there = actual.get(subject, "missing")
        if there != value:
            phrases.append(f"{subject} is {there} there and {value} here")
    return phrases


def refusal(node: str, proof: Proof, expected: Facts) -> str:
    """Says in one line why a machine cannot be used; empty where it can."""
    if proof.problem:
        return f"node {node}: {proof.problem} (nodes need data and weights at the same paths as here)"
    phrases = differences(expected, proof.facts)
    if not phrases:
        return ""
    told = "; ".join(phrases[:MOST_DIFFERENCES])
    more = len(phrases) - MOST_DIFFERENCES
    if more > 0:
        told += f"; and {more} more"
    return f"node {node}: {told}; give all nodes the same packages, plugins, data and weights"


def device_refusal(node: str, machine: Machine, first_node: str, first: Machine) -> str:
    """Says in one line that two machines compute on different devices; empty where they do not."""
    if machine.device == first.device:
        return ""
    return (
        f"node {node}: computes on {machine.device}, node {first_node} on {first.device}, and numbers of "
        "different devices differ by rounding; leave one kind out, or give --allow-mixed-devices"
    )


def travelling_variables(blocked: Iterable[str], threads: int, is_on_gpu: bool) -> dict[str, str]:
    """Environment variables of a worker.

    Args:
        blocked: plugins that are not loaded.
        is_on_gpu: whether it is given a GPU; without one it is to see none.
    """
    variables = {name: os.environ[name] for name in (*TRAVELLING, *NUMERIC) if name in os.environ}
    variables |= {name: value for name, value in os.environ.items() if name.startswith("BENCH_")}
    names = [*os.environ.get("BENCH_BLOCK", "").split(","), *blocked]
    variables["BENCH_BLOCK"] = ",".join(dict.fromkeys(name for name in names if name))
    variables["OMP_NUM_THREADS"] = str(threads)
    if not is_on_gpu:
        variables["CUDA_VISIBLE_DEVICES"] = ""
    return variables


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]}"
