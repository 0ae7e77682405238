"""Sizes that a network's `config.json` states, checked before anything is built to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.messages import number_text
from harness.networks.json_files import read_object

if TYPE_CHECKING:
    import torch

MOST_LAYERS = 1_000
"""More blocks than any network has that this program was written for; each is built before it is compared."""


def read_configuration(path: Path, expected: str = "copy or fetch it again") -> dict[str, Any]:
    """Reads a network's configuration.

    Args:
        expected: the end of the message about a file that cannot be read.

    Raises:
        UserError: it is missing or damaged, or asks for so many layers that building them would not end.
    """
    config = read_object(path, expected)
    for key, value in _numbers(config):
        is_count = "layers" in key or key in ("depth", "depths", "num_register_tokens")
        if is_count and not 0 <= value <= MOST_LAYERS:
            raise UserError(f"{path}: {key} is {number_text(value)}, not a number from 0 to {MOST_LAYERS:,}")
    return config


def check_size(
    subject: str, expected: Mapping[str, Sequence[int]], tensors: Mapping[str, torch.Tensor]
) -> None:
    """Checks, before memory is taken, that a configuration asks for about as many numbers as a file holds.

    Args:
        expected: name -> shape of the network's tensors.

    Raises:
        UserError: it asks for more than twice as many, and for gigabytes.
    """
    wanted = sum(prod(shape) for shape in expected.values())
    held = sum(tensor.numel() for tensor in tensors.values())
    if wanted > max(2 * held, 10**9):
        raise UserError(
            f"{subject}: describes a network of {number_text(wanted)} numbers, "
            f"and the file beside it holds {number_text(held)}; copy or fetch both again"
        )


def _numbers(node: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Yields (key, number) of a configuration, however deep."""
    if isinstance(node, Mapping):
        for name, inner in node.items():
            yield from _numbers(inner, str(name))
    elif isinstance(node, list):
        for inner in node:
            yield from _numbers(inner, key)
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield key, node
