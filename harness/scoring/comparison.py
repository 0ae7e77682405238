"""Two runs compared on the same pairs: the counting; `harness.tables.leaderboard.differences` prints it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.datasets.splits import SplitIndex
from harness.errors import UserError
from harness.records.predictions import stored_points
from harness.records.runs import StoredCell
from harness.records.schema import notes_of
from harness.scoring.correctness import correct_keypoints, image_numbers, pair_numbers
from harness.scoring.criteria import Criterion
from harness.scoring.pck import per_pair
from harness.scoring.scores import slices_of

SIDE_KEYS = ("method", "prompt", "localizer", "backbone", "protocol", "cell", "status")


@dataclass(frozen=True)
class Side:
    """One cell's predictions by one localizer, and what counts as correct."""

    cell: StoredCell
    localizer: str
    criterion: Criterion

    @property
    def title(self) -> str:
        """What tells sides apart, for people."""
        cell = self.cell.record.cell
        prompt = "" if cell.prompt == "none" else f"prompt {cell.prompt}, "
        return f"{cell.label} ({prompt}{self.localizer}, backbone {cell.backbone}, protocol {self.criterion.protocol.name})"

    @property
    def keys(self) -> Mapping[str, str]:
        """Its part of a row."""
        cell = self.cell.record.cell
        status = self.cell.record.coverage(self.localizer)
        values = (
            cell.label,
            cell.prompt,
            self.localizer,
            cell.backbone,
            self.criterion.protocol.name,
            cell.id,
            status,
        )
        return dict(zip(SIDE_KEYS, values, strict=True))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two sides on the pairs that both have.

    Attributes:
        first, other: measures of equal alphas.
        pair_ids: P pairs, in the dataset's order.
        left_out: pairs that the first, and the other, has alone.
        right: (2, P, K) correct keypoints at each alpha.
        only: (2, P, K) keypoints that this side alone has right.
        total: (P) keypoints.
        images: (P, 2) numbers of source and target picture; a picture and its mirror image are one.
        slices: name -> (P) bool, `all` first.
    """

    first: Side
    other: Side
    pair_ids: tuple[str, ...]
    left_out: tuple[int, int]
    right: np.ndarray
    only: np.ndarray
    total: np.ndarray
    images: np.ndarray
    slices: Mapping[str, np.ndarray]

    @property
    def alphas(self) -> tuple[float, ...]:
        return self.first.criterion.alphas

    @property
    def where(self) -> str:
        """Dataset and split: `shapes/test`."""
        cell = self.first.cell.record.cell
        return f"{cell.dataset}/{cell.split}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What keeps this from being a comparison on the whole split."""
        notes = []
        for name, side, count in zip("AB", (self.first, self.other), self.left_out, strict=True):
            notes += [
                f"{name}: {note.partition(': ')[2]}" for note in notes_of(side.cell.record, side.localizer)
            ]
            if count:
                notes.append(f"{count} {'pair' if count == 1 else 'pairs'} of {name} alone left out")
        return tuple(notes)


def compare(first: Side, other: Side, index: SplitIndex) -> Comparison:
    """Counts what either side has right.

    Raises:
        UserError: if predictions are damaged, or the sides have no pair in common.
        DataError: if a protocol's threshold does not exist for the dataset.
    """
    points = [stored_points(side.cell.place, side.localizer) for side in (first, other)]
    pair_ids = tuple(pair_id for pair_id in index.pair_ids if all(pair_id in one for one in points))
    if not pair_ids:
        names = " and ".join(side.cell.record.cell.id for side in (first, other))
        raise UserError(f"{names}: no pair was predicted in both; run the cells again without --limit")
    right = [
        correct_keypoints(side.cell.place, side.cell.record, side.criterion, index, one, pair_ids)
        for side, one in zip((first, other), points, strict=True)
    ]
    pair_of = pair_numbers(index, pair_ids)
    (first_right, total), (other_right, _) = (per_pair(one, pair_of, len(pair_ids)) for one in right)
    only = [per_pair(one, pair_of, len(pair_ids))[0] for one in (right[0] & ~right[1], right[1] & ~right[0])]
    return Comparison(
        first=first,
        other=other,
        pair_ids=pair_ids,
        left_out=(len(points[0]) - len(pair_ids), len(points[1]) - len(pair_ids)),
        right=np.stack([first_right, other_right]),
        only=np.stack(only),
        total=total,
        images=image_numbers(index, pair_ids),
        slices=_slices(index, pair_ids),
    )


def _slices(index: SplitIndex, pair_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """All pairs, and each category where there are several."""
    found = {
        name: inside
        for name, inside in slices_of(index, pair_ids).items()
        if name == "all" or name.startswith("category=")
    }
    return found if len(found) > 2 else {"all": found["all"]}
