"""Pages of the reference that a program writes are those of this code."""

from __future__ import annotations

import pydantic
import pytest

from tools.reference import FOLDER, PAGES
from tools.reference import record as record_reference


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_current(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name](), "run 'make docs-reference'"


def test_commands_do_not_depend_on_the_environment(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("BENCH_BLOCK", "sd4match")
    monkeypatch.setenv("BENCH_DATA_ROOT", "elsewhere")
    assert PAGES["commands.md"]() == (FOLDER / "commands.md").read_text(encoding="utf-8")


def test_a_field_without_a_description_is_an_error(monkeypatch):
    class Record(pydantic.BaseModel):
        """A record."""

        described: int
        """A number."""
        bare: int

    monkeypatch.setattr(record_reference.schema, "Record", Record)
    monkeypatch.setattr(record_reference, "_descriptions", lambda model: {"described": "A number."})
    with pytest.raises(ValueError, match=r"Record\.bare has no description"):
        record_reference.record_page()
