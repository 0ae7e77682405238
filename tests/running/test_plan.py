"""A sweep becomes cells: none twice, in one order, with the names checked before anything runs."""

from __future__ import annotations

import itertools
import types
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.results import the_record

from harness.errors import UserError
from harness.hookspecs import hookimpl
from harness.plugins.host import Host
from harness.plugins.loading import load_plugins
from harness.running.plan import plan
from harness.specs import NO_PROMPT, DatasetSpec, ExtractorSpec, LocalizerSpec, MethodSpec, PromptSpec
from harness.sweep import Cell, DatasetChoice, Sweep, cell_id


def made_host() -> Host:
    """Two extractors with parameters, one of which takes text; three recipes; prompts of two kinds."""
    records = {
        "bench_extractors": [
            ExtractorSpec(name="plain", make=object, params={"stride": 8}),
            ExtractorSpec(
                name="diffusion",
                make=object,
                prompt_kinds=frozenset({"text"}),
                params={"timestep": 261, "ensemble": 8},
            ),
        ],
        "bench_methods": [
            MethodSpec(name="plain", extractor="plain"),
            MethodSpec(name="dift", extractor="diffusion", prompt="words", localizer="best"),
            MethodSpec(
                name="late", extractor="diffusion", prompt="words", localizer="soft", params={"timestep": 50}
            ),
        ],
        "bench_prompts": [
            PromptSpec(name="words", kind="text", make=object),
            PromptSpec(name="other", kind="text", make=object),
            PromptSpec(name="numbers", kind="vector", make=object),
        ],
        "bench_localizers": [LocalizerSpec(name=name, make=object) for name in ("argmax", "best", "soft")],
        "bench_datasets": [
            DatasetSpec(name="birds", open=lambda folder, split: [], splits=("test", "val")),
            DatasetSpec(name="cars", open=lambda folder, split: [], splits=("all",)),
        ],
    }
    module = types.ModuleType("made")
    for hook, specs in records.items():
        setattr(module, hook, hookimpl(returning(specs)))
    host = Host()
    host.load("made", "made", "1", lambda: module)
    assert host.plugins[0].status == "loaded", host.plugins[0].reason
    return host


def returning(specs):
    """A hook implementation; pluggy would take a default argument for a hook's."""
    return lambda: specs


HOST = made_host()

BIRDS, CARS = DatasetChoice("birds"), DatasetChoice("cars")


def some(values, maximum=4):
    """Lists in which names may come twice."""
    return st.lists(st.sampled_from(values), min_size=1, max_size=maximum).map(tuple)


sweeps = st.builds(
    Sweep,
    # Always one method that any prompt and parameter leave something to run of.
    methods=some(["plain", "dift", "late"]).map(lambda names: (*names, "plain", "dift")),
    datasets=some([BIRDS, CARS, DatasetChoice("birds", Path("elsewhere"))]),
    prompts=st.none() | some(["words", "other", "numbers"]),
    localizers=st.none() | some(["argmax", "best", "soft"]),
    seeds=some([0, 1, 2]),
    overrides=st.dictionaries(st.sampled_from(["timestep", "ensemble", "stride"]), some([1, 50, 261])),
)


def key(cell: Cell):
    return cell.dataset, cell.split, cell.method, cell.prompt, cell.params, cell.seed


@given(sweeps)
def test_no_cell_occurs_twice(sweep):
    cells = plan(sweep, HOST)
    assert len({key(cell) for cell in cells}) == len(cells)
    ids = {cell_id(cell, f"{cell.dataset.name}{cell.dataset.path}", {}) for cell in cells}
    assert len(ids) == len(cells)


@given(sweeps)
def test_cells_are_in_the_order_that_names_came(sweep):
    cells = plan(sweep, HOST)
    assert cells == plan(sweep, HOST)
    datasets, methods = list(dict.fromkeys(sweep.datasets)), list(dict.fromkeys(sweep.methods))
    places = [(datasets.index(cell.dataset), methods.index(cell.method)) for cell in cells]
    assert places == sorted(places)
    for _, group in itertools.groupby(
        cells, key=lambda cell: (cell.dataset, cell.method, cell.prompt, cell.changed)
    ):
        assert [cell.seed for cell in group] == list(dict.fromkeys(sweep.seeds))


