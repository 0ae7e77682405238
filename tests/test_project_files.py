"""Files that sites and programs read: the citation and the forms for issues."""

from __future__ import annotations

import re
import tomllib

import click
import pytest
import yaml
from support.paths import ROOT

from harness.cli import bench
from harness.scoring.protocols import BUILTIN
from harness.specs import AVERAGINGS
from harness.version import __version__

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))

KINDS = ("markdown", "input", "textarea", "dropdown", "checkboxes")


def form(name: str) -> dict:
    text = (ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def fields(name: str) -> dict[str, dict]:
    return {field["id"]: field for field in form(name)["body"] if field["type"] != "markdown"}


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == __version__
    assert citation["title"] == project["name"]
    assert citation["license"] == project["license"]
    assert citation["abstract"] == project["description"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["message"]
    # An entity, by the schema: a person would have given and family names.
    assert citation["authors"] == project["authors"] == [{"name": "The correspondence-bench authors"}]


def test_versions_are_semantic():
    assert re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", __version__)


def test_there_is_a_form_for_each_kind_of_issue():
    kinds = ["bug", "config", "my-number-differs", "new-dataset", "new-method"]
    assert [path.stem for path in FORMS] == kinds
    assert form("config") == {"blank_issues_enabled": True}


@pytest.mark.parametrize("name", [path.stem for path in FORMS if path.stem != "config"])
def test_forms_are_whole(name):
    content = form(name)
    assert {"name", "description", "labels", "body"} == set(content)
    ids = [field["id"] for field in content["body"] if "id" in field]
    assert len(ids) == len(set(ids))
    for field in content["body"]:
        assert field["type"] in KINDS
        if field["type"] == "markdown":
            assert field["attributes"]["value"].strip()
            continue
        assert re.fullmatch(r"[a-z]+", field["id"])
        assert field["attributes"]["label"]
        if field["type"] == "dropdown":
            assert all(isinstance(option, str) for option in field["attributes"]["options"])
    # GitHub refuses a form that asks for nothing.
    assert any(field.get("validations", {}).get("required") for field in content["body"])


def test_a_report_of_a_fault_comes_with_the_doctors_text():
    doctor = fields("bug")["doctor"]
    assert doctor["validations"]["required"]
    assert "bench doctor" in doctor["attributes"]["description"]
    # No Markdown may be read into it.
    assert doctor["attributes"]["render"] == "text"


def test_who_has_another_number_is_asked_for_all_that_decides_it():
    asked = fields("my-number-differs")
    for name in ("numbers", "command", "protocol", "averaging", "localizer", "weights", "data", "record"):
        assert asked[name]["validations"]["required"], name
    assert {spec.name for spec in BUILTIN} <= set(asked["protocol"]["attributes"]["options"])
    assert set(AVERAGINGS) <= set(asked["averaging"]["attributes"]["options"])


def test_commands_in_the_forms_exist():
    context = click.Context(bench)
    for path in FORMS:
        for words in re.findall(r"bench ([a-z]+)", path.read_text(encoding="utf-8")):
            assert words in bench.commands or bench.get_command(context, words), f"{path.name}: {words}"


def test_make_targets_that_contributors_are_told_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    pages = (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "development" / "versions.md")
    for page in pages:
        for line in re.findall(r"^`{0,3}\d?\.? ?`?make ([a-z -]+)", page.read_text(encoding="utf-8"), re.M):
            for target in line.split():
                assert f"\n{target}:" in makefile, f"{page.name}: make {target}"
