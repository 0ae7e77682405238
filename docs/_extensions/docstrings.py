"""Docstrings of this project, brought into the form that napoleon reads."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

_SEVERAL_NAMES = re.compile(r"^ +(?:\*{0,2}\w+, )+\w+:")


def join_names(app: Sphinx, what: str, name: str, subject: object, options: object, lines: list[str]) -> None:
    """Writes `source, target: text` as `source,target: text`: napoleon takes the first for a type."""
    for number, line in enumerate(lines):
        names = _SEVERAL_NAMES.match(line)
        if names:
            lines[number] = re.sub(r"(?<=,) ", "", names.group()) + line[names.end() :]


def setup(app: Sphinx) -> dict[str, object]:
    """Adds the change to autodoc, ahead of napoleon's."""
    app.connect("autodoc-process-docstring", join_names, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
