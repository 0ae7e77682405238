"""The one progress bar: shown to a terminal, silent otherwise, a bar for each title."""

from __future__ import annotations

import io
import sys
import threading

import harness.cli.progress
from harness.cli.progress import ProgressBar, waiting
from harness.cli.verbosity import Verbosity, print_line, showing


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self):
        return True


def open_terminal(monkeypatch):
    """Stands in for stderr. Called in a test's body: pytest puts its own stderr back after the fixtures."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    return sys.stderr


def test_a_terminal_is_shown_title_numbers_and_note(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with ProgressBar("pair") as bar:
        bar.show("1/2 dift", 0, 0)
        bar.show("1/2 dift", 3, 4, "loss 0.125")
        bar._bar.refresh()
    shown = terminal.getvalue()
    assert "1/2 dift" in shown
    assert "3/4" in shown
    assert "loss 0.125" in shown


def test_a_new_title_begins_a_new_bar(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with ProgressBar("B") as bar:
        bar.show("a.zip", 512, 1024)
        bar.show("b.zip", 2048, 4096)
        assert bar._bar.n == 2048
    assert "a.zip" in terminal.getvalue()
    assert "b.zip" in terminal.getvalue()


def test_wrapped_items_come_through(monkeypatch):
    terminal = open_terminal(monkeypatch)
    assert list(ProgressBar("image").wrap(["cat", "dog"], "shapes")) == ["cat", "dog"]
    assert "/2" in terminal.getvalue()


def test_a_silenced_process_gets_nothing(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with ProgressBar("pair", is_enabled=False) as bar:
        bar.show("dift", 1, 2)
    assert terminal.getvalue() == ""
    log, clock = open_log(monkeypatch), Clock()
    with ProgressBar("pair", is_enabled=False, clock=clock) as bar:
        bar.show("dift", 0, 2)
        clock.now += 1000
        bar.show("dift", 1, 2)
    assert log.getvalue() == ""


def open_log(monkeypatch):
    """Stands in for a stderr that is no terminal, with the usual time before the first line."""
    monkeypatch.setattr(harness.cli.progress, "FIRST_LINE", 10.0)
    # No line but those that the test asks for.
    monkeypatch.setattr(harness.cli.progress, "PULSE", 1000.0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    return sys.stderr


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_log_gets_a_line_now_and_then(monkeypatch):
    log, clock = open_log(monkeypatch), Clock()
    with ProgressBar("pair", clock=clock) as bar:
        bar.show("1/2 dift", 0, 6000)
        for done in range(1, 201):
            clock.now += 1
            bar.show("1/2 dift", done, 6000, "loss 0.5")
    assert log.getvalue().splitlines() == [
        "bench: 1/2 dift: 10 of 6,000 pairs, 1.0 pairs/s, 1:39:50 left, loss 0.5",
        "bench: 1/2 dift: 70 of 6,000 pairs, 1.0 pairs/s, 1:38:50 left, loss 0.5",
        "bench: 1/2 dift: 130 of 6,000 pairs, 1.0 pairs/s, 1:37:50 left, loss 0.5",
        "bench: 1/2 dift: 190 of 6,000 pairs, 1.0 pairs/s, 1:36:50 left, loss 0.5",
    ]


def test_a_day_of_work_is_some_two_hundred_lines(monkeypatch):
    log, clock = open_log(monkeypatch), Clock()
    with ProgressBar("pair", clock=clock) as bar:
        # A cell of ten minutes each: the lines do not begin anew with each cell.
        for cell in range(1, 145):
            for done in range(61):
                bar.show(f"{cell}/144 dift", done, 60)
                clock.now += 10
    lines = log.getvalue().splitlines()
    assert 100 < len(lines) < 200
    assert lines[0] == "bench: 1/144 dift: 1 of 60 pairs, 10.0 s a pair, 9:50 left"


def test_a_log_says_what_takes_long_before_the_first_pair(monkeypatch):
    log, clock = open_log(monkeypatch), Clock()
    with ProgressBar("pair", clock=clock) as bar:
        bar.show("1/1 dift", 0, None)
        bar.note("loading weights")
        for _ in range(75):
            clock.now += 1
            bar.pulse()
        bar.note("encoding images 1 to 8 of 57")
        clock.now += 60
        bar.pulse()
    bar.pulse()
    assert log.getvalue().splitlines() == [
        "bench: 1/1 dift: begun 10 s ago, loading weights",
        "bench: 1/1 dift: begun 1:10 ago, loading weights",
        "bench: 1/1 dift: begun 2:15 ago, encoding images 1 to 8 of 57",
    ]


def test_the_time_goes_on_while_nothing_is_done(monkeypatch):
    open_log(monkeypatch)
    monkeypatch.setattr(harness.cli.progress, "PULSE", 0.01)
    called = threading.Event()
    monkeypatch.setattr(ProgressBar, "pulse", lambda bar: called.set())
    with ProgressBar("pair") as bar:
        bar.show("1/1 dift", 0, None)
        assert called.wait(60)
        thread = bar._pulse
    thread.join(60)
    assert not thread.is_alive()


def test_nothing_is_said_of_a_task_that_has_just_begun(monkeypatch):
    log, clock = open_log(monkeypatch), Clock()
    with ProgressBar("image", clock=clock) as bar:
        bar.show("shapes", 0, 50)
        clock.now += 9
        bar.show("shapes", 50, 50)
        clock.now += 5
        bar.show("pf-willow", 0, 900)
        assert log.getvalue() == ""
        clock.now += 2
        bar.pulse()
    assert log.getvalue() == "bench: pf-willow: 0 of 900 images, begun 2 s ago\n"


def test_what_was_there_before_is_not_counted_in_the_speed(monkeypatch):
    log, clock = open_log(monkeypatch), Clock()
    with ProgressBar("step", clock=clock) as bar:
        bar.show("sd4match-cpm", 20_000, 30_000)
        clock.now += 20
        bar.show("sd4match-cpm", 20_010, 30_000)
    assert log.getvalue() == ("bench: sd4match-cpm: 20,010 of 30,000 steps, 2.0 s a step, 5:33:00 left\n")


def test_a_log_of_a_download_of_unknown_size_counts_bytes(monkeypatch):
    log, clock = open_log(monkeypatch), Clock()
    with ProgressBar("B", clock=clock) as bar:
        bar.show("a.zip", 0, None)
        clock.now += 60
        bar.show("a.zip", 123456, None)
    assert log.getvalue() == "bench: a.zip: 123,456 bytes, 0.0 MB/s\n"


def test_quiet_shows_no_progress(monkeypatch):
    log, clock = open_log(monkeypatch), Clock()
    with showing(Verbosity.QUIET), ProgressBar("pair", clock=clock) as bar:
        bar.show("dift", 0, 2)
        clock.now += 1000
        bar.show("dift", 1, 2)
    assert log.getvalue() == ""
    terminal = open_terminal(monkeypatch)
    with showing(Verbosity.QUIET), ProgressBar("pair") as bar:
        bar.show("dift", 1, 2)
    assert terminal.getvalue() == ""


def test_verbose_has_lines_on_a_terminal_too(monkeypatch):
    open_log(monkeypatch)
    terminal, clock = open_terminal(monkeypatch), Clock()
    with showing(Verbosity.VERBOSE), ProgressBar("pair", clock=clock) as bar:
        bar.show("dift", 0, 2)
        clock.now += 10
        bar.show("dift", 1, 2)
    assert terminal.getvalue() == "bench: dift: 1 of 2 pairs, 10.0 s a pair, 10 s left\n"


def test_a_task_of_unknown_length_shows_the_time_alone(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with waiting("report"):
        pass
    with ProgressBar("pair") as bar:
        bar.show("1/1 dift", 0, None)
        bar.note("loading weights")
    assert "report: 00:00" in terminal.getvalue()
    assert "1/1 dift: 00:00, loading weights" in terminal.getvalue()
    assert "?" not in terminal.getvalue()


def test_a_line_is_not_printed_into_a_bar(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with ProgressBar("pair") as bar:
        bar.show("1/1 dift", 1, 2)
        before = len(terminal.getvalue())
        print_line("cell.npz: damaged")
    # The bar is wiped away first: a return, blanks, a return.
    blank, _, rest = terminal.getvalue()[before:].partition("bench: ")
    assert blank.strip("\r ") == ""
    assert len(blank) > 10
    assert rest.startswith("cell.npz: damaged\n")
