"""Files of weights of CATs, SemiMatch and SCorrSAN: a ResNet under one prefix, and the head beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from baselines.networks.loading import DTYPES
from harness.errors import UserError
from harness.messages import listed
from harness.specs import MakeContext, Scalar
from matchers.backbones.checkpoints import Checkpoint, is_whole, load_tensors, read_checkpoint, read_settings
from matchers.backbones.resnet import ResNet
from matchers.cats.network import HEADS, Cats, HeadShape

BACKBONE = "feature_extraction.backbone."
"""Beginning of the names of the backbone's tensors; torchvision's names follow."""

UNREAD = (f"{BACKBONE}fc.*",)
"""Tensors that files may hold or lack."""

CONSTANTS = ("x_normal", "y_normal")
"""Positions from -1 to 1, which the authors' files hold."""

PUBLISHED_SIDE = 256

LARGEST_SIDE = 4096
"""Of the network's square input, in pixels."""

PUBLISHED_LEVELS: Mapping[int, tuple[int, ...]] = {
    8: (0, 8, 20, 21, 26, 28, 29, 30),
    7: (2, 17, 21, 22, 25, 26, 28),
}
"""Number of levels -> those of the authors' networks, for SPair-71k and for PF-Pascal.

Their files do not name the levels.
"""

Network = TypeVar("Network", bound=nn.Module)


def read_side(path: Path) -> int:
    """Side of the network's square input in pixels. Raises `UserError` where the file's is not one."""
    return whole_setting(read_settings(path), "image_size", PUBLISHED_SIDE, path, 32, LARGEST_SIDE)


def whole_setting(
    settings: Mapping[str, Scalar],
    name: str,
    default: int,
    path: Path,
    least: int = 1,
    most: int | None = None,
) -> int:
    """A whole number among a file's settings; `default` where the file does not have it.

    Raises:
        UserError: it is not a whole number, less than `least`, or more than `most`.
    """
    value = settings.get(name, default)
    if not is_whole(value) or value < least or (most is not None and value > most):
        span = f"from {least}" if most is None else f"from {least} to {most}"
        raise UserError(
            f"{path}: setting '{name}' is {value!r}; it must be a whole number {span}; train it again"
        )
    return value


def load_cats(path: Path) -> Cats:
    """Makes CATs' network from a file of its weights: the authors' or one of the same tensors.

    Raises:
        UserError: one line that says why the file cannot be used.
    """
    checkpoint = read_checkpoint(path)
    heads = whole_setting(checkpoint.settings, "heads", HEADS, path)
    backbone = ResNet.like(checkpoint.part(BACKBONE), str(path))
    try:
        shape = HeadShape.of(checkpoint.tensors, heads)
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise not_the_network(path, f"tensor {error.args[0]} is missing or has another shape") from error
    if shape.width % heads:
        raise not_the_network(path, f"a width of {shape.width} is not that of {heads} attention heads")
    levels = _read_levels(checkpoint, len(shape.channels))
    check_levels(backbone, levels, path)
    channels = tuple(backbone.channels[level] for level in levels)
    if channels != shape.channels:
        raise not_the_network(
            path, f"its projections take {shape.channels} channels, and levels {levels} have {channels}"
        )
    network = Cats(backbone, shape, levels)
    load_tensors(network, checkpoint.tensors, path, UNREAD)
    check_constants(checkpoint.tensors, path)
    return network


def not_the_network(path: Path, why: str) -> UserError:
    """The error about a file that holds another network."""
    return UserError(f"{path}: {why}; these are not the weights of this network; give its own file")


def _read_levels(checkpoint: Checkpoint, count: int) -> tuple[int, ...]:
    """Hyperpixel indices of a file's levels, by its settings or by how many there are."""
    text = checkpoint.settings.get("levels")
    if text is None:
        if count not in PUBLISHED_LEVELS:
            known = " or ".join(str(number) for number in sorted(PUBLISHED_LEVELS))
            raise not_the_network(checkpoint.path, f"it has {count} projections, not {known}")
        return PUBLISHED_LEVELS[count]
    try:
        levels = tuple(int(level) for level in str(text).split(","))
    except ValueError:
        levels = ()
    if len(levels) != count:
        raise UserError(
            f"{checkpoint.path}: setting 'levels' is {text!r}, not {count} whole numbers with commas; "
            "train it again"
        )
    return levels


def check_levels(backbone: ResNet, levels: Sequence[int], path: Path) -> None:
    """Raises `UserError` where the ResNet of a file does not have the levels that the head reads."""
    last = backbone.last_level
    if not set(levels) <= set(range(last + 1)):
        text = listed([str(level) for level in levels])
        raise not_the_network(path, f"its head reads levels {text} of a ResNet that has 0 to {last}")


def check_constants(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises `UserError` where a file's positions are not those from -1 to 1 in equal steps."""
    for name in CONSTANTS:
        positions = tensors[name].double()
        if not torch.allclose(positions, torch.linspace(-1, 1, len(positions)).double(), atol=1e-5):
            raise not_the_network(path, f"tensor {name} is not {len(positions)} positions from -1 to 1")


def share_network(
    context: MakeContext,
    source: str,
    load: Callable[[Path], Network],
    backbone: Callable[[Network], nn.Module],
) -> Network:
    """Returns the network of a weight source, which the extractor and the matcher of a cell share.

    The backbone has the run's precision, everything else single precision: a softmax at a temperature of 0.02
    needs it.

    Args:
        load: file -> network.
        backbone: network -> its backbone.

    Raises:
        UserError: the file cannot be used.
    """
    path = context.weights[source]

    def make() -> Network:
        network = load(path).eval().requires_grad_(False).to(context.device)
        backbone(network).to(DTYPES[context.precision])
        return network

    status = path.stat()
    key = (path.resolve(), status.st_mtime_ns, status.st_size, context.device, context.precision)
    return context.shared.once(f"{source} network", key, make)
