"""The project's pages and their blocks of code."""

from __future__ import annotations

import re
from pathlib import Path

from support.paths import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a page."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [content for kind, content in fenced if kind == language]


def saved_blocks(page: Path) -> list[tuple[str, str]]:
    """Blocks that a comment before them gives a name (`<!-- file: sweep.toml -->`), by that name."""
    pattern = r"^<!-- file: (\S+) -->\n```\w*\n(.*?)^```$"
    return re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """Text of a page without its fenced blocks: `[x](y)` in code is no link."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as Git pages and the site make them."""
    seen: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number = seen.setdefault(slug, 0)
        seen[slug] += 1
        names.add(f"{slug}-{number}" if number else slug)
    return names
