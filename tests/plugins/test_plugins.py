"""The plugin host, with plugins that pip really installed."""

from __future__ import annotations

import json
import shutil
import sys
import types
from importlib.metadata import EntryPoint

import pytest

import harness.cli
from harness.errors import UserError
from harness.hookspecs import hookimpl
from harness.plugins.host import Host
from harness.plugins.loading import load_plugins
from harness.plugins.names import RESERVED
from harness.specs import AVERAGINGS, CommandSpec, ExtractorSpec, LocalizerSpec, MethodSpec, PromptSpec


def module_plugin(name, **hooks):
    """A module-like object: its functions are real hook implementations without arguments."""
    module = types.ModuleType(name)
    for hook, records in hooks.items():

        def implementation(records=records):
            return records

        # pluggy reads the signature: a default argument would be taken for a hook argument.
        setattr(module, hook, hookimpl(_without_arguments(implementation)))
    return module


def _without_arguments(function):
    def call():
        return function()

    return call


def localizer(name):
    return LocalizerSpec(name=name, make=object)


def test_listing_shows_loaded_and_failed_plugins(shell_bench):
    plugins = {one["name"]: one for one in json.loads(shell_bench("plugins", "--json").out)}
    assert plugins["toy"]["status"] == "loaded"
    assert (plugins["toy"]["distribution"], plugins["toy"]["version"]) == ("bench-toy", "1.2.3")
    assert "bench_extractors" in plugins["toy"]["hooks"]
    assert plugins["broken"]["status"] == "failed"
    assert plugins["broken"]["reason"] == (
        "ImportError: libbroken.so: cannot open shared object file (bench_broken.py:3)"
    )
    assert all(
        set(one) == {"name", "distribution", "version", "status", "hooks", "reason"}
        for one in plugins.values()
    )


def test_without_a_kind_everything_is_listed(bench):
    lines = bench("list").out.splitlines()
    titles = [line for line in lines if line and not line.startswith(" ")]
    assert titles == ["methods", "datasets", "prompts", "matchers", "localizers", "protocols", "reported"]
    assert any(line.startswith("  position  ") for line in lines)
    objects = json.loads(bench("list", "--json").out)
    assert list(objects) == titles
    assert objects["methods"] == json.loads(bench("list", "methods", "--json").out)


def test_a_plugin_brings_extractor_localizer_prompt_and_dataset(plugin_bench, tmp_path):
    done = plugin_bench(
        *("run", "--methods", "toy,position", "--datasets", "toy-squares", "--prompts", "toy-shout,empty"),
        *("--localizers", "argmax,toy-centre", "--out", tmp_path / "r"),
    )
    assert done.status == 0, done.err
    assert not done.warnings
    ranked, by_prompt = done.out.split("\n\n| method ")
    rows = [line for line in ranked.splitlines() if line.startswith("|")][2:]
    found = {tuple(cell.strip() for cell in row.split("|")[2:5]) for row in rows}
    prompted = {
        ("toy", prompt, name) for prompt in ("toy-shout", "empty") for name in ("argmax", "toy-centre")
    }
    assert found == prompted | {("position", "none", "argmax"), ("position", "none", "toy-centre")}
    header = [cell.strip() for cell in by_prompt.splitlines()[0].split("|")]
    assert header[1:6] == ["localizer", "backbone", "toy-shout", "empty", "none"]


def test_colours_find_the_squares(plugin_bench, tmp_path):
    plugin_bench("run", "--methods", "toy", "--datasets", "toy-squares", "--out", tmp_path / "r")
    rows = json.loads(plugin_bench("leaderboard", tmp_path / "r", "--format", "json").out)
    best = [row["pck"] for row in rows if row["alpha"] == 0.15 and row["slice"] == "all"]
    assert best == [100.0] * len(AVERAGINGS)


