"""`-o FILE` of tables: the ending says the form, and the file is written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.photos import make_photos


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    from harness.cli import status

    folder = tmp_path_factory.mktemp("files")
    data = ["--datasets", f"folder={make_photos(folder / 'photos', images=3)}"]
    assert status(["run", "--methods", "position,hog", *data, "--out", str(folder / "r")]) == 0
    return folder / "r"


def words_of(command: str, results: Path) -> list[object]:
    if command == "compare":
        return ["compare", f"{results}:hog", f"{results}:position"]
    return [command, results]


FORMS = {
    ".md": "|",
    ".csv": "method,",
    ".tex": "\\begin{tabular}",
    ".html": "<table>",
    ".json": "[",
    ".txt": "------",
    ".MD": "|",
}


@pytest.mark.parametrize("ending", FORMS)
@pytest.mark.parametrize("command", ["leaderboard", "rescore"])
def test_the_ending_says_the_form(bench, results, tmp_path, command, ending):
    path = tmp_path / f"table{ending}"
    outcome = bench(*words_of(command, results), "-o", path)
    assert outcome.status == 0 and outcome.out == ""
    assert outcome.err == f"bench: the table is in {path}\n"
    assert FORMS[ending] in path.read_text()


@pytest.mark.parametrize(
    ("ending", "form"), {".md": "|", ".csv": "dataset,", ".json": "{", ".txt": "---"}.items()
)
def test_differences_go_to_a_file(bench, results, tmp_path, ending, form):
    path = tmp_path / f"table{ending}"
    outcome = bench(*words_of("compare", results), "-o", path)
    assert outcome.status == 0 and outcome.out == ""
    assert form in path.read_text()


def test_a_file_has_what_is_printed(bench, results, tmp_path):
    printed = bench("leaderboard", results, "--format", "json").out
    bench("leaderboard", results, "--output", tmp_path / "t.json")
    assert (tmp_path / "t.json").read_text() == printed
    assert json.loads(printed)
    assert bench("leaderboard", results, "--format", "json", "-o", "-").out == printed


def test_text_in_a_file_has_no_colours_and_no_terminals_width(bench, results, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    for command in ("leaderboard", "compare", "rescore"):
        path = tmp_path / f"{command}.txt"
        assert bench(*words_of(command, results), "-o", path).status == 0
        lines = path.read_text().splitlines()
        assert "\x1b" not in path.read_text()
        assert 60 < max(map(len, lines)) <= 100


def test_a_format_goes_with_an_ending_that_says_none(bench, results, tmp_path):
    path = tmp_path / "table.dat"
    assert bench("leaderboard", results, "--format", "csv", "-o", path).status == 0
    assert path.read_text().startswith("method,")


@pytest.mark.parametrize(
    ("command", "name", "words", "problem"),
    [
        ("leaderboard", "t.tex", ["--format", "md"], "its ending says tex, and --format md; leave one"),
        (
            "leaderboard",
            "t.xlsx",
            [],
            "its ending says no form of a table; take one of .txt, .md, .csv, .tex",
        ),
        ("leaderboard", "t", [], "its ending says no form of a table"),
        ("compare", "t.tex", [], "no table here is tex; take one of .txt, .md, .csv, .json"),
        ("rescore", "t.pdf", [], "its ending says no form of a table"),
        ("leaderboard", "absent/t.md", [], "is not a folder; make it first"),
    ],
)
def test_a_mistake_is_one_line_before_the_work(bench, results, tmp_path, command, name, words, problem):
    outcome = bench(*words_of(command, results), *words, "-o", tmp_path / name)
    assert outcome.status == 2 and outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert f"-o {tmp_path / name}: " in outcome.err or f"bench: {tmp_path / name}: " in outcome.err
    assert problem in outcome.err
    assert not (tmp_path / name).exists()


def test_a_failed_command_leaves_the_file_of_before(bench, tmp_path):
    path = tmp_path / "table.md"
    path.write_text("before")
    assert bench("leaderboard", tmp_path / "absent", "-o", path).status == 2
    assert path.read_text() == "before"
