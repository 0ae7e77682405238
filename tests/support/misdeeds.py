"""A plugin that does something at one of the points where plugins' code is called, and is right otherwise."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from support.extractors import small_map

from harness.datasets.shapes.spec import SHAPES
from harness.hookspecs import hookimpl
from harness.specs import (
    CommandSpec,
    DatasetSpec,
    ExtractorSpec,
    LocalizerSpec,
    Located,
    MethodSpec,
    PromptSpec,
    ProtocolSpec,
    ReportedSpec,
    TrainerSpec,
    WeightSource,
)

RUNS = {
    "make": ("--methods", "evil,position"),
    "attribute": ("--methods", "evil,position"),
    "extract": ("--methods", "evil,position"),
    "image_size": ("--methods", "evil,position"),
    "files": ("--methods", "evil,position"),
    "prompt make": ("--methods", "evil-prompted,position"),
    "prompt call": ("--methods", "evil-prompted,position"),
    "localizer make": ("--methods", "position", "--localizers", "evil,argmax"),
    "locate": ("--methods", "position", "--localizers", "evil,argmax"),
    "many": ("--methods", "position", "--localizers", "evil-many,argmax"),
    "localizer files": ("--methods", "position", "--localizers", "evil,argmax"),
    "open": ("--methods", "position", "--datasets", "evil,shapes"),
    "pair ids": ("--methods", "position", "--datasets", "evil,shapes"),
    "length": ("--methods", "position", "--datasets", "evil,shapes"),
    "pair": ("--methods", "position", "--datasets", "evil,shapes"),
    "label": ("--methods", "position", "--datasets", "evil,shapes"),
    "identity": ("--methods", "position", "--datasets", "evil,shapes"),
    "picture": ("--methods", "hog", "--datasets", "evil,shapes"),
    "threshold": ("--methods", "position", "--protocols", "evil,sd4match"),
    "weights locate": ("--methods", "evil-weights,position"),
    "bench_cell_started": ("--methods", "position"),
    "bench_cell_finished": ("--methods", "position"),
    "bench_run_finished": ("--methods", "position"),
}
"""Point -> the options of a run that comes by it, beside what no plugin has to do with."""

COLLECTING = (
    "bench_extractors",
    "bench_localizers",
    "bench_prompts",
    "bench_methods",
    "bench_datasets",
    "bench_protocols",
    "bench_weights",
    "bench_reported",
    "bench_commands",
)
"""Hooks that every command calls."""


class Misbehaviour:
    """What a plugin does when its code is called at one point."""

    def __init__(self, point: str, act: Callable[[], Any]) -> None:
        self.point, self.act = point, act

    def at(self, point: str, value: Any = None) -> Any:
        """Returns `value`, or what the act returns at its point."""
        return self.act() if point == self.point else value


class Extractor:
    def __init__(self, misbehaviour: Misbehaviour) -> None:
        self._misbehaviour = misbehaviour

    def extract(self, requests):
        maps = [small_map(request) for request in requests]
        return self._misbehaviour.at("extract", maps)

    def __getattr__(self, name: str) -> Any:
        if name == "prepare" and self._misbehaviour.point == "attribute":
            return self._misbehaviour.act()
        raise AttributeError(name)


class Locator:
    def __init__(self, misbehaviour: Misbehaviour) -> None:
        self._misbehaviour = misbehaviour

    def __call__(self, source, target, points):
        return self._misbehaviour.at("locate", Located(points.clone(), torch.ones(len(points))))


class BatchLocator(Locator):
    def many(self, tasks):
        located = [self(*task) for task in tasks]
        return self._misbehaviour.at("many", located)


class Picture:
    def __init__(self, misbehaviour: Misbehaviour, picture: Any) -> None:
        self._misbehaviour, self._picture, self.name = misbehaviour, picture, picture.name

    def identity(self):
        return self._misbehaviour.at("identity", self._picture.identity())

    def open(self):
        return self._misbehaviour.at("picture", self._picture.open())


class Pairs:
    """The first pairs of shapes, with pictures of the plugin's own."""

    def __init__(self, misbehaviour: Misbehaviour, folder: Path, split: str) -> None:
        self._misbehaviour, self._pairs = misbehaviour, SHAPES.open(folder, split)

    @property
    def label(self):
        return self._misbehaviour.at("label", "evil")

    @property
    def pair_ids(self):
        return self._misbehaviour.at("pair ids", self._pairs.pair_ids[:3])

    def __len__(self):
        return self._misbehaviour.at("length", 3)

    def __getitem__(self, number):
        from dataclasses import replace

        pair = self._pairs[number]
        pair = replace(
            pair,
            source=Picture(self._misbehaviour, pair.source),
            target=Picture(self._misbehaviour, pair.target),
        )
        return self._misbehaviour.at("pair", pair)


