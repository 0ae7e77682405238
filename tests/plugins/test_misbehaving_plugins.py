"""Plugins that misbehave at every point where their code is called cost themselves, and nobody else."""

from __future__ import annotations

import builtins
import json
import os
import types
from pathlib import Path

import pytest
from support.misdeeds import COLLECTING, RUNS, plugin

import harness.cli
from harness.errors import BenchError
from harness.hookspecs import hookimpl
from harness.interrupts import ending_on_signals
from harness.plugins.host import Host
from harness.plugins.loading import load_plugins
from harness.specs import (
    CommandSpec,
    DatasetSpec,
    ExtractorSpec,
    LocalizerSpec,
    MethodSpec,
    PromptSpec,
    ProtocolSpec,
    ReportedSpec,
    TrainerSpec,
    WeightSource,
)


class Ending(BaseException):
    """What no `except Exception` catches."""


def raising(error, *arguments):
    def act():
        raise error(*arguments)

    return act


def returning(value):
    return lambda: value


def recurse():
    return recurse()


def replace_names():
    # Nothing that Python code calls works any more.
    vars(builtins).update(isinstance=None, len=None, next=None, print=None, type=None)


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


ERRORS = {
    "Exception": raising(ValueError, "wrong"),
    "BaseException": raising(Ending, "ending"),
    "KeyboardInterrupt": raising(KeyboardInterrupt),
    "SystemExit 0": raising(SystemExit, 0),
    "SystemExit 3": raising(SystemExit, 3),
    "MemoryError": raising(MemoryError),
    "RecursionError": recurse,
    "a pipe of its own": raising(BrokenPipeError),
    "ten megabytes": raising(BenchError, "x" * 10_000_000),
    "no text": raising(Unprintable),
    "odd text": raising(ValueError, "a\ud800\x1b[31m\x07\nb\u2028c"),
}
AT_IMPORT = ("bench_extractors", "bench_commands", "bench_datasets")
AT_RUN = ("image_size", "files", "make", "extract", "prompt call", "locate", "many", "open", "length", "pair")


@pytest.fixture
def evil_bench(bench, monkeypatch):
    """`bench ...` with a plugin that does something at one point."""

    def install(point, act):
        module = plugin(point, act)

        def load(blocked=()):
            host = load_plugins(blocked, points=[])
            host.load("evil", "evil", "1", lambda: module)
            return host

        monkeypatch.setattr(harness.cli, "load_plugins", load)
        return bench

    return install


@pytest.mark.parametrize("point", COLLECTING)
@pytest.mark.parametrize("misdeed", [*ERRORS, "None", "a number", "no spec"])
def test_a_hook_fails_its_plugin_alone(point, misdeed):
    values = {"None": returning(None), "a number": returning(5), "no spec": returning([object()])}
    host = Host()
    # As within a command, which knows whether the user has interrupted it.
    with ending_on_signals():
        host.load("evil", "evil", "1", lambda: plugin(point, (ERRORS | values)[misdeed]))
    assert host.plugins[0].status == "failed"
    assert host.plugins[0].reason.isprintable()
    assert len(host.plugins[0].reason) < 5_000
    assert not any(map(len, host.registries.values()))


@pytest.mark.parametrize("misdeed", ["Exception", "SystemExit 0", "ten megabytes"])
@pytest.mark.parametrize("point", AT_IMPORT)
def test_lists_are_lists_whatever_a_hook_does(evil_bench, point, misdeed):
    bench = evil_bench(point, ERRORS[misdeed])
    assert "methods" in json.loads(bench("list", "--json").out)
    assert json.loads(bench("plugins", "--json").out)[-1]["status"] == "failed"


def check_run(done, out, *, status=1):
    """The other method, dataset or localizer has its row and its record, and the evil one its line."""
    assert done.status == status, done.err
    assert "| position " in done.out
    assert "evil" in done.err
    assert all(len(line) < 5_000 for line in done.err.splitlines())
    assert "Traceback" not in done.err
    records = [json.loads(path.read_text()) for path in Path(out).glob("*/record.json")]
    assert any(record["scores"] for record in records)


@pytest.mark.parametrize(
    ("point", "misdeed"),
    [(point, list(ERRORS)[number % len(ERRORS)]) for number, point in enumerate((*AT_RUN, *AT_RUN[:1]))],
)
def test_code_of_a_run_fails_its_own_cells_or_pairs(evil_bench, tmp_path, point, misdeed):
    bench = evil_bench(point, ERRORS[misdeed])
    done = bench("run", *RUNS[point], "--limit", 2, "--out", tmp_path)
    check_run(done, tmp_path)


@pytest.mark.parametrize("point", ["bench_cell_started", "bench_run_finished"])
def test_hooks_that_report_stop_nothing(evil_bench, tmp_path, point):
    done = evil_bench(point, ERRORS["SystemExit 0"])("run", *RUNS[point], "--limit", 2, "--out", tmp_path)
    check_run(done, tmp_path, status=0)


