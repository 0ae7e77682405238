"""`llms.txt` lists the pages that there are."""

from __future__ import annotations

import re

from support.paths import ROOT

from tools import llms


def test_the_list_of_pages_is_current():
    assert llms.FILE.read_text(encoding="utf-8") == llms.text(), "run 'make docs-reference'"


def test_it_has_the_form_that_programs_expect():
    title, summary, details, *sections = llms.text().split("\n\n")
    assert title == "# correspondence-bench"
    assert summary.startswith("> ")
    assert "\n" not in details
    headings = [part for part in sections if part.startswith("## ")]
    lists = [part for part in sections if not part.startswith("## ")]
    assert len(headings) == len(lists) > 4
    for line in "\n".join(lists).splitlines():
        assert re.fullmatch(r"- \[[^\]]+\]\([^)]+\): \S.*", line), line


def test_every_page_is_in_it_once():
    targets = re.findall(r"^- \[[^\]]+\]\(([^)]+)\)", llms.text(), re.MULTILINE)
    assert len(targets) == len(set(targets))
    pages = {page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert set(llms.SUMMARIES) <= {page.removeprefix("docs/").removesuffix(".md") for page in targets}
    assert set(targets) == pages - {"docs/index.md"} | {"CONTRIBUTING.md", "CHANGELOG.md"}


def test_a_line_says_a_pages_first_sentence_and_its_headings(tmp_path, monkeypatch):
    monkeypatch.setattr(llms, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- generated -->\n# `A` page\n\n```\nbench run\n```\n\nFor example,\n\n```\n# no title\n```\n\n"
        "Fig. 3 has a [link](other.md) and is\nlong, e.g. this. More.\n\n## One\n\n## Two\n",
        encoding="utf-8",
    )
    assert llms._line(page) == "- [A page](page.md): Fig. 3 has a link and is long, e.g. this. (One; Two)"
    page.write_text("# Page\n\nTwo runs:\n", encoding="utf-8")
    assert llms._line(page) == "- [Page](page.md): Two runs."
    page.write_text("# Page\n\n" + "word " * 100, encoding="utf-8")
    assert llms._line(page).endswith("word …")
