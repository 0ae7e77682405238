"""First words and last words of commands: help, hints, warnings, and where results are."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess

import pytest
from support.commands import command
from support.paths import ROOT


@pytest.mark.parametrize("words", [(), ("data",), ("weights",), ("prompt",)])
def test_a_command_of_commands_alone_prints_its_help(bench, words):
    alone, asked = bench(*words), bench(*words, "--help")
    assert (alone.status, alone.err) == (0, "")
    assert alone.out == asked.out
    assert alone.out.startswith("Usage: bench ")
    assert len(alone.out.splitlines()) > 5


@pytest.mark.parametrize(
    ("name", "meant"), [("DIFT", "dift"), ("Sd4Match-CPM", "sd4match-cpm"), ("POSITON", "position")]
)
def test_capitals_do_not_hide_a_name(bench, name, meant):
    done = bench("run", "--methods", name)
    assert done.status == 2
    assert f"unknown method '{name}'; did you mean {meant}" in done.complaint


def test_a_run_ends_with_where_its_results_are(bench, photos, tmp_path):
    out = tmp_path / "my results"
    done = bench("run", "--methods", "position", "--datasets", f"folder={photos}", "-o", out)
    assert done.status == 0
    last = done.err.splitlines()[-1]
    assert last.startswith(f"bench: 1 cell in {out}; next: 'bench leaderboard \"{out}\"'")
    assert (out).is_dir()


def test_options_have_one_name_in_singular_and_plural(bench, photos, tmp_path):
    run = ("run", "--methods", "position", "--datasets", f"folder={photos}")
    first = bench(*run, "--seed", "1,2", "--out", tmp_path / "a")
    second = bench(*run, "--seeds", "1,2", "-o", tmp_path / "b")
    assert first.status == second.status == 0
    assert first.out == second.out
    cells = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in "ab"]
    assert cells[0] == cells[1]
    assert len(cells[0]) == 2


def test_one_option_under_two_names_in_a_file_is_refused(bench, tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text("methods = 'position'\nseed = 1\nseeds = [2]\n", encoding="utf-8")
    done = bench("run", "--config", file)
    assert done.status == 2
    assert "seeds is set twice" in done.complaint


@pytest.mark.parametrize("encoding", ["latin-1", "iso8859-2"])
def test_characters_that_the_terminal_lacks_are_replaced(encoding):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding, "BENCH_BLOCK": ""}
    # Neither has the en dash of an unknown number.
    words = command("data", "list")
    done = subprocess.run(words, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    text = done.stdout.decode(encoding)
    assert "spair-71k" in text
    assert " ? " in text


def test_small_weights_on_photos_are_said_once(bench, photos, tmp_path):
    few = ("--limit", 1, "--batch-size", 1)
    run = ("run", "--methods", "dinov2,dinov1", *few, "--out", tmp_path / "r")
    done = bench(*run, "--datasets", f"folder={photos}")
    (line,) = (line for line in done.err.splitlines() if "tiny-dino" in line)
    assert line.startswith("bench: small weights: tiny-dino knows the pictures of shapes alone, so ")
    assert "--weights paper" in line
    assert "tiny-dino" not in bench(*run, "--datasets", "shapes").err
    assert (
        "tiny-dino"
        not in bench("run", "--methods", "position", *run[3:], "--datasets", f"folder={photos}").err
    )


def test_small_weights_on_photos_are_said_by_match(bench, photos):
    pictures = sorted(photos.glob("*.png"))[:2]
    done = bench("match", *pictures, "--points", "5,5", "--method", "dinov2")
    assert done.status == 0
    assert done.err.startswith("bench: tiny-dino knows the pictures of shapes alone, so ")
    assert "tiny" not in bench("match", *pictures, "--points", "5,5", "--method", "position").err


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF])
def test_a_file_system_without_locks_is_said_once(bench, photos, tmp_path, monkeypatch, number):
    def refuse(handle, operation):
        raise OSError(number, "no such thing here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    out = tmp_path / "r"
    done = bench("run", "--methods", "position,hog", "--datasets", f"folder={photos}", "--out", out)
    assert done.status == 0
    assert done.complaint.startswith(f"bench: results folder {out}: its file system has no locks; ")
    again = bench("rescore", out, "--protocols", "padded", "--datasets", f"folder={photos}")
    assert again.status == 0, again.err
    assert "has no locks" in again.complaint


def test_another_error_of_a_lock_is_not_hidden(bench, photos, tmp_path, monkeypatch):
    def fail(handle, operation):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    run = ("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    done = bench(*run)
    assert done.status == 1
    (cell,) = (tmp_path / "r").iterdir()
    assert done.complaint.endswith(f"{cell}: cannot be locked (input/output error); choose another --out")
