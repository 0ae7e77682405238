"""Docstrings and signatures of this project, brought into the form that readers of the site need."""

from __future__ import annotations

import dataclasses
import re

from sphinx.application import Sphinx
from sphinx.domains.python import PyObject

_SEVERAL_NAMES = re.compile(r"^ +(?:\*{0,2}\w+, )+\w+:")


def join_names(app: Sphinx, what: str, name: str, subject: object, options: object, lines: list[str]) -> None:
    """Writes `source, target: text` as `source,target: text`: napoleon takes the first for a type."""
    for number, line in enumerate(lines):
        names = _SEVERAL_NAMES.match(line)
        if names:
            lines[number] = re.sub(r"(?<=,) ", "", names.group()) + line[names.end() :]


def shorten_signature(
    app: Sphinx, what: str, name: str, subject: object, options: object, signature: str, returns: str | None
) -> tuple[str, str | None] | None:
    """Writes the signature of a dataclass without types: they stand at its fields, which are below it."""
    if not (isinstance(subject, type) and dataclasses.is_dataclass(subject)):
        return None
    written = []
    has_star = False
    for field in dataclasses.fields(subject):
        if field.kw_only and not has_star:
            written.append("*")
            has_star = True
        written.append(field.name + _default(field))
    return f"({', '.join(written)})", returns


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"={field.default!r}"
    if field.default_factory is not dataclasses.MISSING:
        return f"={field.default_factory.__name__}()"
    return ""


def setup(app: Sphinx) -> dict[str, object]:
    """Adds the changes to autodoc, ahead of napoleon's."""
    for kind in PyObject.doc_field_types:
        if kind.name == "variable":
            kind.label = "Fields"
    app.connect("autodoc-process-docstring", join_names, priority=400)
    app.connect("autodoc-process-signature", shorten_signature)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
