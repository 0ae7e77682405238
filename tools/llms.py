"""`llms.txt`, a list of the pages for programs that read (llmstxt.org): `python -m tools.llms` writes it.

Everything in it is read from `pyproject.toml` and from the pages: the order from the contents of
`docs/index.md`, and for each page its title, its first sentence and its headings.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from harness.files import replacing

ROOT = Path(__file__).parents[1]

FILE = ROOT / "llms.txt"

SUMMARIES = {
    "start/photos": "Points of one photo of yours found in another: `bench match` and `harness.match`.",
    "guides/compare": "Paired differences of two runs, with intervals and tests: `bench compare`.",
    "explanation/frames": "The frames of the protocols and the grids of feature maps, as pictures.",
    "start/demo": "Two methods on the bundled drawings and networks, and how to read their table.",
    "guides/extractor": "A feature extractor of your own as a plugin of one file, and its check.",
    "guides/localizer": "A localizer of your own: from features of a point and a picture to a point.",
    "guides/reporter": "A reporter of your own, which is told as cells start and end.",
    "guides/ap-10k": "Pairs of AP-10K that are the same on every machine, and the rule that makes them.",
    "guides/own-data": "Pairs of your own pictures as JSON or CSV: `--datasets folder=PATH`.",
    "guides/run": "Sweeps over methods, datasets, prompts, localizers, protocols and parameters.",
    "reproduce/authors-programs": "The bundled dataset laid out as SPair-71k: `bench data export`.",
    "reference/results-folder": "A results folder's files and columns, and what is checked in them.",
    "CHANGELOG": "What changed, the newest version first.",
}
"""Page, without `docs/` and `.md` -> its line, where its first sentence does not say what it is about."""

LONGEST = 240
"""Characters of a first sentence; a longer one is cut at a word."""

_TREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_BLOCKS = re.compile(r"^```.*?^```$|<!--.*?-->", re.MULTILINE | re.DOTALL)

_NEVER_PROSE = ("#", "|", "-", "!", ">", "*", "(")


def text() -> str:
    """The file's text."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    index = ROOT / "docs" / "index.md"
    parts = [f"# {project['name']}", f"> {project['description']}", " ".join(_paragraph(index).split())]
    for caption, pages in _sections(index).items():
        # What a reader in a hurry leaves out, by the convention of these files.
        title = "Optional" if caption == "Development" else caption
        extra = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"] if title == "Optional" else []
        lines = [_line(page) for page in (*pages, *extra)]
        parts.append(f"## {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _sections(index: Path) -> dict[str, list[Path]]:
    """Caption of each part of the contents -> its pages in order, those that a page lists itself included."""
    sections: dict[str, list[Path]] = {}
    for tree in _TREE.findall(index.read_text(encoding="utf-8")):
        caption = re.search(r"^:caption: (.+)$", tree, re.MULTILINE)
        pages = sections.setdefault(caption[1] if caption else "Pages", [])
        for page in _entries(index, tree):
            pages.append(page)
            for inner in _TREE.findall(page.read_text(encoding="utf-8")):
                pages += _entries(page, inner)
    return sections


def _entries(page: Path, tree: str) -> Iterator[Path]:
    for line in tree.splitlines():
        if line and not line.startswith(":"):
            yield (page.parent / f"{line}.md").resolve()


def _line(page: Path) -> str:
    """`- [Title](path): First sentence. (Heading; Heading)`."""
    content = _BLOCKS.sub("", page.read_text(encoding="utf-8"))
    title = re.search(r"^# (.+)$", content, re.MULTILINE)
    if title is None:
        raise ValueError(f"{page}: has no title")
    path = page.relative_to(ROOT).as_posix()
    own = SUMMARIES.get(path.removeprefix("docs/").removesuffix(".md"))
    sentence = own or _first_sentence(_paragraph(page))
    headings = [_plain(heading) for heading in re.findall(r"^## (.+)$", content, re.MULTILINE)]
    more = f" ({'; '.join(headings)})" if headings else ""
    name = title[1].replace("`", "")
    return f"- [{name}]({path}): {sentence}{more}"


def _paragraph(page: Path) -> str:
    """The first paragraph of prose of a page; empty where there is none."""
    content = _BLOCKS.sub("", page.read_text(encoding="utf-8"))
    for paragraph in content.split("\n\n"):
        stripped = paragraph.strip()
        # Half a sentence before a block of code says nothing without it.
        if stripped and not stripped.startswith(_NEVER_PROSE) and not stripped.endswith(","):
            return _plain(stripped).removesuffix(":")
    return ""


def _plain(markdown: str) -> str:
    """Text in one line, with the words of a link in its place."""
    return " ".join(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown).replace("**", "").split())


def _first_sentence(paragraph: str) -> str:
    sentence = re.split(r"(?<=[.?!])(?<!Fig\.)(?<!Figs\.)\s+(?=[A-Z`0-9±])", paragraph, maxsplit=1)[0]
    if len(sentence) <= LONGEST:
        return sentence if sentence.endswith((".", "?", "!")) or not sentence else f"{sentence}."
    return sentence[:LONGEST].rsplit(" ", 1)[0].rstrip(",;:") + " …"


def main() -> None:
    """Writes the file."""
    with replacing(FILE) as file:
        file.write(text().encode())


if __name__ == "__main__":
    main()
