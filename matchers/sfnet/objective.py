"""SFNet's training: masks of objects in two views of one picture, and flows that agree with each other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.specs import Scalar
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.inputs import stretched_prepare
from matchers.sfnet import affine, training
from matchers.sfnet.affine import make_views, own_positions
from matchers.sfnet.spec import PUBLISHED as PUBLISHED_INPUT
from matchers.sfnet.spec import SOURCE
from matchers.sfnet.training import Adaptations, Direction, FrozenBackbone, both_directions, look_up
from matchers.training.objective import Batch, Losses, Objective, ParameterGroups, Tensors, TrainingSettings


class TrainedSFNet(nn.Module):
    """A frozen backbone and the adaptations of two of its layers."""

    def __init__(self, backbone: FrozenBackbone, adaptations: Adaptations) -> None:
        super().__init__()
        self.backbone, self.adaptations = backbone, adaptations

    def forward(self, pixels: Tensor) -> training.Levels:
        """Adapted features of pictures (B, 3, s, s)."""
        adapted: training.Levels = self.adaptations(self.backbone(pixels))
        return adapted


def make_network(tensors: Tensors, settings: TrainingSettings) -> TrainedSFNet:
    """A backbone filled with tensors, and new adaptations of its features."""
    backbone = training.make_backbone(tensors, settings)
    return TrainedSFNet(backbone, Adaptations(backbone.channels, settings))


def groups(network: nn.Module) -> ParameterGroups:
    """The adaptations alone are trained."""
    assert isinstance(network, TrainedSFNet)
    return ParameterGroups(list(network.adaptations.parameters()))


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """Weighted sum of the three losses. Both pictures of each pair are used, each by itself."""
    if batch.source_mask is None or batch.target_mask is None:
        raise ValueError("sfnet's loss needs masks; its supervision is 'masks'")
    pictures = torch.cat([batch.source, batch.target])
    masks = torch.cat([batch.source_mask, batch.target_mask])
    views = make_views(pictures, masks, settings, generator)
    assert views.source_mask is not None and views.target_mask is not None
    levels = [network(pixels) for pixels in (views.source, views.target)]
    directions = both_directions(levels[0], levels[1], settings)
    cells = (levels[0][0].shape[2], levels[0][0].shape[3])
    # The share of a cell that the object fills.
    shares = [F.adaptive_avg_pool2d(mask, cells) for mask in (views.source_mask, views.target_mask)]
    parts = consistency(directions, (shares[0], shares[1]))
    total = sum(settings.number(f"{name}_weight") * part for name, part in parts.items())
    assert isinstance(total, Tensor)
    return {"loss": total, **parts}


def consistency(directions: tuple[Direction, Direction], masks: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """The losses of masks, of flows there and back, and of smoothness: sums of both directions' means.

    Args:
        directions: source to target, and back.
        masks: (B, 1, h, w) of source and target.
    """
    own = own_positions((masks[0].shape[2], masks[0].shape[3]), masks[0])
    flows = [direction.flow(own) for direction in directions]
    losses = {name: masks[0].new_zeros(()) for name in ("mask", "flow", "smooth")}
    for here, there in ((0, 1), (1, 0)):
        mask, flow, grid = masks[here], flows[here], directions[here].grid
        losses["mask"] = losses["mask"] + (mask - look_up(masks[there], grid)).square().mean()
        # There and back again: the two flows cancel each other.
        round_trip = (flow + look_up(flows[there], grid)).square().sum(1, keepdim=True)
        losses["flow"] = losses["flow"] + mean_inside(round_trip, mask)
        losses["smooth"] = losses["smooth"] + mean_inside(_steps(flow), mask)
    return losses


def mean_inside(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of each pair's values (B, 1, h, w) over its mask (B, 1, h, w), and over the pairs."""
    area = mask.sum((1, 2, 3))
    return ((values * mask).sum((1, 2, 3)) / area.clamp(min=1)).mean()


def _steps(flow: Tensor) -> Tensor:
    """(B, 1, h, w) absolute differences of flows (B, 2, h, w) to the right and downwards, added up."""
    across = F.pad((flow[..., :, 1:] - flow[..., :, :-1]).abs(), (0, 1))
    down = F.pad((flow[..., 1:, :] - flow[..., :-1, :]).abs(), (0, 0, 0, 1))
    return (across + down).sum(1, keepdim=True)


def checkpoint(network: nn.Module, settings: TrainingSettings) -> tuple[Tensors, Mapping[str, Scalar]]:
    """The adaptations' tensors, as in the authors' file, and what their shapes do not tell."""
    assert isinstance(network, TrainedSFNet)
    return network.adaptations.checkpoint(), file_settings(settings)


def file_settings(settings: TrainingSettings) -> dict[str, Scalar]:
    """Settings of a checkpoint's file."""
    return {
        "image_size": settings.image_size,
        "border": settings.border,
        "layer": settings.whole("layer"),
    }


PUBLISHED = TrainingSettings(
    supervision="masks",
    image_size=PUBLISHED_INPUT[0],
    border=PUBLISHED_INPUT[1],
    optimizer="adam",
    rate=3e-5,
    # Two pictures each.
    batch=8,
    epochs=40,
    milestones=(30,),
    factor=0.2,
    options={
        **training.OPTIONS,
        "mask_weight": 3.0,
        "flow_weight": 16.0,
        "smooth_weight": 0.5,
        **affine.OPTIONS,
    },
)

SMALL = PUBLISHED.model_copy(
    update={
        "image_size": 176,
        "border": 8,
        "rate": 1e-3,
        "batch": 4,
        "epochs": None,
        "steps": 500,
        "milestones": (375,),
        "options": {**PUBLISHED.options, "layer": 2, "third_kernel": 3, "fourth_kernel": 1},
    }
)

OBJECTIVE = Objective(
    method="sfnet",
    source=SOURCE,
    read_start=lambda path: read_checkpoint(path).tensors,
    published=PUBLISHED,
    small=SMALL,
    prepare=lambda settings: stretched_prepare(settings.image_size, settings.border),
    make_network=make_network,
    groups=groups,
    loss=lose,
    checkpoint=checkpoint,
    option_help={
        **training.OPTION_HELP,
        "mask_weight": "weight of the difference between a mask and the other view's, looked up by the flow",
        "flow_weight": "weight of the squared way there and back",
        "smooth_weight": "weight of differences between neighbouring cells' flows",
        **affine.OPTION_HELP,
    },
    notes=(
        "Weights of the losses, optimiser, rates and epochs are the authors'. The reach of the random maps, "
        "the number of pairs in a step and the masks of cells, which are means over their pixels, are ours. "
        "Positions are counted from -1 to 1 across the input. The authors train on masks of PASCAL VOC 2012."
    ),
)
