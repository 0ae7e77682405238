"""`harness.leaderboard` and `harness.scores`: the numbers of results folders as frames."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api import values
from harness.api.values import FilePath, Numbers, Texts
from harness.errors import UserError
from harness.notices import warn
from harness.plugins.loading import load_plugins

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from harness.tables.table import Table

Folders = FilePath | Iterable[FilePath]


def leaderboard(
    folders: Folders = "results",
    *,
    table: str = "overall",
    by: str | None = None,
    protocol: str | None = None,
    averaging: str | None = None,
    alphas: Numbers | None = None,
    localizers: Texts | None = None,
    reported: bool | FilePath | Iterable[FilePath] = False,
    rank_reported: bool = False,
    places: bool = True,
    point_slice: str | None = None,
    datasets: Texts | None = None,
    data_root: FilePath | None = None,
) -> pd.DataFrame:
    """A table of a results folder, as `bench leaderboard` prints it.

    Args:
        folders: the results folder, or several, whose cells stand in one table.
        table: the table: `overall`, `differences`, `prompt-types`, `per-category`, `generalisation`,
            `timesteps` or `sweep`.
        by: parameter whose values are the rows of `sweep`; None for the only one with several.
        protocol: the table's protocol; None for sd4match where records have it.
        averaging: kind of average; None for the protocol's own.
        alphas, localizers: only these.
        reported: whether the numbers that papers printed stand beside the measured ones; CSV files of such
            numbers, or names of sets (`bench list reported`), instead of all that are known.
        rank_reported: whether they are ranked among the measured rows.
        places: whether rows are told apart by a test, which reads predictions; else by value alone.
        point_slice: `geometry-aware`: only points that look like another one of the target count; None for
            all.
        datasets: only these, with places of their own; `NAME=PATH` says where one lies, and chooses nothing.
        data_root: the folder that holds the datasets' own; None for BENCH_DATA_ROOT, or `data`.

    Returns:
        A row for each row of the printed table. Numbers are floats to the printed tenth, NaN where there is
        none; `NAME ±` is half the 95 % interval and `NAME − reported` the difference to a paper's number. `#`
        is a text, since a place may be `1–3`. `frame.attrs["caption"]` says what the numbers are.

    Raises:
        UserError: there are no results, an option is wrong, or the table has several parts, such as one for
            each dataset; `datasets` chooses one.
    """
    from harness.api.frames import frame_of
    from harness.tables.catalogue import CATALOGUE

    values.read_choice("table", table, CATALOGUE)
    tables = _make_tables(
        folders,
        is_tidy=False,
        table=table,
        by=by,
        protocol=protocol,
        averaging=averaging,
        alphas=alphas,
        localizers=localizers,
        reported=reported,
        rank_reported=rank_reported,
        places=places,
        point_slice=point_slice,
        datasets=datasets,
        data_root=data_root,
    )
    if len(tables) > 1:
        raise UserError(
            f"table '{table}': there are {len(tables)} of it, one for each dataset; choose one, datasets=NAME"
        )
    return frame_of(tables[0])


def scores(
    folders: Folders = "results",
    *,
    protocol: str | None = None,
    averaging: str | None = None,
    alphas: Numbers | None = None,
    localizers: Texts | None = None,
    point_slice: str | None = None,
    datasets: Texts | None = None,
    data_root: FilePath | None = None,
) -> pd.DataFrame:
    """All numbers of a results folder, one a row: the columns of `bench leaderboard --format csv`.

    Args:
        folders: the results folder, or several.
        protocol, averaging, alphas, localizers, datasets: only these.
        point_slice: as in `leaderboard`.
        data_root: the folder that holds the datasets' own; None for BENCH_DATA_ROOT, or `data`.

    Returns:
        `pck`, `low` and `high` are in percent, with all digits; NaN for a cell without numbers, whose
        `status` says why. `slice` is `all` or one of the pairs, such as `category=cat`.

    Raises:
        UserError: there are no results, or an option is wrong.
    """
    from harness.api.frames import tidy_frame
    from harness.tables.table import joined_tidy_rows

    tables = _make_tables(
        folders,
        is_tidy=True,
        protocol=protocol,
        averaging=averaging,
        alphas=alphas,
        localizers=localizers,
        point_slice=point_slice,
        datasets=datasets,
        data_root=data_root,
    )
    return tidy_frame(joined_tidy_rows(tables), tables[0].columns)


def _make_tables(
    folders: Folders,
    *,
    is_tidy: bool,
    protocol: str | None,
    averaging: str | None,
    alphas: Numbers | None,
    localizers: Texts | None,
    datasets: Texts | None,
    data_root: FilePath | None,
    table: str = "overall",
    by: str | None = None,
    reported: bool | FilePath | Iterable[FilePath] = False,
    rank_reported: bool = False,
    places: bool = True,
    point_slice: str | None = None,
) -> Sequence[Table]:
    from harness.api.leaderboard_tables import LeaderboardArguments, make_leaderboard

    arguments = LeaderboardArguments(
        folders=_read_folders(folders),
        # Of CSV and JSON alone the command makes no places, which take time.
        format_="csv" if is_tidy else "md",
        table=table,
        parameter=by,
        protocol=protocol,
        averaging=values.read_averaging(averaging),
        alphas=None if alphas is None else values.read_alphas("alphas", alphas),
        localizers=None if localizers is None else values.read_texts("localizers", localizers),
        reported=_read_reported(reported),
        rank_reported=rank_reported,
        places=places,
        ties=True,
        datasets=None if datasets is None else values.read_datasets("datasets", datasets),
        data_root=values.read_data_root(data_root),
        point_slice=values.read_point_slice(point_slice),
    )
    return make_leaderboard(load_plugins(), arguments, warn).tables


def _read_reported(reported: bool | FilePath | Iterable[FilePath]) -> tuple[str, ...]:
    from harness.api.reported_choice import ALL_KNOWN

    if isinstance(reported, bool):
        return (ALL_KNOWN,) if reported else ()
    paths = [reported] if isinstance(reported, str | os.PathLike) else reported
    return tuple(os.fspath(path) for path in paths)


def _read_folders(folders: Folders) -> tuple[Path, ...]:
    paths = [folders] if isinstance(folders, str | os.PathLike) else list(folders)
    if not paths:
        raise UserError("folders: is empty")
    return tuple(map(values.read_path, paths))
