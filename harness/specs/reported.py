"""Numbers that papers printed: the spec that `bench_reported` collects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.specs.bibtex import check_citation
from harness.specs.common import AVERAGINGS, Averaging


@dataclass(frozen=True, kw_only=True)
class ReportedSpec:
    """Numbers that a paper printed, which tables show beside measured ones, called reported.

    Attributes:
        name: the one that `--reported=NAME` takes.
        file: a CSV, or an index of several in JSON or TOML (docs/guides/reported.md has their form).
        paper: the paper as rows name it, `SD4Match (CVPR 2024)`; empty where the file says it.
        protocol: the one that the numbers follow; empty where the file says it.
        averaging: the average that they are; None for that of the file or else of the protocol.
        split: split of the datasets, where the file says none.
        citation: BibTeX of the paper, for `bench cite`; empty where there is none.
    """

    name: str
    file: Path
    paper: str = ""
    protocol: str = ""
    averaging: Averaging | None = None
    split: str = "test"
    description: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        """Raises `UserError` for an unknown average, and a citation that is not BibTeX."""
        owner = f"reported numbers '{self.name}'"
        if self.averaging not in (None, *AVERAGINGS):
            known = ", ".join(AVERAGINGS)
            raise UserError(f"{owner}: unknown averaging '{self.averaging}'; known: {known}")
        check_citation(owner, self.citation)
