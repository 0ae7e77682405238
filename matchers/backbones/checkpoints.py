"""Checkpoints of published networks and of ours: tensors by name, and what their shapes do not tell."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from harness.errors import UserError
from harness.files import replacing
from harness.networks.comparing import AGAIN
from harness.networks.filling import fill_network
from harness.networks.tensor_files import read_tensors
from harness.specs import NetworkTraining, Scalar

SETTINGS = "settings"
"""Key of a safetensors file's metadata: a JSON object of scalars."""

SMALLEST_SIDE, LARGEST_SIDE = 32, 1024
"""Sides of square inputs; a correlation has a sixteenth of them to the power of four cells, or more."""

_WRAPPERS = ("state_dict", "model", "teacher")
"""Keys under which training programs save the state of their one network, beside the optimiser's."""

_PARALLEL = "module."
"""What data-parallel training puts before every name."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file of weights holds.

    Attributes:
        path: the file.
        content: all of its tensors; names of nested dictionaries are joined with dots.
        settings: scalars that the shapes of the tensors do not tell, such as the image's size; empty for the
            authors' files.
    """

    path: Path
    content: Mapping[str, Tensor]
    settings: Mapping[str, Scalar] = field(default_factory=dict)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The network's tensors: those under `state_dict` or the like, where the file has one, else all."""
        for wrapper in _WRAPPERS:
            group = _below(self.content, f"{wrapper}.")
            if group:
                return _without_parallel(group)
        return _without_parallel(self.content)

    def group(self, name: str) -> dict[str, Tensor]:
        """The tensors of one network of several, such as `state_dict1`.

        Raises:
            UserError: the file has none.
        """
        group = _below(self.content, f"{name}.")
        if not group:
            raise UserError(
                f"{self.path}: there is no '{name}' with tensors in it; {_is_another(self.content)}"
            )
        return _without_parallel(group)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin so, without that beginning.

        Raises:
            UserError: there is none.
        """
        part = _below(self.tensors, prefix)
        if not part:
            raise UserError(f"{self.path}: no tensor begins with '{prefix}'; {_is_another(self.tensors)}")
        return part

    def setting(self, name: str, default: Scalar) -> Scalar:
        """A setting of the file, or the published value where the file says nothing."""
        return self.settings.get(name, default)


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a file of safetensors, or of PyTorch (`.pth`, `.pt`, `.pth.tar`), without running code in it.

    Raises:
        UserError: one line: the file is missing or damaged, or holds objects that are more than tensors and
            the harmless company that training programs save with them.
    """
    tensors = read_tensors(path, allowed=_harmless_objects())
    return Checkpoint(path, tensors, read_settings(path))


def _harmless_objects() -> list[Any]:
    """Objects of training programs that are data alone: options, and numbers of numpy such as losses."""
    multiarray: Any = import_module("numpy._core.multiarray")
    dtypes = [type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "int32", "bool")]
    functions = [multiarray._reconstruct, multiarray.scalar]
    # Under the name that numpy 1 saved them, too.
    old = [(function, f"numpy.core.multiarray.{function.__name__}") for function in functions]
    return [argparse.Namespace, np.ndarray, np.dtype, *dtypes, *functions, *old]


def read_settings(path: Path) -> dict[str, Scalar]:
    """Reads the settings in a safetensors file's metadata, and none of its tensors; {} for any other file.

    Raises:
        UserError: they are not a JSON object.
    """
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(SETTINGS, "{}")
    except (SafetensorError, OSError):
        # A pickle; whether it can be read was found out before.
        return {}
    try:
        settings = json.loads(text)
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise UserError(f"{path}: its metadata '{SETTINGS}' is not a JSON object; {AGAIN}")
    return settings


def is_whole(value: object) -> TypeGuard[int]:
    """Says whether a setting is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def input_side(settings: Mapping[str, Scalar], path: Path, default: int, largest: int = LARGEST_SIDE) -> int:
    """Side in pixels of a network's square input: the published one where a file's settings say nothing.

    Args:
        path: the file, for messages.
        largest: the largest side that the network's correlation has room for.

    Raises:
        UserError: it is no whole number, or one that no network can be fed.
    """
    side = settings.get("image_size", default)
    if not is_whole(side) or not SMALLEST_SIDE <= side <= largest:
        raise UserError(
            f"{path}: its image_size is {side!r}, not a whole number from {SMALLEST_SIDE} to {largest}; "
            f"{AGAIN}"
        )
    return side


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], settings: Mapping[str, Scalar]) -> None:
    """Writes safetensors, the same bytes for the same numbers.

    Args:
        tensors: with the names of the authors' files.
        settings: scalars that the tensors' shapes do not tell.
    """
    copies = {name: tensors[name].detach().cpu().clone().contiguous() for name in sorted(tensors)}
    content = save(copies, {SETTINGS: json.dumps(dict(settings), sort_keys=True)})
    with replacing(path) as file:
        file.write(content)


def split_roles(
    tensors: Mapping[str, Tensor], subject: str = "backbone"
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Source network and target network of a paired backbone.

    The authors' one network has all channels twice, and each convolution in two groups: every tensor's first
    axis holds the source network's numbers, then the target network's.

    Args:
        tensors: of the backbone alone, with torchvision's names; those of `fc` are left out.

    Raises:
        UserError: a first axis cannot be halved.
    """
    source: dict[str, Tensor] = {}
    target: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.startswith("fc."):
            continue
        if not tensor.ndim:
            source[name] = target[name] = tensor
            continue
        if len(tensor) % 2:
            raise UserError(
                f"{subject}: tensor {name} has {len(tensor)} rows, not those of a source and a target network"
            )
        source[name], target[name] = tensor.chunk(2)
    return source, target


def load_tensors(
    module: nn.Module, tensors: Mapping[str, Tensor], path: Path, harmless: Collection[str] = ()
) -> None:
    """Fills a network with tensors; each of its own comes from there.

    Args:
        path: their file, for messages.
        harmless: patterns of names that the file may lack or have in addition, such as `fc.*`.

    Raises:
        UserError: one line that names a tensor: it is missing, of another shape or not the network's, or its
            numbers are not finite.
    """
    fill_network(module, tensors, str(path), harmless, f"these are not the weights of this network; {AGAIN}")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _without_parallel(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if all(name.startswith(_PARALLEL) for name in tensors):
        return _below(tensors, _PARALLEL)
    return dict(tensors)


def _is_another(tensors: Mapping[str, Tensor]) -> str:
    example = min(tensors, default="nothing")
    return f"it holds {len(tensors)} tensors of other names, such as {example}; give this network's own file"


def training_in(path: Path) -> NetworkTraining:
    """What a file of `bench train` says of its training; nothing for any other file.

    Raises:
        UserError: the file's settings cannot be read.
    """
    settings = read_settings(path)
    dataset, split = settings.get("dataset"), settings.get("validation_split")
    if not dataset:
        return NetworkTraining()
    return NetworkTraining(str(dataset), (f"{dataset}/{split}",) if split else ())