def test_a_broken_plugin_stops_only_who_asks_for_it(plugin_bench):
    assert plugin_bench("list", "methods").status == 0
    asked = plugin_bench("run", "--methods", "brokenet", "--datasets", "toy-squares")
    assert asked.status == 2
    assert "unknown method 'brokenet'" in asked.complaint
    assert "plugin 'broken' (bench-broken 0.0.1) failed: ImportError: libbroken.so" in asked.complaint


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_a_blocked_plugin_is_not_imported(shell_bench, how):
    arguments = ["plugins", "--json", "--no-plugin", "broken"] if how == "flag" else ["plugins", "--json"]
    environment = {"BENCH_BLOCK": "broken,toy"} if how == "environment" else {}
    plugins = {one["name"]: one for one in json.loads(shell_bench(*arguments, **environment).out)}
    assert plugins["broken"]["status"] == "blocked"
    assert plugins["toy"]["status"] == ("blocked" if how == "environment" else "loaded")


def test_blocking_a_plugin_that_is_not_there(bench):
    assert (
        "unknown plugin 'harnness'; did you mean harness?"
        in bench("plugins", "--no-plugin", "harnness").complaint
    )


def test_prompt_of_another_kind_is_not_applicable(plugin_bench, tmp_path):
    options = ("--methods", "toy", "--datasets", "toy-squares", "--out", tmp_path / "r")
    both = plugin_bench("run", *options, "--prompts", "toy-vector,empty")
    assert both.status == 0
    assert (
        "not applicable: prompt 'toy-vector' is of kind 'vector', and toy-colours takes text"
        in both.complaint
    )
    row = next(line for line in both.out.splitlines() if "toy-vector" in line)
    assert row.count("–") == 4  # the localizer, which never ran, and a number for each alpha
    alone = plugin_bench("run", *options, "--prompts", "toy-vector")
    assert alone.status == 2
    assert "nothing to run" in alone.complaint


def test_only_methods_with_a_parameter_are_swept(plugin_bench, tmp_path):
    done = plugin_bench(
        "run",
        "--methods",
        "toy,position",
        "--datasets",
        "toy-squares",
        "--timestep",
        "3,9",
        "--out",
        tmp_path / "r",
    )
    ranked, _, curves = done.out.partition("a row for each timestep")
    methods = [line.split("|")[2].strip() for line in ranked.splitlines() if line.startswith("|")][2:]
    assert [line.split("|")[1].strip() for line in curves.splitlines() if line.startswith("| ")] == [
        "timestep",
        "3",
        "9",
    ]
    assert sorted(methods) == ["position", "toy[timestep=3]", "toy[timestep=9]"]


def test_wrong_api_number():
    module = module_plugin("late", bench_localizers=[localizer("late")])
    module.bench_api = 99
    host = Host()
    host.load("late", "d", "1", lambda: module)
    assert (host.plugins[0].status, host.plugins[0].reason) == (
        "failed",
        "needs bench API 99, this is 1; install a matching version",
    )
    assert "late" not in host.localizers


@pytest.mark.parametrize(
    ("hooks", "reason"),
    [
        (
            {"bench_localizers": [{"name": "x"}]},
            "bench_localizers returned a dict, expected a list of LocalizerSpec",
        ),
        ({"bench_localizers": [localizer("x"), localizer("x")]}, "bench_localizers returned 'x' twice"),
        ({"bench_localisers": [localizer("x")]}, "there is no hook 'bench_localisers'"),
    ],
)
def test_wrong_records_fail_the_plugin(hooks, reason):
    host = Host()
    host.load("odd", "d", "1", lambda: module_plugin("odd", **hooks))
    assert host.plugins[0].status == "failed"
    assert reason in host.plugins[0].reason
    assert not host.localizers


def test_a_plugin_that_exits_on_import_is_only_failed():
    host = Host()
    host.load("exits", "d", "1", lambda: sys.exit(3))
    assert host.plugins[0].status == "failed"


def test_a_name_that_two_plugins_bring_is_refused_and_both_are_named():
    host = Host()
    for name in ("one", "two"):
        host.load(
            name,
            f"dist-{name}",
            "1.0",
            lambda: module_plugin("m", bench_localizers=[localizer("same"), localizer("other")][:1]),
        )
    with pytest.raises(
        UserError,
        match=r"localizer 'same' is offered by both plugin 'one' \(dist-one 1.0\) "
        r"and plugin 'two' \(dist-two 1.0\)",
    ):
        host.localizers["same"]
    assert "localizer 'same' clashes with plugin 'one'" in host.plugins[1].reason


