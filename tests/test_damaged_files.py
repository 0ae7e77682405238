"""Files and options of somebody else's, damaged at random: each is read, or refused in one line.

`tests/survival/test_many_damaged_files.py` does the same with thousands of cases.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from support.foreign_files import FOREIGN_FILES, ForeignFile, check_command_line, check_outcome
from support.option_texts import OPTION_TEXTS, option_words

# The same cases in every run: no test may depend on chance.
few = settings(max_examples=25, deadline=None, derandomize=True, database=None)

PICTURES = ("AVIF", "BLP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Kinds of pictures that are damaged here; the others differ in their decoder alone."""

KINDS = [
    kind
    for kind in FOREIGN_FILES
    if not kind.name.startswith("picture") or kind.name.removeprefix("picture ") in PICTURES
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_damaged_file_is_read_or_refused_in_one_line(kind: ForeignFile, tmp_path):
    path = kind.make(tmp_path)
    content = path.read_bytes()
    assert not check_outcome(kind, path), "the sound file is refused"
    damaged = kind.damaged(content)

    # Drawn inside: hypothesis would print the whole of an argument.
    @few
    @given(st.data())
    def check(data: DataObject) -> None:
        path.write_bytes(data.draw(damaged))
        check_outcome(kind, path)

    check()


@pytest.mark.parametrize("option", OPTION_TEXTS)
def test_an_option_is_read_or_refused_in_one_line(option: str):
    @few
    @given(option_words(option))
    def check(words: list[str]) -> None:
        check_command_line(words)

    check()
