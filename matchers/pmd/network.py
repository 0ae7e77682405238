"""PMD's attention over channels. Names of tensors are those of its checkpoint."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChannelAttention(nn.Module):
    """Factors of 0.5 to 1 for one picture's channels, from the mean features of both pictures.

    Args:
        channels: of each picture's features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(2 * channels, channels, kernel_size=1)
        self.mu_conv = nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())

    def forward(self, features: Tensor, other: Tensor) -> Tensor:
        """Features (B, C, h, w) and those of the other picture -> (B, C, 1, 1).

        The sigmoid follows a ReLU, so no channel loses more than half.
        """
        both = torch.cat([features.mean((2, 3), keepdim=True), other.mean((2, 3), keepdim=True)], dim=1)
        attention: Tensor = self.mu_conv(both).sigmoid()
        return attention


def attend(attention: ChannelAttention, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Scales the channels of the fourth level: the source first, then the target, by the scaled source.

    The order matters: source and target are the authors', who look up points of the target.
    """
    source = source * attention(source, target)
    return source, target * attention(target, source)
