"""Tables on a terminal: within its width, without markup, with every number."""

from __future__ import annotations

import re

import pytest
from support.made_up_records import a_failed_record, a_record
from support.views import table_of

import harness.cli.terminal
from harness.tables.leaderboard import leaderboard
from harness.tables.plain import render_plain, wrap_text

RECORDS = [
    a_record("a-method-of-a-long-name[timestep=261,ensemble=8]", 61.25),
    a_record("second", 33.349, localizers=("argmax", "soft-argmax")),
    a_record("half", 99.0, stored=4),
    a_failed_record(),
]

TABLE = table_of(leaderboard, RECORDS, has_details=True)


@pytest.mark.parametrize("width", [50, 60, 80, 120, 200, 400])
@pytest.mark.parametrize("has_colours", [True, False])
def test_no_line_is_wider_than_the_terminal_and_no_text_is_lost(width, has_colours):
    text = render_plain(TABLE, width, has_colours=has_colours)
    shown = re.sub("\x1b\\[[0-9]*m", "", text)
    assert ("\x1b" in text) == has_colours
    assert max(map(len, shown.splitlines())) <= width
    assert not set("|*<") & set(shown.replace("no & <such>", ""))
    assert ("Bold" in shown) == has_colours
    for number in ("61.2 ±4.5", "71.2 ±4.5", "33.3 ±4.5", "99.0 ±4.5"):
        assert number.split()[0] in shown
    words = "".join(shown.split())
    for note in ("birds: limited to 4 of 10 pairs", "birds: failed: no & <such> 5_% thing"):
        assert "".join(note.split()) in words


def test_a_table_that_fits_is_one_part_with_its_notes():
    text = render_plain(TABLE, 400, has_colours=False)
    assert text.count("localizer") == 1
    assert "All rows" not in text
    assert re.search(r"half .* birds: limited to 4 of 10 pairs$", text, re.MULTILINE)


def test_what_all_rows_share_becomes_a_sentence():
    text = render_plain(TABLE, 100, has_colours=False)
    assert "All rows: prompt none, backbone none" in text
    assert text.count("limited to 4 of 10") == 1


def test_rows_of_one_method_keep_what_sets_them_apart():
    text = render_plain(TABLE, 60, has_colours=False)
    for part in text.split("\n\n"):
        if part.startswith("#"):
            assert "soft-argmax" in part


def test_best_is_bold():
    records = [a_record("good", 61.0), a_record("bad", 31.0)]
    text = render_plain(table_of(leaderboard, records, has_details=True), 400, has_colours=True)
    assert "\x1b[1m71.0\x1b[0m ±4.5" in text
    assert "\x1b[4m41.0\x1b[0m ±4.5" in text


def test_words_are_wrapped_and_line_breaks_kept():
    assert wrap_text("a bc def\ngh", 4) == "a bc\ndef\ngh"


def test_markdown_where_stdout_is_no_terminal(monkeypatch):
    assert harness.cli.terminal.stdout_format() == "md"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert harness.cli.terminal.stdout_format() == "text"
