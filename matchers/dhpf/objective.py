"""DHPF's training with keypoints: cross-entropy of correlation rows, and gates that open often enough."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from harness.frames import Frame, Size
from harness.specs import Lattice, Matches, Scalar
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.inputs import stretched_prepare
from matchers.backbones.resnet import ResNet
from matchers.dhpf.checkpoint import PUBLISHED_SIZE, read_all_levels
from matchers.dhpf.correlation import correlate_appearance
from matchers.dhpf.hough import HoughSpace
from matchers.dhpf.matcher import LATTICE
from matchers.dhpf.network import STRIDE, Learner, Widths, global_means
from matchers.dhpf.spec import DHPF
from matchers.formulas import resize_corners
from matchers.localizers.boxes import Boxes
from matchers.training.objective import Batch, Losses, Objective, ParameterGroups, Tensors, TrainingSettings


class TrainedDhpf(nn.Module):
    """A frozen backbone and the learner, whose correlations of a batch have gradients."""

    def __init__(self, backbone: ResNet, learner: Learner) -> None:
        super().__init__()
        self.backbone, self.learner = backbone.eval().requires_grad_(False), learner

    def train(self, mode: bool = True) -> TrainedDhpf:
        """Sets the learner's mode; the backbone stays as it was published."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, source: Tensor, target: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Correlations (B, S, T), and for each pair and level (B, levels) whether it is taken.

        Both have gradients.

        Args:
            noise: (B, levels, 2), Gumbel distributed.
        """
        with torch.no_grad():
            encoded = [read_all_levels(self.backbone, pixels) for pixels in (source, target)]
        scores = self.learner.gate_scores(*(global_means(levels) for levels in encoded))
        gates = choose_with_gradient(scores + noise)
        size = (encoded[0][0].shape[2], encoded[0][0].shape[3])
        features = [self._features(levels, gates, size) for levels in encoded]
        correlations = []
        for source_features, target_features in zip(*features, strict=True):
            correlations.append(self._correlate(source_features, target_features, source.shape[-1], size[1]))
        return torch.stack(correlations), gates

    def _features(self, levels: list[Tensor], gates: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, C, cells) of all levels, zeros for those that a pair leaves out."""
        reduced = self.learner.reduce(levels)
        gated = []
        for number, level in enumerate(reduced):
            gated.append(resize_corners(level, size) * gates[:, number, None, None, None])
        return torch.cat(gated, dim=1).flatten(2)

    def _correlate(self, source: Tensor, target: Tensor, side: int, cells: int) -> Tensor:
        """(S, T) of one pair, with the votes as a constant factor."""
        correlation = correlate_appearance(source, target)
        with torch.no_grad():
            votes = HoughSpace(side, cells, correlation).all_scores(correlation)
        return correlation * votes


def choose_with_gradient(scores: Tensor) -> Tensor:
    """Gates (B, levels) of scores (B, levels, 2): 1 or 0, with the gradient of their softmax.

    Where a pair opens none, the stem's level is taken, and nothing is learned from that.
    """
    soft = scores.softmax(-1)[..., 1]
    hard = (scores[..., 1] > scores[..., 0]).to(soft)
    gates = hard + soft - soft.detach()
    is_none_open = hard.sum(1) == 0
    stem = torch.where(is_none_open, torch.ones_like(gates[:, 0]), gates[:, 0])
    return torch.cat([stem[:, None], gates[:, 1:]], dim=1)


