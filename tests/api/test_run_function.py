"""`harness.run` is `bench run`: the same cells, bytes, table, messages."""

from __future__ import annotations

import inspect
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from support.photos import make_photos

import harness
from harness.api.run import read_run_arguments
from harness.api.run_arguments import RunArguments
from harness.cli.run import run as run_command
from harness.errors import BenchWarning, UserError


def read(**options):
    return read_run_arguments(**{"methods": "position", "datasets": "shapes", **options})


def test_the_command_makes_the_same_bytes_and_the_same_table(bench, tmp_path, quiet):
    frame = harness.run("position", limit=5, out=tmp_path / "python", **quiet)
    printed = bench("run", "--methods", "position", "--limit", 5, "--out", tmp_path / "command").out
    (cell,) = frame.attrs["cells"]
    files = [*tmp_path.glob("*/*/predictions.parquet")]
    assert len(files) == 2
    assert files[0].parent.name == files[1].parent.name
    assert files[0].read_bytes() == files[1].read_bytes()
    assert cell == str(tmp_path / "python" / files[0].parent.name)
    caption, _, header, _, row = printed.rstrip().split("\n")[:5]
    assert frame.attrs["caption"] == caption
    titles = [title.strip() for title in header.strip("|").split("|")]
    texts = dict(zip(titles, (text.strip() for text in row.strip("|").split("|")), strict=True))
    # The numbers of the frame are columns of the printed table, each perhaps with its interval beside it.
    assert list(dict.fromkeys(name.removesuffix(" ±") for name in frame.columns)) == titles
    assert frame["method"].tolist() == ["position"]
    assert f"{frame['shapes @0.10'][0]:.1f} ±{frame['shapes @0.10 ±'][0]:.1f}" == texts["shapes @0.10"]
    assert frame["note"][0] == texts["note"]


def test_every_option_of_the_command_is_an_argument():
    options = {parameter.name for parameter in run_command.params if parameter.expose_value}
    names = {"settings": "params", "seed": "seeds", "cache_bytes": "cache_gb"}
    # A dry run prints and makes no table.
    options -= {"dry_run"}
    arguments = set(inspect.signature(harness.run).parameters)
    assert {names.get(option, option) for option in options} == arguments - {"progress"}


