"""`--quiet` and `--verbose`, which every command takes: what goes to stderr; stdout stays the same."""

from __future__ import annotations

import logging
import re

import pytest
from support.made_up_records import a_record

from harness.cli.verbosity import LOGGERS
from harness.records.folders import write_record


@pytest.fixture
def run(bench, tmp_path):
    """`bench ... run` of one method, finished once, with options before and after the command."""
    words = ("run", "--methods", "position", "--limit", "2", "--out", tmp_path / "r")
    assert bench(*words).status == 0

    def again(*options):
        return bench(*options[:1], *words, *options[1:])

    return again


def test_stdout_is_the_same_at_every_level(run):
    usual = run()
    assert usual.err.splitlines()[-1].startswith("bench: 1 cell in ")
    assert "position: found, computed " in usual.err
    quiet, verbose = run("--quiet"), run("-v")
    assert quiet.out == verbose.out == usual.out
    assert quiet.err == ""
    assert run("-q", "--fresh").err == ""


def test_verbose_says_each_step(run):
    done = run("--verbose", "--fresh")
    lines = done.err.splitlines()
    assert "bench: device: cpu, chosen by --device auto" in lines
    assert "bench: dataset shapes test: 600 pairs, bundled" in lines
    assert "bench: 1/1 position: loading" in lines
    batch = re.compile(r"bench: 1/1 position: encoding images 1 to 2 of 4")
    assert any(batch.fullmatch(line) for line in lines)
    assert any(line.startswith("bench: shapes position: load ") for line in lines)
    # What was found took no time.
    assert not any("peak memory" in line for line in run("-v").err.splitlines())


def test_verbose_names_weights_and_where_they_come_from(bench):
    done = bench("run", "-v", "--methods", "dift", "--dry-run")
    assert "bench: weights tiny-stable-diffusion: bundled, " in done.err


def test_quiet_keeps_what_is_said_of_numbers(bench, photos, tmp_path):
    """Weights that know drawn shapes alone, run on photos."""
    words = ("run", "--methods", "dinov1", "--datasets", f"folder={photos}", "--out", tmp_path / "r", "-q")
    done = bench(*words, "--limit", "1")
    assert "says nothing of the method on other pictures" in done.err
    assert "next:" not in done.err


def test_they_contradict_each_other(bench):
    done = bench("list", "-q", "methods", "--verbose")
    assert done.status == 2
    assert done.err == "bench: --quiet and --verbose contradict each other; give one of them\n"
    done = bench("list", "methods", "--quiet=yes")
    assert done.status == 2
    assert done.err.startswith("bench: -q/--quiet takes no value")


def test_a_command_leaves_the_loggers_as_they_were(bench):
    assert bench("list", "methods", "-v").status == 0
    for name in LOGGERS:
        assert logging.getLogger(name).level == logging.NOTSET
        assert not logging.getLogger(name).handlers
    assert bench("list", "methods").err == ""


def test_colours_follow_the_environment(bench, tmp_path, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    words = ("leaderboard", tmp_path, "--format", "text", "--no-places")
    for record in (a_record("mine", 60.0), a_record("yours", 50.0)):
        write_record(tmp_path / record.cell.id, record)
    assert "\x1b[" not in bench(*words).out  # no terminal
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in bench(*words).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in bench(*words).out


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (("run", "--quite", "--methods", "position"), "Did you mean '--quiet'?"),
        (("list", "methods", "--verbos"), "Did you mean '--verbose'?"),
        # The names of before are read, and not suggested.
        (("run", "--methods", "position", "--sed", "1"), "Did you mean one of: '--seeds', '--set'?"),
    ],
)
def test_a_misspelt_option_gets_a_suggestion(bench, words, suggestion):
    done = bench(*words)
    assert done.status == 2
    assert suggestion in done.err
