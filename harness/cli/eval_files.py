"""Where documents of evaluation results go: to stdout, to one file, or to a folder with a file for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from harness.cli.table_files import write_file
from harness.cli.verbosity import print_information
from harness.errors import UserError
from harness.files import check_place, make_folder
from harness.messages import counted
from harness.tables.eval_results import EvalDocument

_ENDINGS = (".yaml", ".yml")


def check_eval_place(out: Path | None) -> None:
    """Raises `UserError`, before the work begins, for a place that can hold no documents."""
    if out is None or str(out) == "-" or out.is_dir():
        return
    if out.suffix.casefold() in _ENDINGS:
        check_place(out)
    elif out.exists() or out.suffix.casefold() in (".md", ".csv", ".tex", ".html", ".json", ".txt"):
        raise UserError(f"-o {out}: eval-results are YAML; name a folder, or a file that ends in .yaml")
    elif not out.parent.is_dir():
        raise UserError(f"-o {out}: {out.parent} is not a folder; make it first")


def write_eval_documents(documents: Sequence[EvalDocument], out: Path | None) -> None:
    """Prints documents, or writes them to a file, or each to a file of its own in a folder."""
    stream = "---\n".join(document.text for document in documents)
    if out is None or str(out) == "-":
        click.echo(stream, nl=False)
        return
    if out.suffix.casefold() in _ENDINGS and not out.is_dir():
        write_file(out, stream)
        print_information(f"{counted(len(documents), 'row')} in {out}")
        return
    make_folder(out)
    for document in documents:
        write_file(out / f"{document.name}.yaml", document.text)
    print_information(f"{counted(len(documents), 'row')} in {out}, a file each")