@given(sweeps)
def test_naming_something_twice_changes_nothing(sweep):
    twice = replace(
        sweep,
        methods=sweep.methods * 2,
        datasets=sweep.datasets * 2,
        prompts=sweep.prompts and sweep.prompts * 2,
        localizers=sweep.localizers and sweep.localizers * 2,
        seeds=sweep.seeds * 2,
        overrides={name: values * 2 for name, values in sweep.overrides.items()},
    )
    assert plan(twice, HOST) == plan(sweep, HOST)


@given(sweeps)
def test_every_combination_is_there(sweep):
    cells = plan(sweep, HOST)
    swept = {name: set(values) for name, values in sweep.overrides.items()}
    for method in dict.fromkeys(sweep.methods):
        mine = [cell for cell in cells if cell.method == method and cell.dataset == sweep.datasets[0]]
        params = ["stride"] if method == "plain" else ["timestep", "ensemble"]
        values = 1
        for name in params:
            values *= len(swept.get(name, {0}))
        prompts = 1 if method == "plain" else len(set(sweep.prompts or ["words"]))
        assert len(mine) == values * prompts * len(set(sweep.seeds))


@given(sweeps)
def test_what_does_not_fit_together_is_said(sweep):
    for cell in plan(sweep, HOST):
        assert bool(cell.not_applicable) == (cell.prompt == "numbers" and cell.method != "plain")
        assert (cell.prompt == NO_PROMPT) == (cell.method == "plain")


@given(sweeps)
def test_parameters_are_the_users_then_the_recipes_then_the_extractors(sweep):
    for cell in plan(sweep, HOST):
        defaults = {
            "plain": {"stride": 8},
            "dift": {"timestep": 261, "ensemble": 8},
            "late": {"timestep": 50, "ensemble": 8},
        }
        assert dict(cell.params) == defaults[cell.method] | dict(cell.changed)
        own = defaults[cell.method]
        assert dict(cell.changed) == {name: value for name, value in cell.params if value != own[name]}


def test_labels_say_what_the_user_changed():
    cells = plan(
        Sweep(methods=("dift",), datasets=(BIRDS,), seeds=(0, 3), overrides={"timestep": (50, 9)}), HOST
    )
    assert [cell.label for cell in cells] == [
        "dift[timestep=50]",
        "dift[timestep=50,seed=3]",
        "dift[timestep=9]",
        "dift[timestep=9,seed=3]",
    ]


def test_recipes_choose_prompt_localizer_and_split():
    (cell,) = plan(Sweep(methods=("late",), datasets=(CARS,)), HOST)
    assert (cell.prompt, cell.localizers, cell.split) == ("words", ("soft",), "all")
    (cell,) = plan(
        Sweep(
            methods=("late",),
            datasets=(BIRDS,),
            prompts=("other",),
            localizers=("best", "argmax"),
            split="val",
        ),
        HOST,
    )
    assert (cell.prompt, cell.localizers, cell.split) == ("other", ("best", "argmax"), "val")


def test_a_cell_is_known_by_what_determines_its_numbers():
    (cell,) = plan(Sweep(methods=("dift",), datasets=(BIRDS,)), HOST)
    plain = cell_id(cell, "birds", {"manifest": "1"})
    assert plain.startswith("birds-test-dift-words.")
    assert cell_id(replace(cell, localizers=("soft",), changed=()), "birds", {"manifest": "1"}) == plain
    others = [
        cell_id(cell, "birds", {"manifest": "2"}),
        cell_id(cell, "bees", {"manifest": "1"}),
        *(
            cell_id(replace(cell, **{name: "x"}), "birds", {"manifest": "1"})
            for name in ("method", "extractor", "prompt", "split")
        ),
        cell_id(replace(cell, seed=1), "birds", {"manifest": "1"}),
        cell_id(replace(cell, params=(("timestep", 1),)), "birds", {"manifest": "1"}),
    ]
    assert len({plain, *others}) == 1 + len(others)


