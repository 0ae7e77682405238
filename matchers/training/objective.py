"""What each method's `objective.py` is written against: settings, batches, and the parts of an objective.

A batch is in the dataset's direction, source and target as its pairs have them. A loss that the authors state
for networks that look up target points swaps the roles itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import PIL.Image
import pydantic
import torch
from torch import Tensor, nn

from harness.frames import Frame, Size
from harness.specs import FeatureMap, ImageRequest, MakeContext, Scalar
from matchers.backbones.inputs import square_frame

Supervision = Literal["keypoints", "image-pairs", "masks"]
"""All that a loss may look at besides the pictures.

`image-pairs`: that both pictures show one category, and which pictures show another; `masks`: the object's
pixels; `keypoints`: the points that both pictures share.
"""


class TrainingSettings(pydantic.BaseModel):
    """The settings of a training. The defaults are no method's: each objective states its own.

    Attributes:
        supervision: what the loss looks at.
        image_size: side of the network's square input in pixels, its border included.
        border: empty pixels on each side of the input, within `image_size`; points are moved by them.
        optimizer: `adam` couples weight decay to the gradient, `adamw` does not.
        rate, backbone_rate: learning rates of the head and of the backbone; a backbone of rate 0 is frozen.
        momentum: of `sgd`.
        batch: pairs of a step.
        steps, epochs: length of the training, in one of the two; an epoch is one pass over the pairs.
        milestones, factor: after so many of those steps or epochs, rates are multiplied by `factor`.
        decay: `milestones`, `cosine` from the full rate down to nothing, or `one-cycle`: from a 25th of the
            rate up to it within three tenths of the steps, and down to next to nothing, along cosines.
        clip: largest norm of all gradients together; None for no limit.
        colours: whether pictures' colours are changed at random (`matchers.training.colours`).
        options: the method's own scalars, such as weights of losses, widths and temperatures.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    supervision: Supervision
    image_size: int
    border: int = 0
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    rate: float
    backbone_rate: float = 0.0
    weight_decay: float = 0.0
    momentum: float = 0.0
    batch: int
    steps: int | None = None
    epochs: int | None = None
    milestones: tuple[int, ...] = ()
    factor: float = 1.0
    decay: Literal["milestones", "cosine", "one-cycle"] = "milestones"
    clip: float | None = None
    colours: bool = False
    options: Mapping[str, Scalar] = {}

    def number(self, name: str) -> float:
        """An option's value as a fraction."""
        return float(str(self.options[name]))

    def whole(self, name: str) -> int:
        """An option's value as a whole number."""
        return int(str(self.options[name]))


@dataclass(frozen=True, eq=False)
class Batch:
    """B pairs, as a network is fed them.

    Attributes:
        source, target: (B, 3, s, s) float32 inputs of the network, as `Objective.prepare` gives them; for an
            objective with `features`, (B, C, h, w) features in their place.
        source_points, target_points: per pair (N, 2) float32 (x, y) in pixels of the picture's frame, which
            is `TrainingSettings.image_size` wide and high: without a border the whole of a stretched picture,
            with padding a part of it. Row i of both is one keypoint, present in both pictures.
        source_mask, target_mask: (B, 1, s, s) float32, 1 on the object and 0 elsewhere; None unless the
            supervision is `masks`.
        categories: each pair's category.
        step, steps: steps done before this one, and steps in all.
        epoch: passes over the pairs done before this one, a whole number.
    """

    source: Tensor
    target: Tensor
    source_points: list[Tensor]
    target_points: list[Tensor]
    source_mask: Tensor | None
    target_mask: Tensor | None
    categories: tuple[str, ...]
    step: int = 0
    steps: int = 1
    epoch: int = 0

    def __len__(self) -> int:
        return len(self.categories)

    def negatives(self, generator: torch.Generator) -> Tensor:
        """For each pair, the row of a target of another category, drawn at random.

        Row by row -1 where the batch has no other category: such a row has no negative.
        """
        rows = []
        for category in self.categories:
            others = [row for row, name in enumerate(self.categories) if name != category]
            draw = int(torch.randint(max(1, len(others)), (), generator=generator))
            rows.append(others[draw] if others else -1)
        return torch.tensor(rows)


@dataclass(frozen=True)
class ParameterGroups:
    """The trained parameters of a network: those at the rate of the head, and those at the backbone's.

    Parameters in neither are frozen.
    """

    head: list[nn.Parameter]
    backbone: list[nn.Parameter] = field(default_factory=list)


