"""Names of the files that a training leaves in its folder, and of those of the authors' release."""

from __future__ import annotations

BEST = "best.safetensors"
"""The prompt with the best PCK on the validation pairs; the newest one without validation."""

LAST = "last.safetensors"
"""The newest prompt of a training."""

CHECKPOINT = "checkpoint.pt"
"""Everything that a training goes on from."""

RECORD, LOG, TENSORBOARD = "record.json", "log.jsonl", "tensorboard"
"""A training's record, its losses and PCK line by line, and the folder of its scalars for TensorBoard."""

RELEASE_PROMPTS = "caption.pt"
"""Prompts of the release: Single and Class."""

RELEASE_MODULE = "ckpt.pt"
"""A conditional prompting module of the release."""
