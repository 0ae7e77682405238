"""stdout and stderr that are full, closed, or of an encoding that lacks the dashes of tables."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.paths import ROOT

LOST = "bench: the output: No space left on device; send it elsewhere and give the command again"


@pytest.fixture
def shell(tmp_path):
    def run(redirections: str, command: str = "list", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f"{sys.executable} -m harness.cli {command} {redirections}"],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("redirections", "status", "told"),
    [
        ("> /dev/full", 1, LOST),
        ("2> /dev/full", 0, ""),
        ("> /dev/full 2>&1", 1, ""),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("| true; exit ${PIPESTATUS[0]}", 141, ""),
    ],
)
def test_an_odd_stream_is_one_line_at_most(shell, redirections, status, told):
    done = shell(redirections)
    assert done.returncode == status, done
    assert done.stderr.startswith(told) and len(done.stderr.splitlines()) == bool(told), done


@pytest.mark.parametrize("redirections", [">&-", "2>&-", "2> /dev/full", "> /dev/full"])
def test_no_stream_costs_a_run_its_results(shell, tmp_path, redirections):
    words = "run --methods position --limit 4 --out"
    assert shell("", f"{words} whole").returncode == 0
    done = shell(redirections, f"{words} odd")
    assert done.returncode == (1 if redirections == "> /dev/full" else 0), done
    (odd,) = (tmp_path / "odd").glob("*/predictions.parquet")
    assert odd.read_bytes() == (tmp_path / "whole" / odd.parent.name / odd.name).read_bytes()


def test_an_encoding_without_dashes_prints_marks_in_their_place(shell):
    done = shell("", "data list", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "?" in done.stdout