def test_a_cells_folder_has_no_odd_characters():
    (cell,) = plan(Sweep(methods=("dift",), datasets=(BIRDS,), overrides={"timestep": (5,)}), HOST)
    odd = cell_id(cell, "folder:Größe/../x y" * 20, {})
    slug, _, digest = odd.rpartition(".")
    assert len(slug) <= 100
    assert len(digest) == 12
    assert set(odd) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (Sweep(methods=("difft",), datasets=(BIRDS,)), "unknown method 'difft'; did you mean dift?"),
        (Sweep(methods=("zzz",), datasets=(BIRDS,)), "unknown method 'zzz'; known: dift, late, plain"),
        (
            Sweep(methods=("dift",), datasets=(DatasetChoice("bird"),)),
            "unknown dataset 'bird'; did you mean birds?",
        ),
        (
            Sweep(methods=("dift",), datasets=(BIRDS,), prompts=("word",)),
            "unknown prompt 'word'; did you mean words?",
        ),
        (
            Sweep(methods=("plain",), datasets=(BIRDS,), prompts=("word",)),
            "unknown prompt 'word'; did you mean words?",
        ),
        (
            Sweep(methods=("dift",), datasets=(BIRDS,), localizers=("argmin",)),
            "unknown localizer 'argmin'; did you mean argmax?",
        ),
        (
            Sweep(methods=("dift",), datasets=(BIRDS,), split="train"),
            "dataset birds has no split 'train'; it has test, val",
        ),
        (
            Sweep(methods=("dift",), datasets=(BIRDS, CARS), split="val"),
            "dataset cars has no split 'val'; it has all",
        ),
        (
            Sweep(methods=("plain",), datasets=(BIRDS,), overrides={"timestep": (1,)}),
            "--timestep: none of plain has a parameter 'timestep'; plain has stride",
        ),
        (
            Sweep(methods=("dift",), datasets=(BIRDS,), prompts=("numbers",)),
            "nothing to run: prompt 'numbers' is of kind 'vector', and diffusion takes text",
        ),
    ],
)
def test_what_cannot_be_planned_is_told(sweep, message):
    with pytest.raises(UserError) as told:
        plan(sweep, HOST)
    assert str(told.value) == message


def test_texts_and_numbers_plan_the_same_cells():
    """--set timestep=0..100 and --timestep 0,50,100 are one thing."""
    cells = [
        plan(Sweep(methods=("dift", "plain"), datasets=(BIRDS,), overrides={"timestep": values}), HOST)
        for values in [(0, 50, 100), ("0..100",), ("0", "50..100")]
    ]
    assert cells[0] == cells[1] == cells[2]
    assert [cell.label for cell in cells[0]] == [
        "dift[timestep=0]",
        "dift[timestep=50]",
        "dift[timestep=100]",
        "plain",
    ]


def test_any_parameter_is_swept_by_the_methods_that_have_it():
    overrides = {"stride": ("4", "8"), "ensemble": ("2",)}
    cells = plan(Sweep(methods=("dift", "plain"), datasets=(BIRDS,), overrides=overrides), HOST)
    assert [cell.label for cell in cells] == ["dift[ensemble=2]", "plain[stride=4]", "plain"]


@given(st.sampled_from(sorted(load_plugins(points=[]).methods)), st.integers(0, 20))
def test_a_method_with_a_letter_left_out_is_still_guessed(method, position):
    position %= len(method)
    misspelt = method[:position] + method[position + 1 :]
    host = load_plugins(points=[])
    assume(misspelt not in host.methods and len(misspelt) >= 3)
    with pytest.raises(UserError, match="did you mean") as told:
        plan(Sweep(methods=(misspelt,), datasets=(DatasetChoice("shapes"),)), host)
    assert method in str(told.value)


