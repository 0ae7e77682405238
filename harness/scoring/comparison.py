"""Two runs compared on the same pairs: the counting; `harness.tables.differences` prints it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.errors import UserError
from harness.messages import counted, listed
from harness.records.coverage import coverage_notes
from harness.records.labels import label_without
from harness.records.runs import StoredCell
from harness.records.slices import category_of
from harness.scoring.correctness import correct_keypoints, counted_points, image_numbers
from harness.scoring.criteria import Criterion
from harness.scoring.pck import count_per_pair
from harness.scoring.points import Points
from harness.scoring.scores import slices_of
from harness.scoring.sources import Predicted
from harness.scoring.thresholds import lacking_pairs
from harness.scoring.truth import Truth, are_equal
from harness.specs import NO_PROMPT, Averaging

SIDE_KEYS = ("method", "prompt", "localizer", "backbone", "protocol", "cell", "status")


@dataclass(frozen=True)
class Side:
    """One cell's predictions by one localizer, and the criterion by which they are correct.

    Attributes:
        label: the method with what sets it apart from the other side's; empty for the record's label.
        localizer_name: the localizer likewise; empty for its own name.
        reasons: what speaks against the comparison, such as an older version of the code.
    """

    cell: StoredCell
    localizer: str
    criterion: Criterion
    label: str = ""
    localizer_name: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, str]:
        """Method and localizer as they are printed."""
        return self.label or self.cell.record.cell.label, self.localizer_name or self.localizer

    @property
    def title(self) -> str:
        """Name for people, with all that sets this side apart from the other."""
        cell = self.cell.record.cell
        prompt = "" if cell.prompt == NO_PROMPT else f"prompt {cell.prompt}, "
        protocol = self.criterion.protocol.name
        label, localizer = self.names
        return f"{label} ({prompt}{localizer}, backbone {cell.backbone}, protocol {protocol})"

    @property
    def keys(self) -> Mapping[str, str]:
        """This side's part of a row, under SIDE_KEYS."""
        cell = self.cell.record.cell
        label, localizer = self.names
        values = (
            label,
            cell.prompt,
            localizer,
            cell.backbone,
            self.criterion.protocol.name,
            cell.id,
            self.cell.record.coverage(self.localizer, self.criterion.protocol.name),
        )
        return dict(zip(SIDE_KEYS, values, strict=True))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two sides, called A and B in print, on the pairs that both have, under one or several seeds.

    Attributes:
        side_a, side_b: A and B, under criteria of equal alphas; of several seeds, those of the first.
        cells_a, cells_b: the sides' cells, one of each of S seeds, in order of seed.
        pair_ids: P pairs, in order of name.
        left_out: numbers of pairs that only A has, and that only B has.
        unscorable: number of pairs of both that lack a criterion's threshold.
        right: (S, 2, P, K) correct keypoints of each side under each seed, at each of K alphas.
        only: (S, 2, P, K) keypoints that only this side has right.
        total: (P,) keypoints.
        images: (P, 2) numbers of source and target image; an image and its mirror image are one.
        categories: of each pair.
        slices: name -> (P,) bool, `all` first.
        point_slice: the slice of points that alone count; empty where all do.
    """

    side_a: Side
    side_b: Side
    cells_a: tuple[StoredCell, ...]
    cells_b: tuple[StoredCell, ...]
    pair_ids: tuple[str, ...]
    left_out: tuple[int, int]
    unscorable: int
    right: np.ndarray
    only: np.ndarray
    total: np.ndarray
    images: np.ndarray
    categories: Sequence[str]
    slices: Mapping[str, np.ndarray]
    point_slice: str = ""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The S seeds."""
        return tuple(cell.record.cell.seed for cell in self.cells_a)

    @property
    def seed(self) -> int | None:
        """The seed; None where there are several."""
        return self.seeds[0] if len(self.seeds) == 1 else None

    @property
    def cell_ids(self) -> tuple[str, str]:
        """Ids of A's and of B's cells, those of several seeds joined by `+`."""
        ids_a, ids_b = (
            "+".join(cell.record.cell.id for cell in cells) for cells in (self.cells_a, self.cells_b)
        )
        return ids_a, ids_b

    @property
    def alphas(self) -> tuple[float, ...]:
        """The K alphas that both sides are counted at."""
        return self.side_a.criterion.alphas

    @property
    def averaging(self) -> Averaging:
        """The average of both sides: that of A's protocol. Numbers of two averages have no difference."""
        return self.side_a.criterion.protocol.averaging

    @property
    def where(self) -> str:
        """Dataset and split: `shapes/test`."""
        cell = self.side_a.cell.record.cell
        return f"{cell.dataset}/{cell.split}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Reasons why this is not a comparison on the whole split."""
        notes: list[str] = []
        sides = (self.side_a, self.side_b)
        for name, side, count in zip("AB", sides, self.left_out, strict=True):
            for note in coverage_notes(side.cell.record, side.localizer):
                notes.append(f"{name}: {note}")
            notes += [f"{name}: {reason}" for reason in side.reasons]
            if count:
                notes.append(f"{counted(count, 'pair')} of {name} alone left out")
        if self.unscorable:
            notes.append(f"{counted(self.unscorable, 'pair')} that cannot be scored left out")
        return tuple(notes)


