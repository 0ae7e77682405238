"""Runs the notebooks of the documentation and keeps what they show: `python -m tools.notebooks`.

What a notebook prints to stderr, such as its bars, and the times of its cells are left out: they differ each
time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]

FOLDER = ROOT / "docs" / "notebooks"


def execute(path: Path, folder: Path) -> NotebookNode:
    """Returns a notebook with what its cells show now.

    Args:
        folder: the working directory of its code.

    Raises:
        CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def main() -> None:
    """Writes all notebooks anew."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(path, Path(folder))
        # The version of the language is that of one machine.
        notebook.metadata.language_info = {"name": "python"}
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
