"""The one progress bar: shown to a terminal, silent otherwise, a bar for each title."""

from __future__ import annotations

import io
import sys

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


def test_a_file_and_a_silenced_process_get_nothing(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with ProgressBar("pair", is_enabled=False) as bar:
        bar.show("dift", 1, 2)
    assert terminal.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with ProgressBar("pair") as bar:
        bar.show("dift", 1, 2)
    assert sys.stderr.getvalue() == ""
