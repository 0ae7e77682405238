"""The line of a key in a file of options."""

from __future__ import annotations

import pytest

from harness.cli.config_file import key_line

TEXT = """# a sweep
methods = [
  "dift",  # limit = 3
  "hog",
]

limit = 20
title = \'\'\'
seeds = 4
\'\'\'
"a key" = 1
seeds = 5

[set]
layer = 3
[set.more]
layer = 4
"""


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("methods",), 2),
        (("limit",), 7),
        (("title",), 8),
        (("a key",), 11),
        (("seeds",), 12),
        (("set",), 14),
        (("set", "layer"), 15),
        (("set", "more", "layer"), 17),
        (("set", "other"), None),
        (("limit", "layer"), None),
        (("nothing",), None),
    ],
)
def test_a_value_begins_where_it_is_first_there(keys, line):
    assert key_line(TEXT, *keys) == line


def test_keys_with_dots_have_the_line_they_stand_on():
    assert key_line("limit = 1\nset.layer = 3\nset.stride = 4\n", "set", "stride") == 3
    assert key_line("limit = 1\r\nseed = 2", "seed") == 2