def test_defaults_are_those_of_the_command():
    context = run_command.make_context("run", ["--methods", "position"])
    mine = read()
    for name, value in context.params.items():
        assert getattr(mine, name) == value, name


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"methods": "position"}, {"methods": ("position",)}),
        ({"methods": "position, hog,"}, {"methods": ("position", "hog")}),
        ({"methods": ["position", "hog"]}, {"methods": ("position", "hog")}),
        ({"datasets": ["folder=my, photos"]}, {"datasets": ("folder=my, photos",)}),
        ({"datasets": 'folder="my, photos",shapes'}, {"datasets": ("folder=my, photos", "shapes")}),
        ({"alphas": 0.1}, {"alphas": (0.1,)}),
        ({"alphas": "0.05,0.1"}, {"alphas": (0.05, 0.1)}),
        ({"alphas": np.array([0.05, 0.1])}, {"alphas": (0.05, 0.1)}),
        ({"seeds": range(2)}, {"seed": (0, 1)}),
        ({"seeds": "0,2"}, {"seed": (0, 2)}),
        ({"timestep": 0}, {"timestep": (0,)}),
        ({"timestep": "0..200:100"}, {"timestep": (0, 100, 200)}),
        ({"params": {"layer": 9}}, {"settings": {"layer": (9,)}}),
        ({"params": {"layer": "9,11"}}, {"settings": {"layer": ("9", "11")}}),
        ({"params": {"facet": ["key", None]}}, {"settings": {"facet": ("key", None)}}),
        ({"weights": "dinov2-base=a,b"}, {"weights": ("dinov2-base=a,b",)}),
        ({"weights": ["paper"]}, {"weights": ("paper",)}),
        ({"prompt_files": {"dift": ["a", "b"]}}, {"prompt_files": ("dift=a", "dift=b")}),
        ({"cache_gb": 0.5}, {"cache_bytes": 500_000_000}),
    ],
)
def test_a_list_is_a_text_a_text_with_commas_or_a_list(options, expected):
    arguments = read(**options)
    assert isinstance(arguments, RunArguments)
    assert {name: getattr(arguments, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ""}, "methods: is empty"),
        ({"methods": []}, "methods: is empty"),
        ({"methods": 3}, "methods: expected a text or a list of texts, not 3"),
        ({"methods": ["position", 3]}, "methods: expected a text or a list of texts, not 3"),
        ({"alphas": "ten"}, "alphas: 'ten' is not a positive number, such as 0.1"),
        ({"alphas": [0.1, -1]}, "alphas: -1 is not a positive number, such as 0.1"),
        ({"timestep": -5}, "timestep: -5 is not a whole number from 0, or a range such as '1..9:2'"),
        ({"seeds": 0.5}, "seeds: 0.5 is not a whole number, or a range such as '1..9:2'"),
        ({"seeds": True}, "seeds: True is not a whole number, or a range such as '1..9:2'"),
        ({"params": "layer=3"}, "params: expected a dictionary such as {'layer': [9, 11]}, not 'layer=3'"),
        ({"params": {"layer": []}}, "params['layer']: is empty"),
        ({"params": {"layer": object}}, f"params['layer']: expected a number or a text, not {object!r}"),
        (
            {"prompt_files": "dift=a"},
            "prompt_files: expected a dictionary of methods and paths, not",
        ),
        ({"limit": 0}, "limit=0: expected a whole number from 1"),
        ({"batch_size": 2.5}, "batch_size=2.5: expected a whole number from 1"),
        ({"workers": -1}, "workers=-1: expected a whole number from 0"),
        ({"cache_gb": float("nan")}, "cache_gb=nan: expected a number of GB"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(options, message):
    with pytest.raises(UserError) as caught:
        read(**options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_path_that_was_cut_at_its_comma_is_told(tmp_path):
    folder = make_photos(tmp_path / "my, photos")
    with pytest.raises(UserError, match=r'has a comma: give a list, \[\.\.\., "NAME='):
        read(datasets=f"shapes,folder={folder}")


def test_large_alphas_are_asked_about():
    with pytest.warns(BenchWarning, match=r"^alphas 10: above 1.* was 0.1 meant\?$"):
        read(alphas=10)


def test_a_mistake_is_a_user_error(tmp_path, quiet):
    with pytest.raises(UserError, match=r"unknown method 'positon'; did you mean position\?"):
        harness.run("positon", out=tmp_path, **quiet)


def test_a_failed_cell_keeps_its_row_and_is_warned_of(tmp_path, quiet):
    photos = make_photos(tmp_path / "photos")
    picture = next(photos.rglob("*.png"))
    out = tmp_path / "results"
    picture.write_bytes(picture.read_bytes()[:100])
    with pytest.warns(BenchWarning) as caught:
        frame = harness.run("position", f"folder={photos}", out=out, **quiet)
    lines = [str(warning.message) for warning in caught]
    assert any("failed" in line and picture.name in line for line in lines), lines
    # At the line of the user's code, not in the harness.
    assert {warning.filename for warning in caught} == {__file__}
    assert "failed" in frame["note"][0]
    record = json.loads(next(out.glob("*/record.json")).read_text())
    assert record["status"] == "partial"


def test_a_warning_of_a_cell_that_is_made_an_error_does_not_fail_the_cell(tmp_path, quiet):
    (cell,) = harness.run("position", limit=2, out=tmp_path, **quiet).attrs["cells"]
    file = Path(cell) / "predictions.parquet"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BenchWarning, match=r"predictions\.parquet"):
        harness.run("position", limit=2, out=tmp_path, **quiet)
    record = json.loads((Path(cell) / "record.json").read_text())
    assert record["status"] == "ok"
    assert len(harness.predictions(cell))


def test_numbers_that_are_found_are_no_warning(tmp_path, quiet, caplog):
    caplog.set_level("INFO", logger="harness")
    first = harness.run("position", limit=2, out=tmp_path, **quiet)
    again = harness.run("position", limit=2, out=tmp_path, **quiet)
    assert first.equals(again)
    assert "found, computed just now" in caplog.text


def test_what_was_said_once_is_said_again(quiet):
    def ask():
        read(alphas=10)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        ask()
        ask()
    assert len(caught) == 2


def test_several_protocols_are_one_frame(tmp_path, quiet):
    frame = harness.run(
        "position", limit=3, protocols=["sd4match", "original"], alphas=0.1, out=tmp_path, **quiet
    )
    assert frame["protocol"].tolist() == ["sd4match", "original"]
    assert frame["shapes @0.10"].notna().all()
    assert "sd4match" in frame.attrs["caption"]
    assert "original" in frame.attrs["caption"]


def test_progress_is_shown_on_stderr_alone(tmp_path, capsys):
    harness.run("position", limit=2, out=tmp_path / "a", device="cpu")
    shown = capsys.readouterr()
    assert not shown.out
    assert "1/1 position" in shown.err
    harness.run("position", limit=2, out=tmp_path / "b", device="cpu", progress=False)
    assert not capsys.readouterr().err
