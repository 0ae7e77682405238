"""Files of weights of aggregation networks: the authors', and those that `bench train` makes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from harness.errors import UserError
from heads.aggregation.network import GROUPS, AggregationNetwork, AggregationShape
from matchers.backbones.checkpoints import is_whole, load_tensors, read_checkpoint, read_settings

PUBLISHED_CHANNELS = (768, 384)
"""Channels of the results of the authors' networks: GeoAware-SC and DIY-SC; Diffusion Hyperfeatures."""


def load_aggregation(path: Path, group: str | None = None) -> AggregationNetwork:
    """Makes the network of a file of its weights, whatever its sizes.

    Args:
        group: name of the dictionary that holds it, in a file of several.

    Raises:
        UserError: one line that names a tensor which is missing or not the network's, or says what else is
            wrong with the file.
    """
    checkpoint = read_checkpoint(path)
    tensors = checkpoint.group(group) if group else checkpoint.tensors
    return make_aggregation(tensors, path)


def make_aggregation(tensors: Mapping[str, Tensor], path: Path) -> AggregationNetwork:
    """Makes the network of its tensors. Raises `UserError` where they are not one's.

    Args:
        path: their file, whose settings say the groups of its norms. The authors' files say nothing, and have
            32.
    """
    settings = read_settings(path)
    groups = settings.get("groups", GROUPS)
    if not is_whole(groups) or groups < 1:
        raise UserError(
            f"{path}: setting 'groups' is {groups!r}; it must be a whole number from 1; train it again"
        )
    try:
        shape = AggregationShape.of(tensors, groups)
    except KeyError as error:
        raise not_this_head(path, f"tensor {error.args[0]} is missing") from error
    except (ValueError, IndexError) as error:
        raise not_this_head(path, str(error)) from error
    if "groups" not in settings and shape.projection not in PUBLISHED_CHANNELS:
        # Tensors are the same for any number of groups, and results are not.
        raise UserError(
            f"{path}: does not say how many groups its norms have (setting 'groups' of a safetensors file), "
            f"and its {shape.projection} channels are not a published network's; give the file that "
            "'bench train' wrote"
        )
    # The random numbers of a new network are nobody's: those of the run stay as they are.
    with torch.random.fork_rng(devices=()):
        network = AggregationNetwork(shape)
    load_tensors(network, tensors, path)
    return network.float().eval().requires_grad_(False)


def not_this_head(path: Path, why: str) -> UserError:
    """The error about a file that holds another network."""
    return UserError(f"{path}: {why}; these are not the weights of this network; give its own file")
