"""The notebooks run from the first cell to the last, and show what they showed when they were written."""

from __future__ import annotations

import re

import nbformat
import pytest

from tools.notebooks import FOLDER, execute

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

MOST_BYTES = 300_000

# Seconds differ each time.
_UNSTEADY = re.compile(r"s/pair")


def shown(notebook: nbformat.NotebookNode) -> list[list[tuple[str, str]]]:
    """What each cell shows: kind and text; of pictures the kind alone."""
    cells = []
    for cell in notebook.cells:
        outputs = []
        for output in cell.get("outputs", []):
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            is_steady = "image/png" not in output.get("data", {}) and not _UNSTEADY.search(text)
            outputs.append((output.output_type, text if is_steady else ""))
        cells.append(outputs)
    return cells


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_it_showed(path, tmp_path):
    assert shown(execute(path, tmp_path)) == shown(nbformat.read(path, as_version=4))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_of_no_machine(path):
    assert path.stat().st_size < MOST_BYTES
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    texts = "".join(text for outputs in shown(notebook) for _, text in outputs)
    assert not re.search(r"/(home|root|tmp|Users)/|[A-Z]:\\", texts)
    assert any(outputs for outputs in shown(notebook))
    # Nothing is fetched from elsewhere.
    assert not re.search(
        r"https?://", "".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_somewhere(path):
    notebook = nbformat.read(path, as_version=4)
    links = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            links += re.findall(r"\]\(([^)#]+)", cell.source)
    assert links
    for link in links:
        assert (path.parent / link).is_file(), link
