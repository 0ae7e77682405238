"""Everything that the plugin brings, from the `spec.py` of each method: one line each."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from heads.diy import spec as diy
from heads.geoaware import spec as geoaware
from heads.hyperfeatures import spec as hyperfeatures
from heads.marco import spec as marco
from heads.pose_flip import spec as pose_flip

# Each brings some of EXTRACTORS, MATCHERS, LOCALIZERS, PROTOCOLS, METHODS, WEIGHTS and OBJECTIVES.
SPECS: tuple[ModuleType, ...] = (
    diy,
    geoaware,
    hyperfeatures,
    marco,
    pose_flip,
)


def _collect(name: str) -> tuple[Any, ...]:
    return tuple(spec for module in SPECS for spec in getattr(module, name, ()))


EXTRACTORS = _collect("EXTRACTORS")
MATCHERS = _collect("MATCHERS")
LOCALIZERS = _collect("LOCALIZERS")
METHODS = _collect("METHODS")
WEIGHTS = _collect("WEIGHTS")
