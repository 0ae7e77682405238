"""Everything that the plugin brings, from the `spec.py` of each method: one line each."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from matchers import weights
from matchers.backbones import spec as backbones
from matchers.cats import spec as cats
from matchers.chm import spec as chm
from matchers.dhpf import spec as dhpf
from matchers.ncnet import spec as ncnet
from matchers.pmd import spec as pmd
from matchers.pwarpc import spec as pwarpc
from matchers.scorrsan import spec as scorrsan
from matchers.semimatch import spec as semimatch
from matchers.sfnet import spec as sfnet
from matchers.simsc import spec as simsc
from matchers.transformatcher import spec as transformatcher

# Each brings some of EXTRACTORS, MATCHERS, LOCALIZERS, METHODS and WEIGHTS, tuples of specs.
SPECS: tuple[ModuleType, ...] = (
    weights,
    backbones,
    cats,
    chm,
    dhpf,
    ncnet,
    pmd,
    pwarpc,
    scorrsan,
    semimatch,
    sfnet,
    simsc,
    transformatcher,
)


def _collect(name: str) -> tuple[Any, ...]:
    return tuple(spec for module in SPECS for spec in getattr(module, name, ()))


EXTRACTORS = _collect("EXTRACTORS")
MATCHERS = _collect("MATCHERS")
LOCALIZERS = _collect("LOCALIZERS")
METHODS = _collect("METHODS")
WEIGHTS = _collect("WEIGHTS")