def test_a_config_file_is_the_same_as_flags(bench, photos, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(
        f"methods = ['position', 'hog']\ndatasets = \"folder={photos}\"\nlimit = 3\nalphas = [0.1, 0.2]\n"
        f"batch-size = 2\nlocalizers = 'argmax'\nout = '{tmp_path / 'a'}'\n"
        "cache-gb = 0.5\ncompile = false\nseed = 0\n"
    )
    by_file = bench("run", "--config", config)
    flags = (
        "--methods",
        "position,hog",
        "--datasets",
        f"folder={photos}",
        "--limit",
        3,
        "--alphas",
        "0.1,0.2",
        "--localizers",
        "argmax",
    )
    by_flags = bench("run", *flags, "--batch-size", 2, "--out", tmp_path / "b")
    assert by_file.status == by_flags.status == 0
    assert by_file.out == by_flags.out
    assert "limited to 3 of 12 pairs" in by_file.out
    assert "@0.20" in by_file.out


def test_settings_of_a_config_file_and_of_flags(bench, photos, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(
        f"methods = 'hog'\ndatasets = \"folder={photos}\"\nlimit = 2\n[set]\ncell = [4, 8]\nblock = '3'\n"
    )
    both = bench("run", "--config", config, "--out", tmp_path / "a")
    assert both.status == 0
    assert "| hog[block=3] " in both.out
    assert "hog[block=3,cell=8]" in both.out
    flag = bench("run", "--config", config, "--set", "cell=4", "--out", tmp_path / "a")
    assert "| hog[block=3] " in flag.out
    assert "cell=8" not in flag.out
    again = bench(
        "run", "--methods", "hog", "--datasets", f"folder={photos}", "--limit", 2, "--set", "block=3",
        "--set", "cell=4", "--out", tmp_path / "a",
    )  # fmt: skip
    assert again.out == flag.out
    assert len(list((tmp_path / "a").glob("*/record.json"))) == 2


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("set = 'cell=4'", "2: set = 'cell=4': expected a table of parameters"),
        ("[set]\ncell = []", "3: [set] cell: has no value"),
        ("[set]\nblock = 2\ncell = ''", "4: [set] cell: has no value"),
        (
            "[set]\ncell = {a = 1}",
            "3: [set] cell: expected a text, a number, true or false, or a list of them",
        ),
        ("[set]\ncell = 4.5", "3: [set] cell: '4.5' is not a whole number"),
        ("[set]\ncells = 4", "3: [set] cells: none of hog has a parameter 'cells'; did you mean cell (hog)?"),
        ("set.cells = 4", "2: [set] cells: none of hog has a parameter 'cells'; did you mean cell (hog)?"),
        ("timestep = 5", "2: --timestep: none of hog has a parameter 'timestep'"),
        ("[set]\ntimestep = 5", "3: [set] timestep: none of hog has a parameter 'timestep'"),
    ],
)
def test_a_wrong_table_of_settings_is_told(bench, tmp_path, table, complaint):
    config = tmp_path / "run.toml"
    config.write_text(f"methods = 'hog'\n{table}\n")
    done = bench("run", "--config", config, "--out", tmp_path / "a")
    assert done.status == 2
    assert done.complaint.startswith(f"bench: {config}:{complaint}")


