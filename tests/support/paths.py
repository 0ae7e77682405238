"""Folders that tests read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The project."""

VECTORS = ROOT / "tests" / "conformance" / "vectors"
"""Inputs and what the authors' own code gives for them."""

PIPELINE = VECTORS / "sd_pipeline"
"""A small Stable Diffusion with random weights."""
