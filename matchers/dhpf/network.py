"""The learned part of DHPF: per level a reduction of the channels, and a gate that looks at both images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

STRIDE = 4
"""Pixels from one cell of the correlation to the next: the step of a ResNet's stem."""

PUBLISHED_CHANNELS = (64, *[256] * 3, *[512] * 4, *[1024] * 23, *[2048] * 3)
"""Of the levels of a ResNet-101."""

PUBLISHED_REDUCTION = 8
"""The authors divide each level's channels by it."""

PUBLISHED_HIDDEN = 32
"""Width of the authors' gates."""


@dataclass(frozen=True)
class Widths:
    """Sizes that follow from a checkpoint's tensors.

    Attributes:
        channels: of each level of the backbone.
        reduced: of each level after its reduction.
        hidden: of each level's gate.
    """

    channels: tuple[int, ...]
    reduced: tuple[int, ...]
    hidden: tuple[int, ...]

    @classmethod
    def chosen(cls, channels: Sequence[int], reduction: int, hidden: int) -> Widths:
        """Widths of a new network: channels are divided by `reduction`."""
        reduced = tuple(max(1, width // reduction) for width in channels)
        return cls(tuple(channels), reduced, (hidden,) * len(channels))

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Widths:
        """Widths of a checkpoint.

        Where its tensors are another network's, the published widths, or a gate's that it does not have:
        filling the network then names what is missing.
        """
        reductions = _by_level(tensors, "reduction_ffns.{}.0.weight")
        if not reductions:
            return cls.chosen(PUBLISHED_CHANNELS, PUBLISHED_REDUCTION, PUBLISHED_HIDDEN)
        gates = _by_level(tensors, "gumbel_ffns.{}.0.weight")
        hidden = [weight.shape[0] for weight in gates] + [PUBLISHED_HIDDEN] * len(reductions)
        return cls(
            channels=tuple(weight.shape[1] for weight in reductions),
            reduced=tuple(weight.shape[0] for weight in reductions),
            hidden=tuple(hidden[: len(reductions)]),
        )


class Learner(nn.Module):
    """Reductions and gates of all levels, under the names of the authors' checkpoints."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.widths = widths
        reductions, gates = [], []
        for channels, reduced in zip(widths.channels, widths.reduced, strict=True):
            reductions.append(
                nn.Sequential(nn.Conv2d(channels, reduced, 1, bias=False), nn.BatchNorm2d(reduced), nn.ReLU())
            )
        for channels, hidden in zip(widths.channels, widths.hidden, strict=True):
            gates.append(
                nn.Sequential(
                    nn.Conv2d(channels, hidden, 1, bias=False),
                    nn.BatchNorm2d(hidden),
                    nn.ReLU(),
                    nn.Conv2d(hidden, 2, 1, bias=False),
                )
            )
        self.reduction_ffns = nn.ModuleList(reductions)
        self.gumbel_ffns = nn.ModuleList(gates)

    def reduce(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Levels (B, C, h, w) of the backbone with fewer channels, each at its own size."""
        return [layer(level) for layer, level in zip(self.reduction_ffns, levels, strict=True)]

    def gate_scores(self, source: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """Scores (B, levels, 2) of leaving a level out and of taking it.

        Args:
            source, target: means (B, C) of each level over both images.
        """
        scores = []
        for gate, source_mean, target_mean in zip(self.gumbel_ffns, source, target, strict=True):
            both = (source_mean + target_mean)[:, :, None, None]
            scores.append(gate(both)[:, :, 0, 0])
        return torch.stack(scores, dim=1)


def open_gates(scores: Tensor) -> Tensor:
    """Says of each level whether its gate is open: (..., levels) of gate scores (..., levels, 2)."""
    return scores[..., 1] > scores[..., 0]


def taken_levels(are_open: Tensor) -> list[int]:
    """Numbers of the levels that one pair takes, of its gates (levels): the stem alone where none is open."""
    numbers: list[int] = are_open.nonzero()[:, 0].tolist()
    return numbers or [0]


def global_means(levels: Sequence[Tensor]) -> list[Tensor]:
    """Means (B, C) of levels (B, C, h, w) over their cells."""
    return [level.mean((2, 3)) for level in levels]


def _by_level(tensors: Mapping[str, Tensor], pattern: str) -> list[Tensor]:
    """Convolution kernels of levels 0, 1, ..., as far as there are some."""
    kernels: list[Tensor] = []
    while (kernel := tensors.get(pattern.format(len(kernels)))) is not None and kernel.ndim == 4:
        kernels.append(kernel)
    return kernels
