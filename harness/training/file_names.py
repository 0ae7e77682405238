"""Names of the files that a training leaves in its folder."""

from __future__ import annotations

BEST = "best.safetensors"
"""What had the best PCK on the validation pairs; the newest without validation."""

LAST = "last.safetensors"
"""What the newest step left."""

CHECKPOINT = "checkpoint.pt"
"""Everything that a training goes on from."""

RECORD, LOG, TENSORBOARD = "record.json", "log.jsonl", "tensorboard"
"""A training's record, its losses and PCK line by line, and the folder of its scalars for TensorBoard."""