def draw_gumbel(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    """Gumbel distributed noise."""
    exponential = torch.empty(shape).exponential_(generator=generator)
    return -exponential.log().to(like)


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """Cross-entropy at the keypoints plus the distance of the gates' rates from the wanted one."""
    assert isinstance(network, TrainedDhpf)
    count = len(network.learner.widths.channels)
    noise = draw_gumbel((len(batch), count, 2), generator, batch.source)
    correlations, gates = network(batch.source, batch.target, noise)
    per_pair = []
    for pair, correlation in enumerate(correlations):
        points = batch.source_points[pair], batch.target_points[pair]
        per_pair.append(keypoint_loss(correlation, *points, batch.source.shape[-1], settings))
    match = torch.stack(per_pair).mean()
    rates = gates.mean(0)
    selection = (rates - settings.number("selection_rate")).square().sum()
    return {"loss": match + selection, "match": match, "selection": selection, "rate": rates.mean()}


def keypoint_loss(
    correlation: Tensor, source: Tensor, target: Tensor, side: int, settings: TrainingSettings
) -> Tensor:
    """Mean cross-entropy of a pair's rows (S, T) at its keypoints (N, 2), input pixels.

    A row, brought to mean 0 and variance 1, is the logits of the target's cells; the right one is the cell
    nearest to the keypoint. Points that are predicted within the threshold already weigh less: by the square
    of their distance over it.
    """
    cells = round(len(correlation) ** 0.5)
    rows = correlation[nearest_cell_numbers(source, cells)]
    deviation = rows.std(1, keepdim=True)
    logits = (rows - rows.mean(1, keepdim=True)) / torch.where(deviation == 0, 1, deviation)
    expected = nearest_cell_numbers(target, cells)
    losses = torch.nn.functional.cross_entropy(logits, expected, reduction="none")
    with torch.no_grad():
        predicted = read_points(correlation, source, side)
        distances = torch.linalg.vector_norm(predicted - target, dim=1)
        weights = (distances / (settings.number("threshold") * side)).clamp(max=1).square()
    mean: Tensor = (losses * weights).mean()
    return mean


def nearest_cell_numbers(points: Tensor, cells: int) -> Tensor:
    """Numbers, row by row, of the cells whose centres are nearest to points (N, 2), input pixels."""
    columns, rows = (points / STRIDE).round().long().clamp(0, cells - 1).unbind(1)
    return rows * cells + columns


def read_points(correlation: Tensor, points: Tensor, side: int) -> Tensor:
    """Where DHPF's reading takes points (N, 2): input pixels to input pixels."""
    cells = round(len(correlation) ** 0.5)
    lattice = Lattice(Frame.unchanged(Size(side, side)), Size(cells, cells), LATTICE)
    matches = Matches(lattice, lattice, volume=correlation.view((cells,) * 4))
    return Boxes().read(matches, points.double()).points.to(points)


def make_network(tensors: Tensors, settings: TrainingSettings) -> TrainedDhpf:
    """A backbone filled with tensors, and a new learner for its levels."""
    backbone = ResNet.like(tensors).load(tensors)
    widths = Widths.chosen(backbone.channels, settings.whole("reduction"), settings.whole("hidden"))
    return TrainedDhpf(backbone, Learner(widths))


def groups(network: nn.Module) -> ParameterGroups:
    """The learner alone is trained."""
    assert isinstance(network, TrainedDhpf)
    return ParameterGroups(list(network.learner.parameters()))


def checkpoint(network: nn.Module, settings: TrainingSettings) -> tuple[Tensors, Mapping[str, Scalar]]:
    """The learner's tensors, as in the authors' files, and the size of the input."""
    assert isinstance(network, TrainedDhpf)
    return network.learner.state_dict(), {"image_size": settings.image_size}


PUBLISHED = TrainingSettings(
    supervision="keypoints",
    image_size=PUBLISHED_SIZE,
    optimizer="sgd",
    rate=0.03,
    momentum=0.5,
    batch=8,
    epochs=5,
    options={"reduction": 8, "hidden": 32, "selection_rate": 0.5, "threshold": 0.1},
)

SMALL = PUBLISHED.model_copy(
    update={
        "image_size": 96,
        "epochs": None,
        "steps": 500,
        "options": {**PUBLISHED.options, "reduction": 2, "hidden": 16},
    }
)

OBJECTIVE = Objective(
    method=DHPF,
    source=DHPF,
    read_start=lambda path: read_checkpoint(path).tensors,
    published=PUBLISHED,
    small=SMALL,
    prepare=lambda settings: stretched_prepare(settings.image_size),
    make_network=make_network,
    groups=groups,
    loss=lose,
    checkpoint=checkpoint,
    option_help={
        "reduction": "channels of a level over those that are left of it",
        "hidden": "width of the gates",
        "selection_rate": "share of pairs in which each gate is to open",
        "threshold": "distance, over the input's side, below which a keypoint weighs less",
    },
    notes=(
        "Follows the strong supervision of the paper. Its threshold is a tenth of the object's longer side; "
        "here it is a tenth of the input's, since batches have no boxes. Epochs are those for SPair-71k; "
        "PF-Pascal's are 100."
    ),
)
