"""Rows as model hubs publish evaluation results: the `model-index` of a model card, made by huggingface_hub.

Only what was measured here on a whole split under the table's protocol is exported: the form has no place for
the notes that keep other rows from being compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.records.schema import Record, Score
from harness.tables.columns import Column
from harness.tables.intervals import interval_kind
from harness.tables.row import Row
from harness.tables.rows import rows_of
from harness.tables.text import NOTHING, alpha_text, split_name
from harness.tables.view import View

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TASK = "keypoint-matching"
"""The hub's name of the task."""


class EvalDocument(NamedTuple):
    """One row.

    Attributes:
        name: a name that can be that of a file.
        text: YAML, a mapping with `model-index`.
    """

    name: str
    text: str


def eval_documents(records: Sequence[Record], view: View) -> tuple[list[EvalDocument], list[str]]:
    """A document for each row that can be compared, and a line for each that cannot, with the reason."""
    from huggingface_hub import ModelCardData

    documents: list[EvalDocument] = []
    left_out: list[str] = []
    columns = view.columns(records)
    names: dict[str, int] = {}
    for row in sorted(rows_of(records, view), key=lambda row: row.key):
        numbers = row.scores(columns)
        subject = " ".join(part for part in (row.method, row.prompt, row.localizer) if part != NOTHING)
        if row.notes or not numbers:
            left_out.append(f"{subject}: not exported: {row.note or 'no numbers'}")
            continue
        results = [_result(row, column, score) for column, score in numbers]
        card = ModelCardData(model_name=row.method, eval_results=results)
        name = _file_name(subject)
        names[name] = names.get(name, 0) + 1
        if names[name] > 1:
            name = f"{name}-{names[name]}"
        documents.append(EvalDocument(name, card.to_yaml() + "\n"))
    return documents, left_out


def _file_name(text: str) -> str:
    """The text with a dash for all that may mean something else in the name of a file."""
    return "".join(letter if letter.isalnum() or letter in "._=" else "-" for letter in text).strip("-.")


def _result(row: Row, column: Column, score: Score) -> EvalResult:
    """One number, with all that is needed to compare it."""
    from huggingface_hub import EvalResult

    members = row.cells[column.dataset, column.split]
    provenance = members[0].provenance
    settings: dict[str, Any] = {
        "alpha": column.alpha,
        "protocol": score.protocol,
        "averaging": score.averaging,
        "prompt": row.prompt,
        "localizer": row.localizer,
        "backbone": row.backbone,
        "supervision": row.supervision,
        "trained_on": row.trained_on or "none",
        "seeds": [record.cell.seed for record in members],
        "pairs": score.pairs,
        "keypoints": score.keypoints,
    }
    if score.images is not None:
        settings["images"] = score.images
    if score.low is not None and score.high is not None:
        settings["interval_95"] = [round(score.low, 2), round(score.high, 2)]
        # An interval of an earlier version takes pairs as independent, and says so here.
        settings["interval_of"] = interval_kind(score)
    if row.remarks:
        settings["remarks"] = list(row.remarks)
    if provenance:
        settings["measured_with"] = provenance.plugins.get("harness", "correspondence-bench")
    return EvalResult(
        task_type=TASK,
        task_name="Semantic correspondence",
        dataset_type=column.dataset,
        dataset_name=split_name(column.dataset, column.split),
        dataset_split=column.split,
        dataset_args={"manifest": provenance.manifest, **provenance.facts} if provenance else None,
        metric_type="pck",
        metric_name=f"PCK@{alpha_text(column.alpha)}",
        metric_value=round(score.pck, 2),
        metric_args=settings,
    )
