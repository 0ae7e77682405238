"""JSON files: whatever is wrong with one is a `ValueError` of one line."""

from __future__ import annotations

import os

import pytest

from harness.files import parse_json, read_json

WRONG = {
    "cut": (b'{"a": ', "not valid JSON"),
    "more digits than Python converts": (b"[" + b"1" * 5000 + b"]", "too many digits"),
    "nested beyond the stack": (b"[" * 100_000, "nested too deeply"),
    "objects nested beyond the stack": (b'{"a":' * 100_000, "nested too deeply"),
    "no UTF-8": (b'"\xff"', "not text in UTF-8"),
    "empty": (b"", "not valid JSON"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_in_one_line(wrong, tmp_path):
    content, message = WRONG[wrong]
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_json(tmp_path / "x.json")
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_content(tmp_path):
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "x.json") == {"a": 1}


def test_a_key_that_occurs_twice_is_refused_where_that_is_asked_for():
    text = '{"pairs": [{"id": 1, "id": 2}]}'
    assert parse_json(text) == {"pairs": [{"id": 2}]}
    with pytest.raises(ValueError, match="'id' occurs twice"):
        parse_json(text, unique_keys=True)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(ValueError, match="a pipe"):
        read_json(tmp_path / "x.json")


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "x.json")
