"""The one progress bar: shown to a terminal, silent otherwise, a bar for each title."""

from __future__ import annotations

import io
import sys

import harness.cli.progress
from harness.cli.progress import ProgressBar


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
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    seconds = iter([0.0, 1000.0])
    with ProgressBar("pair", is_enabled=False, clock=lambda: next(seconds)) as bar:
        bar.show("dift", 1, 2)
    assert sys.stderr.getvalue() == ""


def test_a_log_gets_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(harness.cli.progress, "FIRST_LINE", 10.0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    # Begun at 0; then one pair a second: lines after 10 s, 20 s later, 40 s later ...
    seconds = iter(range(1000))
    with ProgressBar("pair", clock=lambda: float(next(seconds))) as bar:
        for done in range(1, 101):
            bar.show("1/2 dift", done, 6000, "loss 0.5")
    assert sys.stderr.getvalue().splitlines() == [
        "bench: 1/2 dift: 10 of 6,000 pairs, loss 0.5",
        "bench: 1/2 dift: 30 of 6,000 pairs, loss 0.5",
        "bench: 1/2 dift: 70 of 6,000 pairs, loss 0.5",
    ]


def test_a_log_of_a_download_of_unknown_size_counts_bytes(monkeypatch):
    monkeypatch.setattr(harness.cli.progress, "FIRST_LINE", 10.0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    seconds = iter([0.0, 60.0])
    with ProgressBar("B", clock=lambda: next(seconds)) as bar:
        bar.show("a.zip", 123456, None)
    assert sys.stderr.getvalue() == "bench: a.zip: 123,456 bytes\n"
