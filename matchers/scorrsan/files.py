"""Files of SCorrSAN's weights, laid out as CATs' are."""

from __future__ import annotations

from pathlib import Path

from matchers.backbones.checkpoints import load_tensors, read_checkpoint
from matchers.backbones.resnet import ResNet
from matchers.cats.files import (
    BACKBONE,
    UNREAD,
    check_constants,
    check_levels,
    not_the_network,
    whole_setting,
)
from matchers.scorrsan.network import Scorrsan, ScorrsanShape

LAYER = 3
"""The ResNet's layer whose last block is read, where a file does not say another level."""


def load_scorrsan(path: Path) -> Scorrsan:
    """Makes SCorrSAN's network from a file of its weights: the authors' or one of the same tensors.

    Raises:
        UserError: one line that says why the file cannot be used.
    """
    checkpoint = read_checkpoint(path)
    backbone = ResNet.like(checkpoint.part(BACKBONE), str(path))
    level = whole_setting(checkpoint.settings, "level", backbone.levels_of(LAYER)[-1], path, least=0)
    check_levels(backbone, [level], path)
    try:
        shape = ScorrsanShape.of(checkpoint.tensors, backbone.channels[level])
    except (KeyError, IndexError) as error:
        raise not_the_network(path, f"tensor {error.args[0]} is missing or has another shape") from error
    except ValueError as error:
        raise not_the_network(path, str(error)) from error
    network = Scorrsan(backbone, shape, level)
    load_tensors(network, checkpoint.tensors, path, UNREAD)
    check_constants(checkpoint.tensors, path)
    return network
