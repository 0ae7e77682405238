"""`bench clean`: what is superseded is listed, and removed when the user says so; nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
import types
from pathlib import Path

import pytest
from support.parts import write_part
from support.results import put_record

import harness.housekeeping.removing as removing
from harness.files import try_lock
from harness.plugins.registry import SESSION
from harness.records.folders import RECORD
from harness.records.predictions import PREDICTIONS, read_predictions, write_table


def edit(path: Path, **provenance) -> None:
    record = json.loads(path.read_text())
    record["provenance"] |= provenance
    put_record(path, record)


def older_version(cell: Path, digest="0123456789ab", **changes) -> Path:
    """The same cell as another version of its method's code left it, a month before."""
    target = cell.parent / f"{cell.name.rpartition('.')[0]}.{digest}"
    record = json.loads((cell / RECORD).read_text())
    record["cell"] |= {"id": target.name, **changes}
    record["provenance"]["plugins"]["extractor"] = "hog 0"
    record["provenance"]["started"] = "2020-01-01T00:00:00+00:00"
    record["predictions_sha256"] = write_table(target / PREDICTIONS, read_predictions(cell / PREDICTIONS))
    put_record(target / RECORD, record)
    return target


def names(results: Path) -> set[str]:
    return {path.name for path in results.iterdir()}


def test_an_old_version_goes_when_the_user_says_so(bench, results, cell):
    before = names(results)
    old = older_version(cell)
    done = bench("clean", results)
    assert done.status == 0
    assert f"{old.name}  older code than {cell.name}" in done.out
    assert "nothing was removed; --yes removes 1 item" in done.complaint
    assert names(results) == before | {old.name}
    assert bench("clean", results, "--yes").status == 0
    assert names(results) == before
    assert "nothing to remove" in bench("clean", results, "--yes").complaint


def test_what_an_object_of_a_session_was_before_stays(bench, results, cell):
    """It may have had other values, and no command makes its numbers again."""
    old = older_version(cell)
    record = json.loads((old / RECORD).read_text())
    record["provenance"]["plugins"]["extractor"] = f"{SESSION} (an object 0123456789ab)"
    put_record(old / RECORD, record)
    assert "nothing to remove" in bench("clean", results, "--yes").complaint
    assert old.exists()


def test_an_old_version_with_more_pairs_stays(bench, results, cell, tmp_path):
    old = older_version(cell)
    pair_ids = sorted(set(read_predictions(cell / PREDICTIONS)["pair_id"].to_pylist()))
    write_part(cell, tmp_path / "fewer", lambda pair_id: pair_id != pair_ids[0])
    shutil.rmtree(cell)
    shutil.copytree(tmp_path / "fewer" / cell.name, cell)
    bench("clean", results, "--yes")
    assert old.exists()
    shutil.rmtree(cell)
    write_part(old, tmp_path / "argmax", localizers=["argmax"])
    bench("clean", results, "--yes")
    assert old.exists(), "the only cell of its row"


@pytest.mark.parametrize(
    "changes", [{"params": {"cell": 8}}, {"seed": 1}, {"prompt": "empty"}, {"label": "hog[cell=8]"}]
)
def test_another_experiment_is_no_older_version(bench, results, cell, changes):
    other = older_version(cell, **changes)
    bench("clean", results, "--yes")
    assert other.exists()
    assert cell.exists()


def test_other_data_and_weights_are_no_older_version(bench, results, cell):
    data, weights = older_version(cell, "0" * 12), older_version(cell, "1" * 12)
    edit(data / RECORD, manifest="f" * 64)
    edit(weights / RECORD, weights={"prompt file": {"x": "y"}})
    bench("clean", results, "--yes")
    assert data.exists()
    assert weights.exists()


def fail(cell: Path) -> None:
    record = json.loads((cell / RECORD).read_text())
    content = {name: record[name] for name in ("schema", "cell")}
    content |= {"status": "failed", "error": {"type": "OSError", "message": "no disk", "traceback": ""}}
    put_record(cell / RECORD, content)


def test_failed_cells_go_and_those_with_predictions_stay(bench, results, cell):
    fail(cell)
    done = bench("clean", results, "--yes")
    assert "failed, and has predictions: no disk" in done.out
    assert cell.exists()
    (cell / PREDICTIONS).unlink()
    done = bench("clean", results, "--failed", "--yes")
    assert "no disk" in done.out
    assert not cell.exists()


