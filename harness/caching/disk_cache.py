"""The key of results on disk (`--cache`).

It holds the weights, the hardware that they run on, and the versions of the libraries that run them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.caching.array_store import Store
from harness.environment import hardware, package_versions

_PACKAGES = ("correspondence-bench", "torch", "pillow", "numpy")
"""Packages on which every array depends, beside the one that its network comes from."""


@dataclass(frozen=True, eq=False)
class Cache:
    """A cache's folder, as one cell or one training uses it.

    Attributes:
        root: the folder.
        weights: weight source -> file -> sha256.
        device, precision: the device and the precision that networks compute in.
        compiled: whether networks are compiled.
        plugin: the plugin whose stores these are; empty for those of built-in methods. Its code computes
            under settings of its own, so that nobody else may read them.
        stores: the stores in use, by the names of their folders.
    """

    root: Path
    weights: Mapping[str, Mapping[str, str]]
    device: str
    precision: str
    compiled: bool = False
    plugin: str = ""
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
        """Returns the store of arrays that a network makes of pictures.

        An array that is read must equal the one that would be computed, to the byte. Another processor, GPU,
        number of threads or version of a library adds in another order, and therefore has a store of its own.

        Args:
            source: the network's weight source.
            part: beginning of the names of those of the source's files that matter.
            package: the library that the network's code comes from.
            preprocessing: everything that turns a picture into the network's input: names and values of JSON;
                best with a hash of the code, `code=harness.plugins.closure.code_hash(__name__)`.
        """
        versions = package_versions()
        packages = (*_PACKAGES, package)
        files = self.weights[source]
        # Only files that the network reads: a change of the source's other parts makes no array anew.
        weights = {file: digest for file, digest in files.items() if file.startswith(part)}
        key = {
            "weights": weights,
            "precision": self.precision,
            "compiled": self.compiled,
            "computer": _computer(self.device),
            "versions": {name: versions.get(name) for name in packages},
            **preprocessing,
        }
        if self.plugin:
            key["plugin"] = self.plugin
        store = Store(self.root, name, key, shape)
        return self.stores.setdefault(store.folder.name, store)

    @property
    def trouble(self) -> str:
        """The reason why a store has stopped writing; empty where all of them write."""
        for store in self.stores.values():
            if store.trouble:
                return store.trouble
        return ""


def _computer(device: str) -> dict[str, object]:
    """The parts of a computer that rounding depends on."""
    import torch

    parts: dict[str, object] = {"device": torch.device(device).type, **hardware(device)}
    if "gpu" in parts:
        # cuBLAS chooses among kernels by the memory that this allows.
        return {
            "device": parts["device"],
            "gpu": parts["gpu"],
            "cublas": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        }
    processor = {name: parts[name] for name in ("device", "machine", "processor", "torch_threads")}
    return {**processor, "instructions": torch.backends.cpu.get_cpu_capability()}
