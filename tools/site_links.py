"""`python -m tools.site_links FOLDER`: every link and picture in a folder of HTML leads somewhere in it.

Addresses with a host are not looked at, so that no network is needed. Exit status 1 where something is wrong.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_GENERATED = {"genindex.html", "py-modindex.html", "search.html"}
"""Pages of Sphinx itself, whose anchors its scripts make."""


class Page(HTMLParser):
    """Links of a page, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {"", "top"}
        self.without_text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        for name in ("id", "name"):
            self.anchors.add(values.get(name) or "")
        for name in ("href", "src"):
            if values.get(name):
                self.links.add(str(values[name]))
        # An empty text is right for a picture that only decorates; none at all never is.
        if tag == "img" and values.get("alt") is None:
            self.without_text.append(str(values.get("src")))


def site_problems(folder: Path) -> list[str]:
    """Links that lead nowhere and pictures without a text, each in one line with its page."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    problems = []
    for path, page in pages.items():
        name = path.relative_to(folder)
        problems += [f"{name}: picture {source} has no alternative text" for source in page.without_text]
        for link in sorted(page.links):
            if not _leads_somewhere(path, link, pages):
                problems.append(f"{name}: {link} leads nowhere")
    return problems


def _leads_somewhere(path: Path, link: str, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target not in pages:
        return target.is_file()
    return target.name in _GENERATED or unquote(parts.fragment) in pages[target].anchors


def main() -> int:
    """Prints what is wrong, and returns the exit status."""
    folder = Path(sys.argv[1]).resolve()
    problems = site_problems(folder)
    for problem in problems:
        sys.stderr.write(problem + "\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