def test_unfinished_work_goes_only_when_it_is_named(bench, results, cell):
    begun = results / "shapes-test-dift.0123456789ab"
    for folder in (begun, cell):
        (folder / "shards").mkdir(parents=True)
        (folder / "shards" / "000000.parquet").write_bytes(b"x" * 2000)
    done = bench("clean", results, "--yes")
    assert done.out.count("unfinished") == 2
    assert "2 kB" in done.out
    assert "nothing to remove without --unfinished" in done.complaint
    assert bench("clean", results, "--unfinished", "--yes").status == 0
    assert not begun.exists()
    assert {path.name for path in cell.iterdir()} == {RECORD, PREDICTIONS}


def test_damaged_cells_go_only_when_they_are_named(bench, results, cell):
    path = cell / PREDICTIONS
    path.write_bytes(path.read_bytes()[:-9])
    (other,) = results.glob("*position*")
    (other / RECORD).write_text("{")
    bench("clean", results, "--yes")
    assert cell.exists()
    assert other.exists()
    assert bench("clean", results, "--damaged", "--yes").status == 0
    assert names(results) == set()


def test_leftovers_of_killed_commands_go(bench, results, cell):
    (cell / ".record.json.abc.tmp").write_text("x")
    (results / "empty.0123456789ab").mkdir()
    new, old = results / ".writable.new.tmp", results / ".writable.old.tmp"
    new.write_text("")
    old.write_text("")
    os.utime(old, (0, 0))
    before = names(results) - {old.name, "empty.0123456789ab"}
    assert bench("clean", results, "--yes").status == 0
    assert names(results) == before
    assert {path.name for path in cell.iterdir()} == {RECORD, PREDICTIONS}


def test_a_running_cell_is_left_alone(bench, results, cell):
    old = older_version(cell)
    handle = os.open(old, os.O_RDONLY)
    try:
        assert try_lock(handle)
        done = bench("clean", results, "--yes")
    finally:
        os.close(handle)
    assert "another process is running this cell; left alone" in done.err
    assert old.exists()


def test_a_cell_that_changes_meanwhile_is_left_alone(bench, results, cell, monkeypatch):
    old = older_version(cell)
    lock = removing.lock_folder

    def change_first(folder, warn):
        (folder / "shards").mkdir()
        return lock(folder, warn)

    monkeypatch.setattr(removing, "lock_folder", change_first)
    done = bench("clean", results, "--yes")
    assert done.status == 1
    assert "has changed since it was looked at" in done.err
    assert (old / RECORD).exists()


def test_what_is_no_cell_is_never_touched(bench, results, cell, tmp_path):
    noted = older_version(cell)
    (noted / "notes.txt").write_text("mine")
    linked = older_version(cell, "1" * 12)
    shutil.move(linked, tmp_path / "elsewhere")
    linked.symlink_to(tmp_path / "elsewhere")
    (results / "thesis.pdf").write_text("")
    (results / "figures").mkdir()
    newer = older_version(cell, "2" * 12)
    record = json.loads((newer / RECORD).read_text())
    put_record(newer / RECORD, {**record, "schema": 99, "surprise": 1})
    before = names(results)
    done = bench("clean", results, "--yes", *(f"--{name}" for name in ("old", "damaged", "unfinished")))
    assert names(results) == before
    assert "has notes.txt, which no command wrote; left alone" in done.err
    assert "since it is a link" in done.err
    assert "schema 99" in done.err


def test_a_terminal_is_asked(bench, results, cell, monkeypatch):
    import harness.cli.clean as command

    old = older_version(cell)
    terminal = types.SimpleNamespace(
        stdin=types.SimpleNamespace(isatty=lambda: True), stdout=types.SimpleNamespace(isatty=lambda: True)
    )
    monkeypatch.setattr(command, "sys", terminal)
    asked = []
    monkeypatch.setattr(command.click, "confirm", lambda question: bool(asked.append(question)))
    bench("clean", results)
    assert old.exists()
    monkeypatch.setattr(command.click, "confirm", lambda question: True)
    bench("clean", results)
    assert not old.exists()
    assert asked[0].startswith("Remove 1 item")


def test_wrong_folders_are_told(bench, results, cell, tmp_path):
    assert "no results folder" in bench("clean", tmp_path / "nowhere").complaint
    done = bench("clean", cell)
    assert done.status == 2
    assert "is the folder of one cell" in done.complaint