@pytest.mark.parametrize(
    "act", [*ERRORS.values(), returning(None), returning(5)], ids=[*ERRORS, "returns None", "returns 5"]
)
def test_a_command_that_cannot_be_made_says_so_when_it_is_asked_for(evil_bench, act):
    bench = evil_bench("command make", act)
    assert bench("--help").status == 0
    done = bench("evil", "--some", "words")
    assert (done.status, done.out) == (2, "")
    assert done.complaint.startswith("bench: command 'evil' cannot be made: ")


def test_what_is_printed_and_changed_reaches_nobody(evil_bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def misbehave():
        print("printed")
        os.write(1, b"\xff bytes\n")
        os.chdir("/")
        replace_names()

    done = evil_bench("make", misbehave)("run", *RUNS["make"], "--limit", 2, "--out", "out")
    assert "printed" not in done.out
    check_run(done, tmp_path / "out")


WRONG_FIELDS = [
    (ExtractorSpec, "make", 5),
    (ExtractorSpec, "scope", "dataset"),
    (ExtractorSpec, "prompt_kinds", "text"),
    (ExtractorSpec, "prompt_kinds", 5),
    (ExtractorSpec, "image_size", (0, 768)),
    (ExtractorSpec, "image_size", 768),
    (ExtractorSpec, "image_size", ("a", "b")),
    (ExtractorSpec, "params", {"a": object()}),
    (ExtractorSpec, "params", {"a": float("nan")}),
    (ExtractorSpec, "params", {1: 2}),
    (ExtractorSpec, "params", None),
    (ExtractorSpec, "weights", "dift"),
    (ExtractorSpec, "files", 5),
    (ExtractorSpec, "description", None),
    (LocalizerSpec, "make", None),
    (LocalizerSpec, "options", [1]),
    (PromptSpec, "kind", None),
    (PromptSpec, "scope", "everything"),
    (PromptSpec, "learned", 5),
    (MethodSpec, "extractor", None),
    (MethodSpec, "params", {"a": [1]}),
    (MethodSpec, "localizer_options", {"argmax": 5}),
    (DatasetSpec, "open", None),
    (DatasetSpec, "splits", ()),
    (DatasetSpec, "splits", "test"),
    (DatasetSpec, "threshold", 5),
    (DatasetSpec, "counts", {"test": 5}),
    (ProtocolSpec, "strict", "yes"),
    (ProtocolSpec, "alphas", ("0.1",)),
    (WeightSource, "locate", 5),
    (WeightSource, "downloads", ("https://a.example",)),
    (ReportedSpec, "file", None),
    (CommandSpec, "make", None),
    (TrainerSpec, "methods", "mine"),
    (TrainerSpec, "make", None),
]
NEEDED = {
    ExtractorSpec: {"make": object},
    LocalizerSpec: {"make": object},
    PromptSpec: {"kind": "text", "make": object},
    MethodSpec: {"extractor": "position"},
    DatasetSpec: {"open": object},
    ProtocolSpec: {"frame": "original", "strict": True},
    WeightSource: {},
    ReportedSpec: {"file": Path("a.csv")},
    CommandSpec: {"make": object},
    TrainerSpec: {"methods": ("mine",), "make": object},
}


@pytest.mark.parametrize(("kind", "field", "value"), WRONG_FIELDS)
def test_fields_of_wrong_types_are_named(kind, field, value):
    hook = next(hook for hook, registry in Host().registries.items() if registry.spec_class is kind)
    module = types.ModuleType("evil")
    setattr(module, hook, hookimpl(lambda: [kind(**{"name": "evil", **NEEDED[kind], field: value})]))
    host = Host()
    host.load("evil", "evil", "1", lambda: module)
    assert host.plugins[0].status == "failed"
    assert f"'evil': {field} is " in host.plugins[0].reason
    assert host.plugins[0].reason.isprintable()


@pytest.mark.parametrize("kind", NEEDED)
@pytest.mark.parametrize("name", [["a"], None, 5, "", "a/b", "x" * 101, "a\ud800"])
def test_names_of_every_kind_are_texts(kind, name):
    hook = next(hook for hook, registry in Host().registries.items() if registry.spec_class is kind)
    module = types.ModuleType("evil")
    setattr(module, hook, hookimpl(lambda: [kind(name=name, **NEEDED[kind])]))
    host = Host()
    host.load("evil", "evil", "1", lambda: module)
    assert host.plugins[0].status == "failed"
    assert host.plugins[0].reason.isprintable()


def test_a_hook_that_never_ends_is_cut():
    def endless():
        while True:
            yield CommandSpec(name="again", make=object)

    module = types.ModuleType("evil")
    module.bench_commands = hookimpl(endless)
    host = Host()
    host.load("evil", "evil", "1", lambda: module)
    assert "more than 10,000 specs" in host.plugins[0].reason
