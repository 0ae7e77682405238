"""Signals that end a command: one line, a status, and nothing that was computed is lost."""

from __future__ import annotations

import gc
import os
import signal
import sys

import pytest
from support.results import predictions

import harness.cli
import harness.running.predict as work
from harness.files import try_writing
from harness.interrupts import Interrupted, check_interrupt, ending_on_signals, holding_interrupts

LINES = {
    signal.SIGINT: "bench: interrupted; the same command goes on where it stopped",
    signal.SIGTERM: "bench: ended by SIGTERM; the same command goes on where it stopped",
    signal.SIGHUP: "bench: ended by SIGHUP; the same command goes on where it stopped",
}


def in_plain_sight(number):
    signal.raise_signal(number)


def in_a_finalizer(number):
    """Where Python swallows what is raised."""

    class Finalized:
        def __del__(self):
            signal.raise_signal(number)

    Finalized()
    gc.collect()


def as_another_error(number):
    """As libraries do that call back."""
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        raise RuntimeError("the callback failed") from None


@pytest.fixture
def words(photos, tmp_path):
    return (
        "run",
        "--methods",
        "position,hog",
        "--datasets",
        f"folder={photos}",
        "--out",
        tmp_path / "results",
    )


@pytest.mark.parametrize("send", [in_plain_sight, in_a_finalizer, as_another_error])
@pytest.mark.parametrize("number", LINES)
def test_a_signal_ends_a_run_wherever_it_comes(bench, words, tmp_path, monkeypatch, number, send):
    pairs = []
    predict_pair = work.Predictor._predict_pair

    def interrupted(self, pair, localizers):
        pairs.append(pair.pair_id)
        if len(pairs) == 6:
            send(number)
        predict_pair(self, pair, localizers)

    monkeypatch.setattr(work.Predictor, "_predict_pair", interrupted)
    outcome = bench(*words)
    assert (outcome.status, outcome.err) == (128 + number, f"{LINES[number]}\n")
    assert (outcome.out, len(pairs)) == ("", 6)
    # Not a record of an error that is none, and the pairs that were done.
    assert not list((tmp_path / "results").glob("*/record.json"))
    assert len(list((tmp_path / "results").glob("*/shards/*.parquet"))) == 1
    monkeypatch.undo()
    assert bench(*words).status == 0
    assert bench(*words[:-1], tmp_path / "whole").status == 0
    assert predictions(tmp_path / "results") == predictions(tmp_path / "whole")


def test_what_is_being_written_is_written_first():
    written = []
    with pytest.raises(Interrupted) as raised, ending_on_signals():
        with holding_interrupts():
            signal.raise_signal(signal.SIGTERM)
            # Both a launcher and its process group may send it.
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            written.append("all of it")
        written.append("and more")
    assert written == ["all of it"]
    assert raised.value.number == signal.SIGTERM


def test_handlers_are_put_back_and_ignored_signals_stay_ignored(monkeypatch):
    before = signal.getsignal(signal.SIGHUP)
    # As `nohup` begins a command.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_on_signals():
            signal.raise_signal(signal.SIGHUP)
            check_interrupt()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", LINES)
def test_a_signal_is_named_also_before_the_work_and_after_it(capsys, monkeypatch, number):
    handlers = {each: signal.getsignal(each) for each in LINES}
    monkeypatch.setattr(harness.cli, "prepare_streams", lambda: signal.raise_signal(number))
    try:
        with pytest.raises(SystemExit) as ended:
            harness.cli.main(["list"])
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    assert ended.value.code == 128 + number
    assert capsys.readouterr().err == f"{LINES[number]}\n"


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without a name are Linux's")
def test_trying_a_folder_leaves_nothing_at_any_moment(tmp_path):
    names, calls = set(), []

    def look(frame, event, argument):
        calls.append(event)
        names.update(tmp_path.iterdir())

    sys.setprofile(look)
    try:
        try_writing(tmp_path)
    finally:
        sys.setprofile(None)
    assert len(calls) > 10
    assert not names


def test_a_signal_waits_until_a_folder_is_tried(tmp_path, monkeypatch):
    # As on a file system that gives every file a name.
    monkeypatch.setattr("tempfile._O_TMPFILE_WORKS", False)
    is_sent = []

    def interrupt(frame, event, argument):
        if list(tmp_path.iterdir()) and not is_sent:
            is_sent.append(event)
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted), ending_on_signals():
        sys.setprofile(interrupt)
        try:
            try_writing(tmp_path)
        finally:
            sys.setprofile(None)
    assert is_sent
    assert not list(tmp_path.iterdir())