Losses = dict[str, Tensor]
"""Named scalars of a step; `loss` is minimised, the others go to the log."""

Tensors = Mapping[str, Tensor]
"""Tensors by name."""


class Features(Protocol):
    """Frozen networks, made, which give the features of a picture that a head is trained on.

    Attributes:
        channels: of each level that the features hold, one after another.
        side: of the square in pixels that they are fed; `TrainingSettings.image_size` must be the same.
    """

    channels: tuple[int, ...]
    side: int

    def __call__(self, request: ImageRequest) -> FeatureMap:
        """Features (C, h, w), C the sum of `channels`, of a picture with its prompt; always the same."""


@dataclass(frozen=True, kw_only=True)
class FeatureSource:
    """Where a head's input comes from that is features and not pixels.

    They are made with the method's own parameters, and with the prompt of its recipe.

    Attributes:
        weights: names of the weight sources that are read, the prompt's left out.
        make: makes them.
    """

    weights: tuple[str, ...]
    make: Callable[[MakeContext], Features]


def stretched_frame(size: Size, settings: TrainingSettings) -> Frame:
    """The frame of a picture that is stretched to the input, less a border."""
    return square_frame(size, settings.image_size, settings.border)


def read_nothing(path: Path) -> Tensors:
    """Stands for an objective whose network begins with none of the start's tensors."""
    return {}


def prepare_nothing(settings: TrainingSettings) -> Callable[[PIL.Image.Image], Tensor]:
    """Stands for an objective that looks at features, and at no pixels."""
    raise TypeError("this network is fed features, not pixels")


def do_nothing(network: nn.Module, batch: Batch, settings: TrainingSettings) -> None:
    """Stands for an objective without anything to do after a step."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """How a method's network is trained. Each method's `objective.py` has one, named OBJECTIVE.

    Attributes:
        method: its name; validation runs this method's own recipe on the file as it is written.
        source: name of the weight source whose file a training makes; often the method's name.
        start: name of the weight source that a training starts from; unused where there are `features`.
        features: what the network is fed in place of pixels; None for pixels. Features of a picture are
            computed once, as far as memory reaches.
        read_start: its file or folder -> tensors by name, torchvision's for a ResNet.
        published: the authors' settings, as far as they are known.
        small: settings for the small backbone that comes with the package.
        prepare: settings -> the function from an RGB picture to (3, s, s) float32, normalised as the network
            wants it: the numbers that the method's extractor computes.
        frame: (size of a picture, settings) -> how `prepare` lays it into the square.
        make_network: (tensors of `start`, settings) -> the network, whose random numbers come from torch's
            global generator, which is seeded before. With `features`, the tensors are `level0`, `level1`...,
            empty ones of shape (C, 0, 0) that tell each level's channels.
        groups: network -> parameters to train.
        loss: (network, batch, settings, generator) -> losses. All random numbers come from the generator,
            which lives on the CPU and belongs to the step. The network is in training mode; a part that must
            not be (a frozen backbone's batch norm) is set by the network's own `train`.
        checkpoint: (network, settings) -> tensors in the names of the authors' file, and the settings that
            shapes do not tell, for `matchers.backbones.checkpoints.save_checkpoint`.
        after_step: called after each step of the optimiser, for a teacher that follows its student.
        option_help: option -> its meaning in one line.
        notes: where the loss departs from the authors' program, and why.
    """

    method: str
    source: str
    start: str = "resnet101"
    features: FeatureSource | None = None
    read_start: Callable[[Path], Tensors] = read_nothing
    published: TrainingSettings
    small: TrainingSettings
    prepare: Callable[[TrainingSettings], Callable[[PIL.Image.Image], Tensor]] = prepare_nothing
    frame: Callable[[Size, TrainingSettings], Frame] = stretched_frame
    make_network: Callable[[Tensors, TrainingSettings], nn.Module]
    groups: Callable[[nn.Module], ParameterGroups]
    loss: Callable[[nn.Module, Batch, TrainingSettings, torch.Generator], Losses]
    checkpoint: Callable[[nn.Module, TrainingSettings], tuple[Tensors, Mapping[str, Scalar]]]
    after_step: Callable[[nn.Module, Batch, TrainingSettings], None] = do_nothing
    option_help: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""