def test_a_second_entry_point_of_the_same_name_is_shadowed():
    points = [EntryPoint("harness", "somewhere.else", "bench")]
    host = load_plugins(points=points)
    shadowed = host.plugins[-1]
    assert shadowed.status == "shadowed"
    assert "plugin 'harness' (correspondence-bench" in shadowed.reason


def test_an_extractor_that_no_method_names_is_a_method():
    host = Host()
    spec = ExtractorSpec(name="bare", make=object)
    host.load("p", "d", "1", lambda: module_plugin("p", bench_extractors=[spec]))
    assert host.methods["bare"].extractor == "bare"
    named = Host()
    recipe = MethodSpec(name="recipe", extractor="bare")
    named.load("p", "d", "1", lambda: module_plugin("p", bench_extractors=[spec], bench_methods=[recipe]))
    assert list(named.methods) == ["recipe"]


def test_a_change_of_a_plugins_code_makes_another_cell(bench_with, plugin_site, tmp_path):
    """An author changes an extractor without raising its version, and must not see yesterday's numbers."""
    site = tmp_path / "site"
    shutil.copytree(plugin_site, site)

    bench = bench_with(site)

    def out(*arguments: object) -> str:
        done = bench(*arguments)
        assert done.status == 0, done.err
        return done.out

    run = ("run", "--methods", "toy", "--datasets", "toy-squares", "--out", tmp_path / "out")
    first = out(*run)
    assert out(*run) == first
    code = (site / "bench_toy.py").read_text()
    assert "* self.gain" in code
    (site / "bench_toy.py").write_text(code.replace("* self.gain", "* 0 + 1"))
    assert out(*run) != first
    assert len(list((tmp_path / "out").glob("*/record.json"))) == 2
    assert "other plugin code, prompt code than toy" in out("leaderboard", tmp_path / "out")
    rows = json.loads(out("leaderboard", tmp_path / "out", "--format", "json"))
    names = ("method", "prompt", "localizer", "dataset", "split", "protocol", "averaging", "alpha", "slice")
    keys = [tuple(str(row[name]) for name in names) for row in rows]
    assert len(set(keys)) == len(keys) > 0


def test_a_name_that_two_plugins_offer_is_refused_only_where_it_is_asked_for():
    host = load_plugins(points=[])
    second = types.ModuleType("second")
    second.bench_extractors = hookimpl(lambda: [ExtractorSpec(name="hog", make=object)])
    second.bench_methods = hookimpl(lambda: [MethodSpec(name="hog", extractor="hog")])
    host.load("second", "second", "1", lambda: second)
    with pytest.raises(UserError, match="offered by both"):
        host.methods["hog"]
    assert host.methods.get("hog").description == dict(host.methods.items())["hog"].description != ""
    assert list(host.methods) == [method.name for method in host.methods.values()]
    with pytest.raises(UserError, match="offered by both"):
        host.extractors["hog"]
    assert "hog" in [extractor.name for extractor in host.extractors.values()]


def load(*plugins):
    """A host with the built-in plugins and further ones: (name, hooks)."""
    host = load_plugins(points=[])
    for name, hooks in plugins:
        host.load(name, f"dist-{name}", "1", lambda name=name, hooks=hooks: module_plugin(name, **hooks))
    return host


def extractor(name):
    return ExtractorSpec(name=name, make=object)


@pytest.mark.parametrize(
    ("hooks", "asked", "kinds"),
    [
        ({"bench_extractors": [extractor("dift")]}, "dift", "method 'dift' and extractor 'dift'"),
        ({"bench_extractors": [extractor("DIFT")]}, "dift", "method 'dift' and extractor 'DIFT'"),
        (
            {"bench_methods": [MethodSpec(name="stable-diffusion", extractor="position")]},
            "stable-diffusion",
            "extractor 'stable-diffusion' and method 'stable-diffusion'",
        ),
        (
            {"bench_methods": [MethodSpec(name="Position", extractor="position")]},
            "position",
            "method 'position' and method 'Position'",
        ),
    ],
)
def test_methods_and_extractors_share_what_a_user_types(hooks, asked, kinds):
    host = load(("mine", hooks))
    message = (
        rf"^{kinds} have one name, and are offered by plugin 'baselines' .* and plugin 'mine' \(dist-mine 1\)"
    )
    with pytest.raises(UserError, match=message):
        host.methods[asked]
    assert "clashes with" in host.plugins[-1].reason
    assert "of plugin 'baselines'" in host.plugins[-1].reason
    assert host.methods["dinov2"]


