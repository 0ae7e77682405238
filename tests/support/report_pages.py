"""Helpers of tests that read the page of `bench report`."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

from support.results import put_record

from harness.records.folders import RECORD

HOSTILE = "</script><script>alert(1)</script>"
"""A name that ends the page's script, unless it is escaped."""

SCRIPT = "<img src=x onerror=alert(1)>"
"""A name that runs a script, unless it is escaped."""


def cell_folder(results, method):
    """The folder of a method's only cell."""
    (folder,) = results.glob(f"*-{method}.*")
    return folder


def change_record(folder, **values):
    """Changes fields of a cell's record."""
    content = json.loads((folder / RECORD).read_text())
    content.update(values)
    put_record(folder / RECORD, content)


def read_galleries(page):
    """The content of every gallery of a page."""
    contents = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    return [json.loads(content) for content in contents]


class PageOutline(HTMLParser):
    """Tags, ids, levels of headings, references and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.ids, self.levels, self.references, self.text = [], [], [], [], []
        self.open = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append((tag, values))
        if "id" in values:
            self.ids.append(values["id"])
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if (values.get("href") or "").startswith("#"):
            self.references.append(values["href"][1:])
        self.open.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def table_rows(page, key):
    """Texts of a table's body."""
    body = re.search(rf'<table id="{key}">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert body, key
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body[1], re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
