"""Parts of a finished cell, as two machines that shared its pairs would have left them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from harness.plugins.loading import load_plugins
from harness.records.folders import RECORD, read_record, write_record
from harness.records.predictions import PREDICTIONS, read_predictions, write_table
from harness.scoring.criteria import criteria_of
from harness.scoring.points import count_predictions
from harness.scoring.rescore import with_scores
from harness.scoring.sources import Predicted
from harness.scoring.thresholds import applicable
from harness.scoring.truth_columns import truth_in


def write_part(
    cell: Path,
    home: Path,
    has_pair: Callable[[str], bool] = lambda pair_id: True,
    localizers: Sequence[str] = (),
    **provenance: object,
) -> Path:
    """Writes the cell with some of its predictions into another results folder, scored as a run would.

    Args:
        cell: folder of a finished cell.
        home: results folder to write to.
        has_pair: whether a pair is in the part.
        localizers: those that are in the part; all of them where none is named.
        provenance: what is another than in the whole cell: `started="..."`.
    """
    record = read_record(cell / RECORD)
    names = localizers or list(record.localizers)
    table = _of_localizers(read_predictions(cell / PREDICTIONS), names)
    table = table.filter(pa.array([has_pair(pair_id) for pair_id in table["pair_id"].to_pylist()]))
    path = home / cell.name / PREDICTIONS
    truth = truth_in(table, path)
    numbers = count_predictions(table)
    infos = {
        name: info.model_copy(update={"pairs": numbers[name][0], "keypoints": numbers[name][1]})
        for name, info in record.localizers.items()
        if name in numbers
    }
    draft = record.model_copy(
        update={
            "localizers": infos,
            "predictions_sha256": write_table(path, table),
            "provenance": record.provenance.model_copy(update=provenance),
        }
    )
    measures = applicable(truth, criteria_of(record, load_plugins()))
    write_record(path.parent, with_scores(Predicted(path, table, truth), draft, measures))
    return path.parent


def _of_localizers(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The rows of some localizers, with their fingerprints alone."""
    rows = table.filter(pa.array([name in names for name in table["localizer"].to_pylist()]))
    metadata = dict(table.schema.metadata)
    fingerprints = json.loads(metadata[b"localizers"])
    kept = {name: fingerprints[name] for name in names}
    return rows.replace_schema_metadata({**metadata, b"localizers": json.dumps(kept)})
