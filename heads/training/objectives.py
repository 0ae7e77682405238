"""Which heads can be trained, and where the objective of each stands. Imports nothing heavy."""

from __future__ import annotations

MODULES = {
    "geoaware-sc": "heads.geoaware.objective",
    "diy-sc": "heads.diy.objective",
    "diy-sc-sd-dino": "heads.diy.objective_on_sd_dino",
    "marco": "heads.marco.objective",
    "hyperfeatures": "heads.hyperfeatures.objective_at_many_steps",
    "hyperfeatures-one-step": "heads.hyperfeatures.objective",
}
"""Method -> the module with its OBJECTIVE, a `matchers.training.objective.Objective`."""
