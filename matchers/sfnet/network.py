"""SFNet's layers beside the backbone, and its correlation. Names of tensors are those of its checkpoint."""

from __future__ import annotations

from torch import Tensor, nn

from matchers.formulas import correlate, normalize_features, resize_corners


class Adaptation(nn.Module):
    """Adapts features of a frozen backbone in two stages: x + ReLU(BN(conv(x))), channels unchanged.

    Args:
        channels: of the features.
        kernel: side of the convolutions, an odd number: 5 for the third level, 3 for the fourth.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv1 = _stage(channels, kernel)
        self.conv2 = _stage(channels, kernel)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        first = features + self.conv1(features)
        adapted: Tensor = first + self.conv2(first)
        return adapted


def _stage(channels: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())


def rectified_cosines(source: Tensor, target: Tensor) -> Tensor:
    """Cosines (B, h, w, h', w') of maps (B, C, h, w) and (B, C, h', w'); negative ones are 0."""
    return correlate(normalize_features(source), normalize_features(target)).relu()


def correlate_levels(source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
    """Products (B, h, w, h', w') of the rectified cosines of both levels.

    Args:
        source, target: adapted maps of the third and of the fourth level, which is resized to the third's
            cells here.
    """
    third = rectified_cosines(source[0], target[0])
    deep_source, deep_target = (
        resize_corners(deep, (fine.shape[-2], fine.shape[-1])) for fine, deep in (source, target)
    )
    return third * rectified_cosines(deep_source, deep_target)


def normalize_rows(correlation: Tensor) -> Tensor:
    """Correlations (B, h, w, h', w') with the scores of each source cell over their L2 norm."""
    flat = correlation.flatten(3)
    return normalize_features(flat, dim=3).view_as(correlation)