def test_two_other_plugins_share_a_name():
    method = MethodSpec(name="mine", extractor="position")
    host = load(("a", {"bench_extractors": [extractor("mine")]}), ("b", {"bench_methods": [method]}))
    with pytest.raises(UserError, match=r"plugin 'a' .* and plugin 'b'"):
        host.methods["mine"]
    assert host.plugins[-1].reason == "method 'mine' clashes with extractor 'mine' of plugin 'a' (dist-a 1)"


def test_within_a_plugin_a_method_may_be_called_after_its_extractor():
    method = MethodSpec(name="mine", extractor="mine", localizer="bilinear")
    host = load(("a", {"bench_extractors": [extractor("mine")], "bench_methods": [method]}))
    assert host.methods["mine"].localizer == "bilinear"
    assert not host.plugins[-1].reason


@pytest.mark.parametrize(
    "name", ["", "  ", "a,b", "a=b", "a[1]", "a/b", "-a", "a ", "a\n", "a\0b", None, ["a"]]
)
def test_names_that_cannot_be_typed(name):
    host = load(("mine", {"bench_localizers": [localizer(name)]}))
    assert host.plugins[-1].status == "failed"
    assert host.plugins[-1].reason.startswith("bench_localizers returned ")
    assert "\n" not in host.plugins[-1].reason
    assert len(host.localizers) == len(load_plugins(points=[]).localizers)


def test_names_that_mean_something_else():
    commands = [CommandSpec(name="run", make=object)]
    assert "which bench itself uses" in load(("mine", {"bench_commands": commands})).plugins[-1].reason
    prompts = [PromptSpec(name="none", kind="text", make=object)]
    assert "which bench itself uses" in load(("mine", {"bench_prompts": prompts})).plugins[-1].reason
    assert RESERVED["bench_commands"] == set(harness.cli._COMMANDS)


def test_a_variant_takes_no_method_away():
    """The command that worked yesterday works after a recipe for the same extractor was added."""
    weak = MethodSpec(name="mine-weak", extractor="mine")
    host = load(("a", {"bench_extractors": [extractor("mine")], "bench_methods": [weak]}))
    assert host.methods["mine"].extractor == host.methods["mine-weak"].extractor == "mine"
    assert "mine" not in list(host.methods)


def test_a_plugin_without_hooks_says_so():
    host = load(("mine", {}))
    assert (host.plugins[-1].status, host.plugins[-1].reason) == (
        "loaded",
        "implements no hook (is @hookimpl missing?)",
    )
    module = module_plugin("half", bench_localizers=[localizer("x")])
    module.bench_extractors = list
    host.load("half", "d", "1", lambda: module)
    assert host.plugins[-1].reason == "bench_extractors is not called (is @hookimpl missing?)"


def test_the_cause_of_a_wrong_hook_is_in_its_line():
    host = load(("mine", {"bench_localisers": [localizer("x")]}))
    assert host.plugins[-1].reason == "there is no hook 'bench_localisers'; did you mean bench_localizers?"
    module = types.ModuleType("odd")
    module.bench_localizers = hookimpl(lambda config: [])
    host.load("odd", "d", "1", lambda: module)
    assert host.plugins[-1].reason.startswith("bench_localizers: Argument(s) {'config'} are declared")


def test_absent_plugins_are_named_in_a_few_words():
    host = load_plugins(blocked=["sd4match"], points=[])
    with pytest.raises(UserError, match=r"unknown method 'sd4match-cpm'.*; plugins blocked: sd4match$"):
        host.methods["sd4match-cpm"]
    for name in ("a", "b"):
        host.load(name, "d", "1", lambda: 1 / 0)
    with pytest.raises(
        UserError, match=r"; plugins failed: a, b \('bench plugins' says why\); plugins blocked"
    ):
        host.methods["sd4match-cpm"]