def compare(side_a: Side, side_b: Side, predicted_a: Predicted, predicted_b: Predicted) -> Comparison:
    """Counts the keypoints that either side has right.

    Args:
        predicted_a, predicted_b: of the sides' cells.

    Raises:
        UserError: if predictions are damaged, or of different data, or the sides have no pair in common that
            can be scored.
    """
    points_a, points_b = predicted_a.points(side_a.localizer), predicted_b.points(side_b.localizer)
    # From here on that of A serves B as well.
    truth = predicted_a.truth
    # One run may be limited, or have failed pairs: only what both predicted can be compared.
    common = [pair_id for pair_id in points_a if pair_id in points_b]
    left_out = (len(points_a) - len(common), len(points_b) - len(common))
    names = f"{side_a.cell.record.cell.id} and {side_b.cell.record.cell.id}"
    if not common:
        raise UserError(f"{names}: no pair was predicted in both; run the cells again without --limit")
    if not are_equal(truth, predicted_b.truth, common):
        raise UserError(f"{names} were run on different data of one name; run one of them again")
    common = [pair_id for pair_id in common if pair_id in truth.counted_pairs]
    if not common:
        raise UserError(f"{names}: no pair of both has a point of slice {truth.only}; run more pairs")
    criteria = (side_a.criterion, side_b.criterion)
    lacking = {pair_id: reason for item in criteria for pair_id, reason in _lacking(truth, item).items()}
    pair_ids = tuple(pair_id for pair_id in common if pair_id not in lacking)
    if not pair_ids:
        protocols = listed(sorted({criterion.protocol.name for criterion in criteria}))
        raise UserError(f"{names}: no pair can be scored under {protocols}: {lacking[common[0]]}")
    # Both sides have the same valid keypoints of a pair, so that numbers of A serve B as well.
    of_pairs = points_a.of_pairs(pair_ids)
    is_counted = counted_points(truth, of_pairs)
    pair_of = of_pairs.pair_of[is_counted]
    is_right_a = _correct(side_a, truth, points_a, pair_ids)[is_counted]
    is_right_b = _correct(side_b, truth, points_b, pair_ids)[is_counted]
    right_a, total = count_per_pair(is_right_a, pair_of, len(pair_ids))
    right_b, _ = count_per_pair(is_right_b, pair_of, len(pair_ids))
    only_a, _ = count_per_pair(is_right_a & ~is_right_b, pair_of, len(pair_ids))
    only_b, _ = count_per_pair(is_right_b & ~is_right_a, pair_of, len(pair_ids))
    return Comparison(
        side_a=side_a,
        side_b=side_b,
        cells_a=(side_a.cell,),
        cells_b=(side_b.cell,),
        pair_ids=pair_ids,
        left_out=left_out,
        unscorable=len(common) - len(pair_ids),
        right=np.stack([right_a, right_b])[None],
        only=np.stack([only_a, only_b])[None],
        total=total,
        images=image_numbers(truth, pair_ids),
        categories=[truth.categories[number] for number in truth.numbers(pair_ids)],
        slices=_slices(truth, pair_ids),
        point_slice=truth.only,
    )


def join_seeds(comparisons: Sequence[Comparison], key: Callable[[Comparison], Hashable]) -> list[Comparison]:
    """The comparisons with those that differ in the seed alone as one, each in the place of its first.

    Those of other pairs, or with other notes, stay apart: a mean over them would be of no set of pairs.

    Args:
        key: what comparisons must have in common besides.
    """
    groups: dict[Hashable, list[Comparison]] = {}
    for comparison in comparisons:
        basis = (comparison.pair_ids, comparison.left_out, comparison.notes)
        groups.setdefault((key(comparison), basis), []).append(comparison)
    return [_join(sorted(group, key=lambda each: each.seeds)) for group in groups.values()]


def _join(comparisons: Sequence[Comparison]) -> Comparison:
    first = comparisons[0]
    if len(comparisons) == 1:
        return first
    return replace(
        first,
        side_a=_without_seed(first.side_a),
        side_b=_without_seed(first.side_b),
        cells_a=tuple(cell for each in comparisons for cell in each.cells_a),
        cells_b=tuple(cell for each in comparisons for cell in each.cells_b),
        right=np.concatenate([each.right for each in comparisons]),
        only=np.concatenate([each.only for each in comparisons]),
    )


def _without_seed(side: Side) -> Side:
    label, _ = side.names
    return replace(side, label=label_without(label, "seed") if side.cell.record.cell.seed else label)


def _lacking(truth: Truth, criterion: Criterion) -> Mapping[str, str]:
    return lacking_pairs(truth, criterion)


def _correct(
    side: Side,
    truth: Truth,
    points: Points,
    pair_ids: Sequence[str],
) -> np.ndarray:
    """Returns (keypoints of `pair_ids`, alphas) bool."""
    return correct_keypoints(
        truth, points.of_pairs(pair_ids), side.criterion, side.cell.record.cell.input_size
    )


def _slices(truth: Truth, pair_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """All pairs, and each category where there are several."""
    slices = slices_of(truth, pair_ids)
    names = [name for name in slices if category_of(name) is not None]
    # A single category would repeat the row of all pairs.
    if len(names) == 1:
        names = []
    return {name: slices[name] for name in ("all", *names)}
