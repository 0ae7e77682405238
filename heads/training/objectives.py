"""Which heads can be trained, and where the objective of each stands. Imports nothing heavy."""

from __future__ import annotations

MODULES: dict[str, str] = {}
"""Method -> the module with its OBJECTIVE, a `matchers.training.objective.Objective`."""
