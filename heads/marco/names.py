"""Names and sizes that listing needs, too: importing this module does not import torch."""

from __future__ import annotations

from fractions import Fraction

from baselines.sources import DINOV2_LARGE_REGISTERS

SOURCE = "marco"
"""Name of the weight source."""

BACKBONE = DINOV2_LARGE_REGISTERS
"""Name of the backbone's weight source."""

FACTOR = Fraction(770, 518)
"""Side of the input over the backbone's native one: 770 pixels for the published network."""
