"""`harness.compare`: the differences between two runs as a frame."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from harness.api import values
from harness.api.lists import large_alphas_question
from harness.api.values import FilePath, Numbers, Texts
from harness.errors import UserError
from harness.notices import warn
from harness.plugins.loading import load_plugins

if TYPE_CHECKING:
    import pandas as pd


def compare(
    a: FilePath,
    b: FilePath | None = None,
    *,
    localizers: Texts | None = None,
    protocols: Texts | None = None,
    alphas: Numbers | None = None,
    averaging: str | None = None,
    point_slice: str | None = None,
    results: FilePath = "results",
    datasets: Texts | None = None,
    data_root: FilePath | None = None,
) -> pd.DataFrame:
    """The paired difference B - A of two runs, from stored predictions: `bench compare --format csv`.

    Args:
        a, b: each a results folder, a cell's folder, its id or the beginning of it, or
            `DIR:method[/prompt]`, as `results:hog`. Without `b`, `protocols` are compared on `a` alone.
        localizers: one for both runs, or one for each; None for each method's own.
        protocols: those to compare under; None for the main one of both.
        alphas: thresholds; None for those of the records.
        averaging: kind of average; None for each protocol's own.
        point_slice: `geometry-aware`: only points that look like another one of the target count; None for
            all.
        results: the results folder of cells that are named by their id alone.
        datasets: `NAME=PATH` of datasets that do not lie in `data_root`.
        data_root: the folder that holds the datasets' own; None for BENCH_DATA_ROOT, or `data`.

    Returns:
        A row for each dataset, slice and alpha: `pck_a`, `pck_b`, `difference` with its 95 % interval from
        `low` to `high` in percentage points, `p_holm` (the probability of so large a difference by chance,
        adjusted for all rows), and who was right on how many keypoints alone.

    Raises:
        UserError: a run is not there, options do not go together, or nothing can be compared.
    """
    from harness.api.frames import tidy_frame
    from harness.api.run_differences import CompareArguments, compare_runs
    from harness.tables.differences import KEYS, differences

    thresholds = None if alphas is None else values.read_alphas("alphas", alphas)
    if question := large_alphas_question(thresholds or ()):
        warn(f"alphas {question}")
    runs = [a] if b is None else [a, b]
    arguments = CompareArguments(
        runs=tuple(str(values.read_path(run)) for run in runs),
        protocols=None if protocols is None else values.read_texts("protocols", protocols),
        alphas=thresholds,
        averaging=values.read_averaging(averaging),
        localizers=None if localizers is None else values.read_texts("localizers", localizers),
        top=0,
        format_="csv",
        results=values.read_path(results),
        datasets=None if datasets is None else values.read_datasets("datasets", datasets),
        data_root=values.read_data_root(data_root),
        point_slice=values.read_point_slice(point_slice),
    )
    compared = compare_runs(load_plugins(), arguments, warn)
    rows = itertools.chain.from_iterable(differences(compared.comparisons, arguments.averaging))
    return tidy_frame(rows, KEYS)


def predictions(cell: FilePath, *, results: FilePath = "results") -> pd.DataFrame:
    """The predicted points of one cell: a row for each pair, keypoint and localizer.

    Args:
        cell: the cell's folder, its id or the beginning of it, or `DIR:method[/prompt]`.
        results: the results folder of a cell that is named by its id alone.

    Returns:
        `x` and `y` are original pixels of the target image, `score` is the localizer's own; the true points
        and what else the file has stand beside them (`docs/reference/results-folder.md`).

    Raises:
        UserError: there is no such cell, or several, or its file is damaged.
    """
    from harness.records.runs import read_run
    from harness.scoring.points import read_cell

    text = str(values.read_path(cell))
    run = read_run(text, values.read_path(results))
    if len(run.cells) > 1:
        ids = ", ".join(stored.record.cell.id for stored in run.cells)
        raise UserError(f"{text}: has the cells {ids}; name one of them")
    frame: pd.DataFrame = read_cell(run.cells[0].folder, run.cells[0].record).to_pandas()
    return frame