def plugin(point: str, act: Callable[[], Any]) -> types.ModuleType:
    """A plugin with everything that a plugin may have, which does `act` at `point`."""
    one = Misbehaviour(point, act)
    module = types.ModuleType("evil")

    def make(context):
        return one.at("make", Extractor(one))

    def image_size(weights):
        return one.at("image_size", (48, 48))

    def files(params):
        return one.at("files", ())

    def localizer_files(options):
        return one.at("localizer files", ())

    def make_prompt(context):
        def prompt(category, images):
            return one.at("prompt call", "a text")

        return one.at("prompt make", prompt)

    specs = {
        "bench_extractors": [
            ExtractorSpec(name="evil", make=make, image_size=image_size, files=files),
            ExtractorSpec(name="evil-prompted", make=make, prompt_kinds=frozenset({"text"})),
            ExtractorSpec(name="evil-weights", make=make, weights=("evil-weights",)),
        ],
        "bench_localizers": [
            LocalizerSpec(
                name="evil", make=lambda: one.at("localizer make", Locator(one)), files=localizer_files
            ),
            LocalizerSpec(name="evil-many", make=lambda: BatchLocator(one)),
        ],
        "bench_prompts": [PromptSpec(name="evil", kind="text", make=make_prompt)],
        "bench_methods": [MethodSpec(name="evil-prompted", extractor="evil-prompted", prompt="evil")],
        "bench_datasets": [
            DatasetSpec(name="evil", open=lambda folder, split: one.at("open", Pairs(one, folder, split)))
        ],
        "bench_protocols": [
            ProtocolSpec(
                name="evil",
                frame="original",
                strict=False,
                threshold=lambda target: one.at("threshold", 10.0),
                length="ten pixels",
            )
        ],
        "bench_weights": [
            WeightSource(name="evil-weights", locate=lambda: one.at("weights locate", Path(__file__)))
        ],
        "bench_reported": [ReportedSpec(name="evil", file=Path(__file__))],
        "bench_commands": [
            CommandSpec(
                name="evil",
                make=lambda: one.at(
                    "command make", click.Command("evil", callback=lambda: one.at("command"))
                ),
            )
        ],
        "bench_trainers": [
            TrainerSpec(
                name="evil",
                methods=("evil",),
                make=lambda method: one.at(
                    "trainer make", click.Command("evil", callback=lambda: one.at("trainer"))
                ),
            )
        ],
    }
    for hook, brought in specs.items():
        setattr(module, hook, _hook(one, hook, brought))
    module.bench_cell_started = hookimpl(lambda cell: one.at("bench_cell_started"))
    module.bench_cell_finished = hookimpl(lambda cell, record: one.at("bench_cell_finished"))
    module.bench_run_finished = hookimpl(lambda records: one.at("bench_run_finished"))
    return module


def _hook(one: Misbehaviour, name: str, brought: list[Any]) -> Any:
    def hook():
        return one.at(name, brought)

    return hookimpl(hook)
