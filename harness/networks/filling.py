"""Networks filled with the tensors of files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.networks.comparing import AGAIN, check_names, strip_prefixes
from harness.networks.tensor_files import read_tensors

if TYPE_CHECKING:
    import torch


def fill_network(
    network: torch.nn.Module,
    weights: Path | Mapping[str, torch.Tensor],
    subject: str = "",
    harmless: Collection[str] = (),
    advice: str = AGAIN,
) -> None:
    """Fills a network with the tensors of a file; each of its tensors comes from there.

    Prefixes that occur in the wild (`module.`, `model.`, `teacher.backbone.` and the like) are stripped where
    the names are then exactly the network's. Numbers are converted to the network's precision.

    Args:
        weights: the file, see `read_tensors`, or tensors by name.
        subject: the file's name in messages, where `weights` are tensors.
        harmless: patterns of names that the file may lack or have in addition, such as `head.*`. What it
            lacks keeps the value that the network was made with: this is for tensors that nothing reads.

    Raises:
        UserError: one line that names the file and a tensor: one is missing, not the network's, of another
            shape, of numbers that are not floating-point, or not finite.
    """
    if isinstance(weights, Path):
        subject = subject or str(weights)
        weights = read_tensors(weights)
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    tensors = _named_alike(weights, expected.keys(), harmless)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    check_names(subject, expected, shapes, harmless, advice)
    state = network.state_dict()
    chosen = {name: tensor for name, tensor in tensors.items() if name in expected}
    for name, tensor in chosen.items():
        check_floating(subject, name, tensor, state[name].dtype)
    # Not strict, for harmless tensors alone: everything else was compared above.
    network.load_state_dict(chosen, strict=False)
    check_finite(network, subject, chosen)


def _named_alike(
    tensors: Mapping[str, torch.Tensor], expected: Collection[str], harmless: Collection[str]
) -> Mapping[str, torch.Tensor]:
    """The tensors, under the network's names where stripping prefixes gives exactly those."""
    if set(expected) <= tensors.keys():
        return tensors
    for stripped in strip_prefixes(tensors, harmless):
        try:
            check_names("", dict.fromkeys(expected, ()), dict.fromkeys(stripped, ()), harmless)
        except UserError:
            continue
        return stripped
    return tensors


def check_floating(subject: str, name: str, tensor: torch.Tensor, wanted: torch.dtype) -> None:
    """Raises `UserError` where whole numbers stand for a tensor of floating-point ones."""
    if wanted.is_floating_point and not tensor.is_floating_point():
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise UserError(
            f"{subject}: tensor {name} holds {dtype}, not floating-point numbers; "
            "save the weights in float32, bfloat16 or float16"
        )


def check_finite(
    network: torch.nn.Module, subject: str, tensors: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Checks that all numbers of a network are finite.

    Args:
        tensors: those of the file, to tell what is wrong in it from what does not fit the precision.

    Raises:
        UserError: a tensor holds NaN or infinite numbers.
    """
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point() or _is_finite(tensor):
            continue
        original = (tensors or {}).get(name)
        if original is not None and _is_finite(original):
            dtype = str(tensor.dtype).removeprefix("torch.")
            raise UserError(
                f"{subject}: tensor {name} holds numbers too large for {dtype}; use another --precision"
            )
        raise UserError(f"{subject}: tensor {name} holds NaN or infinite numbers; {AGAIN}")


def _is_finite(tensor: torch.Tensor) -> bool:
    import torch

    if not tensor.numel():
        return True
    # Both are NaN where one number is; several times as fast as a comparison of every number.
    least, most = torch.aminmax(tensor)
    return bool(torch.isfinite(least) and torch.isfinite(most))
