"""Everything that the plugin brings, from the `spec.py` of each method: one line each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.specs import NO_MATCHER, NetworkTraining, WeightSource
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


def _training_in(path: Path) -> NetworkTraining:
    from matchers.backbones.checkpoints import training_in

    return training_in(path)


def _with_training(source: WeightSource) -> WeightSource:
    """A source of networks that `bench train` makes files of, which say what they were trained on."""
    is_trained = source.name.removeprefix("tiny-") in {
        method.name for method in METHODS if method.matcher != NO_MATCHER
    }
    return replace(source, training=_training_in) if is_trained else source


EXTRACTORS = _collect("EXTRACTORS")
MATCHERS = _collect("MATCHERS")
LOCALIZERS = _collect("LOCALIZERS")
METHODS = _collect("METHODS")
WEIGHTS = tuple(_with_training(source) for source in _collect("WEIGHTS"))
