"""Names that listing needs, too: importing this module does not import torch."""

from __future__ import annotations

from typing import Literal

SOURCE = "simsc"
"""Name of the weight source."""

Kind = Literal["single", "mlp", "per-pixel"]
"""Kind of temperature: one for all pictures, one for each pair, or one for each source cell."""
