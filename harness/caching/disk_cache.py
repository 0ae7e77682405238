"""What `--cache` keeps of pictures depends on: the weights, what they run on, and the versions of the libraries that run them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.caching.array_store import Store
from harness.environment import hardware, package_versions

_PACKAGES = ("correspondence-bench", "torch", "pillow", "numpy")
"""On which every array depends, with the one that its network comes from."""


@dataclass(frozen=True, eq=False)
class Cache:
    """A cache's folder, as one cell or one training uses it.

    Attributes:
        root: the folder.
        weights: weight source -> file -> sha256.
        device, precision: what networks compute on, and in.
        compiled: whether they are compiled.
        stores: those in use, by the names of their folders.
    """

    root: Path
    weights: Mapping[str, Mapping[str, str]]
    device: str
    precision: str
    compiled: bool = False
    stores: dict[str, Store] = field(default_factory=dict)

    def store(
        self,
        name: str,
        shape: Sequence[int],
        *,
        source: str,
        part: str = "",
        package: str,
        **preprocessing: object,
    ) -> Store:
        """The store of arrays that a network makes of pictures.

        What is read must be what would be computed, to the byte: another processor, GPU, number of threads or version of a library adds
        in another order, and has a store of its own.

        Args:
            source: the network's weight source.
            part: only the source's files whose names begin so matter.
            package: the library that the network's code comes from.
            preprocessing: all that makes the network's input of a picture: names and values as JSON has them.
        """
        versions = package_versions()
        key = {
            "weights": {
                file: digest for file, digest in self.weights[source].items() if file.startswith(part)
            },
            "precision": self.precision,
            "compiled": self.compiled,
            "computer": _computer(self.device),
            "versions": {one: versions.get(one) for one in (*_PACKAGES, package)},
            **preprocessing,
        }
        made = Store(self.root, name, key, shape)
        return self.stores.setdefault(made.folder.name, made)

    @property
    def trouble(self) -> str:
        """Why something is not written any more; empty where all is."""
        return next((store.trouble for store in self.stores.values() if store.trouble), "")


def _computer(device: str) -> dict[str, object]:
    """What rounding depends on."""
    import torch

    found: dict[str, object] = {"device": torch.device(device).type, **hardware(device)}
    if "gpu" in found:
        # cuBLAS chooses among kernels by the memory that this allows.
        return {
            "device": found["device"],
            "gpu": found["gpu"],
            "cublas": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        }
    kept = {name: found[name] for name in ("device", "machine", "processor", "torch_threads")}
    return {**kept, "instructions": torch.backends.cpu.get_cpu_capability()}
