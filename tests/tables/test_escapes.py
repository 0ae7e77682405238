"""Names and messages of others in tables: no tag, link, formula, control code or column of their own."""

from __future__ import annotations

import csv
import io

import pytest
from support.made_up_records import a_record
from support.views import table_of

from harness.messages import printable
from harness.report.redact import plain
from harness.tables.leaderboard import leaderboard
from harness.tables.text import alpha_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ± text", "plain ± text"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("a\nb\r\tc\x85d\u2028e", "a b  c d e"),
        ("a\x00b\x07c\x9b1mx", "abcx"),
        ("\ud800x", "x"),
        ("\u202eabc", "abc"),
        ("\x1bc!", "!"),
    ],
)
def test_what_a_terminal_would_obey_is_left_out(text, shown):
    assert printable(text) == shown
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("name", "markdown"),
    [
        ("<script>alert(1)</script>", r"\<script>alert(1)\</script>"),
        ("[x](javascript:alert(1))", r"[x\](javascript:alert(1))"),
        ("![x](http://a/b.png)", r"![x\](http://a/b.png)"),
        ("**best**", r"\*\*best\*\*"),
        ("a|b", r"a\|b"),
        ("a\x85| b |", r"a \| b \|"),
        ("<0.001", "<0.001"),
    ],
)
def test_markdown_of_a_name_is_its_text(name, markdown):
    lines = table_of(leaderboard, [a_record(name)]).render("md").splitlines()
    assert len(lines) == 5
    assert f"| {markdown} " in lines[-1]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "=cmd|' /C calc'!A0"])
def test_a_cell_of_a_csv_is_no_formula_and_breaks_no_row(name):
    record = a_record(name, 1.5)
    scores = [score.model_copy(update={"pck": -1.5}) for score in record.scores]
    text = table_of(leaderboard, [record.model_copy(update={"scores": scores})]).render("csv")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    # Numbers stay numbers.
    assert "-1.5" in {row["pck"] for row in rows}
    assert len(rows) == 8
    assert {row["method"] for row in rows} == {"'" + name.strip()}


@pytest.mark.parametrize(
    ("alpha", "text"),
    [
        (0.1, "0.10"),
        (0.1000001, "0.1000001"),
        (0.10000000001, "0.10000000001"),
        (0.001, "0.001"),
        (10.0, "10.00"),
        (1e300, "1e+300"),
        (1e-300, "1e-300"),
    ],
)
def test_alphas_are_printed_as_different_as_they_are(alpha, text):
    assert alpha_text(alpha) == text
