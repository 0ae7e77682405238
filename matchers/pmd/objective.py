"""PMD's weak training: a teacher that knows how sure it is, and a student that learns from it.

After the idea of Li et al. (CVPR 2021), without following their program: a probabilistic teacher learns from
views of one picture, whose correspondence is known; a student then learns from the teacher's answers for
pairs of different pictures, each weighted by how far it can be trusted.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from harness.specs import Scalar
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.inputs import stretched_prepare
from matchers.pmd.matcher import ATTENTION
from matchers.pmd.network import ChannelAttention, attend
from matchers.pmd.spec import PUBLISHED as PUBLISHED_INPUT
from matchers.pmd.spec import SOURCE
from matchers.sfnet import affine, training
from matchers.sfnet.affine import make_views, own_positions
from matchers.sfnet.objective import file_settings
from matchers.sfnet.training import Adaptations, Direction, FrozenBackbone, Levels, both_directions, look_up
from matchers.training.objective import Batch, Losses, Objective, ParameterGroups, Tensors, TrainingSettings

SMALLEST_VARIANCE = 1e-3
"""Added to the teacher's variances, in squares of half the input's side: about a third of a cell."""


class Head(nn.Module):
    """All of PMD beside the backbone."""

    def __init__(self, channels: list[int], settings: TrainingSettings) -> None:
        super().__init__()
        self.adaptations = Adaptations(channels, settings)
        self.attention = ChannelAttention(channels[1])

    def forward(
        self, source: Levels, target: Levels, settings: TrainingSettings
    ) -> tuple[Direction, Direction]:
        """Where the authors' source cells lie in their target, and back, from the backbone's features."""
        both = self.adaptations(
            tuple(torch.cat([here, there]) for here, there in zip(source, target, strict=True))
        )
        (third_source, third_target), (deep_source, deep_target) = (level.chunk(2) for level in both)
        deep_source, deep_target = attend(self.attention, deep_source, deep_target)
        return both_directions((third_source, deep_source), (third_target, deep_target), settings)


class TrainedPmd(nn.Module):
    """A frozen backbone, the teacher, and the student that is kept."""

    def __init__(self, backbone: FrozenBackbone, teacher: Head, student: Head) -> None:
        super().__init__()
        self.backbone, self.teacher, self.student = backbone, teacher, student


def make_network(tensors: Tensors, settings: TrainingSettings) -> TrainedPmd:
    """A backbone filled with tensors, and two new heads."""
    backbone = training.make_backbone(tensors, settings)
    teacher, student = (Head(backbone.channels, settings) for _ in range(2))
    student.load_state_dict(teacher.state_dict())
    return TrainedPmd(backbone, teacher, student)


def groups(network: nn.Module) -> ParameterGroups:
    """Both heads; in a step only one of them has gradients."""
    assert isinstance(network, TrainedPmd)
    return ParameterGroups([*network.teacher.parameters(), *network.student.parameters()])


def is_teaching(batch: Batch, settings: TrainingSettings) -> bool:
    """Whether the teacher is ready, and teaches the student."""
    return batch.step >= round(settings.number("teacher_share") * batch.steps)


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """The teacher's loss on views of one picture; later the student's on the pairs, and on such views."""
    assert isinstance(network, TrainedPmd)
    views = make_views(torch.cat([batch.source, batch.target]), None, settings, generator)
    levels = [network.backbone(pixels) for pixels in (views.source, views.target)]
    cells = (levels[0][0].shape[2], levels[0][0].shape[3])
    goals, is_known = views.goals(cells)
    if not is_teaching(batch, settings):
        directions = network.teacher(*levels, settings)
        likelihood = unlikelihood(directions[0], goals, is_known)
        return {"loss": likelihood, "teacher": likelihood, "error": distance(directions[0], goals, is_known)}
    network.teacher.eval()
    # The authors look up points of their target: it is the source here.
    pair = [network.backbone(pixels) for pixels in (batch.target, batch.source)]
    with torch.no_grad():
        taught = network.teacher(*pair, settings)
    learned = network.student(*pair, settings)
    distilled, trusted = distill(taught, learned, settings)
    known = distance(network.student(*levels, settings)[0], goals, is_known)
    loss = settings.number("pair_weight") * distilled + settings.number("view_weight") * known
    return {"loss": loss, "student": distilled, "trusted": trusted, "error": known}


def unlikelihood(direction: Direction, goals: Tensor, is_known: Tensor) -> Tensor:
    """Negative log-likelihood of known places under normal distributions of the teacher's mean and variance.

    Args:
        goals, is_known: (B, h, w, 2) places, and (B, h, w) where they are known.
    """
    variance = direction.variance + SMALLEST_VARIANCE
    squares = (direction.grid - goals).square().sum(-1)
    # In two dimensions, with half the variance in each.
    return _mean_where(squares / variance + variance.log(), is_known)


def distance(direction: Direction, goals: Tensor, is_known: Tensor) -> Tensor:
    """Mean distance from known places, in half sides of the input."""
    squares = (direction.grid - goals).square().sum(-1)
    return _mean_where((squares + 1e-8).sqrt(), is_known)


def distill(
    taught: tuple[Direction, Direction], learned: tuple[Direction, Direction], settings: TrainingSettings
) -> tuple[Tensor, Tensor]:
    """Mean distance of the student's places from the teacher's, weighted by trust, and the mean trust."""
    total = weights = taught[0].variance.new_zeros(())
    for here, there in ((0, 1), (1, 0)):
        trust = trust_in(taught[here], taught[there], settings.number("trust"))
        distances = ((learned[here].grid - taught[here].grid).square().sum(-1) + 1e-8).sqrt()
        total, weights = total + (trust * distances).sum(), weights + trust.sum()
    cells = taught[0].variance.numel() + taught[1].variance.numel()
    return total / weights.clamp(min=1), weights / cells


def trust_in(direction: Direction, back: Direction, reach: float) -> Tensor:
    """Weights (B, h, w) of 0 to 1 of the teacher's places: less for vague ones, and where no way leads back.

    exp(-(variance + squared distance after the way there and back) / (2 reach^2)).
    """
    own = own_positions((direction.variance.shape[1], direction.variance.shape[2]), direction.variance)
    way_back = look_up(back.flow(own), direction.grid)
    round_trip = (direction.flow(own) + way_back).square().sum(1)
    return (-(direction.variance + round_trip) / (2 * reach**2)).exp()


def _mean_where(values: Tensor, is_known: Tensor) -> Tensor:
    """Mean of values (B, h, w) where they are known."""
    return (values * is_known).sum() / is_known.sum().clamp(min=1)


def hand_over(network: nn.Module, batch: Batch, settings: TrainingSettings) -> None:
    """Makes the student the teacher's copy as long as the teacher learns: it goes on from there."""
    assert isinstance(network, TrainedPmd)
    if not is_teaching(batch, settings):
        network.student.load_state_dict(network.teacher.state_dict())