def test_a_wrong_flag_beside_a_file_is_not_the_fault_of_the_file(bench, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text("methods = 'hog'\nlimit = 1\n[set]\ncell = 4\n")
    run = ("run", "--config", config, "--out", tmp_path / "a")
    assert bench(*run, "--set", "cell=4.5").complaint.startswith(
        "bench: --set cell: '4.5' is not a whole number"
    )
    assert bench(*run, "--limit", "0").complaint.startswith("bench run: Invalid value for '--limit'")
    config.write_text("methods = 'hog'\nlimit = 1\nalphas = 10\n")
    done = bench(*run, "--methods", "hgo")
    assert done.err.endswith("bench: unknown method 'hgo'; did you mean hog?\n")
    assert f"bench: {config}:3: --alphas 10: above 1" in done.err


def test_flags_win_over_the_config_file(bench, photos, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(
        f"methods = 'position'\ndatasets = 'folder={photos}'\nlimit = 3\nseed = 4\n"
        f"out = '{tmp_path / 'file'}'\n"
    )
    done = bench("run", "--config", config, "--limit", 2, "--out", tmp_path / "flag")
    assert done.status == 0
    assert not (tmp_path / "file").exists()
    record = the_record(tmp_path / "flag")
    assert (record["counts"]["limit"], record["cell"]["seed"]) == (2, 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("metods = 'position'", ":1: unknown key 'metods'; did you mean methods"),
        (
            "methods = 'position'\nxyz = 1",
            ":2: unknown key 'xyz'; known: address, allow-mixed-devices, alphas, ",
        ),
        ("methods = 'position'\nlimit = [", ":2: not valid TOML: "),
        ("methods = 'position'\nlimit = 0", ":2: limit: 0 is not in the range x>=1"),
        ("methods = 'position'\n# seeds\nseed = 1\nseeds = 2", ":4: seeds is set twice, as seed before"),
        ("methods = [\n 'position',\n]\n\nbatch-size = 'x'", ":5: batch-size: 'x' is not a valid int"),
        ("localizers = 'argmx'\nmethods = 'position'", ":1: unknown localizer 'argmx'; did you mean argmax"),
        ("methods = 'position'\nlimit = 'many'", "'many' is not a valid integer"),
        ("methods = 'position'\nalphas = [0.1, -1]", "is not a list of positive numbers"),
        ("methods = 'position'\nprecision = 'fp8'", "'fp8' is not one of"),
        ("methods = 'possition'", ":1: unknown method 'possition'; did you mean position?"),
        ("methods = []", "is empty"),
        ("methods = 'position'\ncompile = 1", "compile = 1: expected true or false"),
        ("methods = 'position'\ncompile = 'yes'", "compile = 'yes': expected true or false"),
        ("methods = 'position'\nworkers = []", "workers = []: expected one value, not a list"),
        ("methods = 'position'\nworkers = 1.5", "'1.5' is not a valid integer"),
        ("methods = 'position'\nworkers = true", "workers = True: expected a text or a number"),
        ("methods = 'position'\ncache-gb = [1]", "cache-gb = [1]: expected one value, not a list"),
        ("methods = 'position'\ncache_bytes = 1", ":2: unknown key 'cache_bytes'; did you mean "),
        ("methods = 'position'\ncache = true", "cache = True: expected a text or a number"),
        ("methods = 'position'\ncache = ''", ":2: --cache-dir: is empty; give a folder"),
        ("methods = [['position']]", "expected a text or a number, or a list of them"),
        ("limit = 3", "Missing option '--methods'"),
    ],
)
def test_a_wrong_config_file_is_told_in_one_line(bench, tmp_path, content, message):
    config = tmp_path / "run.toml"
    config.write_text(content)
    done = bench("run", "--config", config, "--out", tmp_path / "r")
    assert done.status == 2
    assert message in done.complaint
    assert done.complaint.startswith(f"bench: {config}:") or "Missing option" in message
    assert not (tmp_path / "r").exists()


def test_a_config_file_that_is_not_there(bench, tmp_path):
    done = bench("run", "--config", tmp_path / "none.toml")
    assert done.status == 2
    assert f"--config {tmp_path / 'none.toml'}: No such file or directory" in done.complaint
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert "not valid TOML" in bench("run", "--config", tmp_path / "binary.toml").complaint


def test_a_config_file_from_an_editor_that_marks_utf_8_is_read(bench, tmp_path):
    config = tmp_path / "mine.toml"
    config.write_bytes(b"\xef\xbb\xbfmethods = 'positoin'\r\n")
    done = bench("run", "--config", config, "--out", tmp_path / "r")
    assert done.status == 2
    assert "did you mean position?" in done.complaint


def test_none_is_the_prompt_of_methods_without_one():
    host = load_plugins(points=[])

    def prompts(*names, methods=("position",)):
        sweep = Sweep(methods=methods, datasets=(DatasetChoice("shapes"),), prompts=names)
        return [(cell.method, cell.prompt) for cell in plan(sweep, host)]

    assert prompts("none") == [("position", "none")]
    both = ("position", "dift")
    assert prompts("none", "empty", methods=both) == [("position", "none"), ("dift", "empty")]
    with pytest.raises(UserError, match="--prompts none: dift takes a prompt; its own is category"):
        prompts("none", methods=both)
