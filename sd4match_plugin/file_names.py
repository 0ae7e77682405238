"""Names of the files of the authors' release."""

from __future__ import annotations

RELEASE_PROMPTS = "caption.pt"
"""Prompts of the release: Single and Class."""

RELEASE_MODULE = "ckpt.pt"
"""A conditional prompting module of the release."""
