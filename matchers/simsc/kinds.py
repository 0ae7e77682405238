"""Kinds of temperature. A module of its own, since listing imports it without torch."""

from __future__ import annotations

from typing import Literal

Kind = Literal["single", "mlp", "per-pixel"]
"""One temperature for all pictures, one for each pair, or one for each source cell."""
