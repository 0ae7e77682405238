"""The published ResNet, and the level of it that is read without anybody's choice."""

from __future__ import annotations

RESNET101 = "resnet101"
"""Name of the weight source of torchvision's first ResNet-101."""

IMAGE_SIZE = 256
"""Side in pixels that pictures are stretched to, unless a user says otherwise."""

LAYER = 3
"""The layer whose last block is read, unless a user says otherwise."""