def checkpoint(network: nn.Module, settings: TrainingSettings) -> tuple[Tensors, Mapping[str, Scalar]]:
    """The student's tensors, as in the authors' file, and what their shapes do not tell."""
    assert isinstance(network, TrainedPmd)
    head = network.student
    attention = {f"{ATTENTION}.{name}": tensor for name, tensor in head.attention.state_dict().items()}
    return {**head.adaptations.checkpoint(), **attention}, file_settings(settings)


PUBLISHED = TrainingSettings(
    supervision="image-pairs",
    image_size=PUBLISHED_INPUT[0],
    border=PUBLISHED_INPUT[1],
    optimizer="adam",
    rate=3e-5,
    batch=8,
    epochs=40,
    milestones=(30,),
    factor=0.2,
    options={
        **training.OPTIONS,
        "teacher_share": 0.5,
        "pair_weight": 1.0,
        "view_weight": 1.0,
        "trust": 0.15,
        **affine.OPTIONS,
    },
)

SMALL = PUBLISHED.model_copy(
    update={
        "image_size": 160,
        "rate": 1e-3,
        "batch": 4,
        "epochs": None,
        "steps": 500,
        "milestones": (375,),
        "options": {**PUBLISHED.options, "layer": 2, "third_kernel": 3, "fourth_kernel": 1},
    }
)

OBJECTIVE = Objective(
    method="pmd",
    source=SOURCE,
    read_start=lambda path: read_checkpoint(path).tensors,
    published=PUBLISHED,
    small=SMALL,
    prepare=lambda settings: stretched_prepare(settings.image_size, settings.border),
    make_network=make_network,
    groups=groups,
    loss=lose,
    after_step=hand_over,
    checkpoint=checkpoint,
    option_help={
        **training.OPTION_HELP,
        "teacher_share": "share of the steps in which the teacher learns; then it teaches",
        "pair_weight": "weight of the student's distance from the teacher's places, on pairs",
        "view_weight": "weight of the student's distance from known places, on views of one picture",
        "trust": "spread of a teacher's place, in half sides of the input, that leaves 0.6 of its weight",
        **affine.OPTION_HELP,
    },
    notes=(
        "Ours, after the paper's idea: a teacher with a variance for each place, learned from views of one "
        "picture, and a student that learns from its places on pairs, weighted by variance and by the way "
        "there and back. Forms and weights of the losses, the order of teacher and student, and all settings "
        "are ours or SFNet's; the authors' weak training was not followed line by line."
    ),
)
