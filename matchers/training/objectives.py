"""Which methods can be trained, and where the objective of each stands. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from harness.errors import UserError

if TYPE_CHECKING:
    from matchers.training.objective import Objective

MODULES = {
    "chm": "matchers.chm.objective",
    "transformatcher": "matchers.transformatcher.objective",
    "cats": "matchers.cats.objective",
    "scorrsan": "matchers.scorrsan.objective",
    "semimatch": "matchers.semimatch.objective",
    "sfnet": "matchers.sfnet.objective",
    "pmd": "matchers.pmd.objective",
    "dhpf": "matchers.dhpf.objective",
    "ncnet": "matchers.ncnet.objective",
    "pwarpc-ncnet": "matchers.pwarpc.objective",
    "simsc": "matchers.simsc.objective",
}
"""Method -> the module with its OBJECTIVE."""


def find_objective(method: str, modules: Mapping[str, str] = MODULES) -> Objective:
    """The objective of a method. Raises `UserError` for a method that has none.

    Args:
        modules: method -> the module with its OBJECTIVE.
    """
    if method not in modules:
        raise UserError(f"method '{method}' has nothing to train; those that have are {', '.join(modules)}")
    objective: Objective = import_module(modules[method]).OBJECTIVE
    return objective
