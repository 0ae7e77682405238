"""Pairs with their points: source, prediction and truth, correct or not by the same functions as scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.datasets.splits import SplitIndex
from harness.errors import BenchError, DataError, UserError
from harness.messages import counted
from harness.records.folders import FindFolder
from harness.records.schema import Record
from harness.report.image_store import ImageStore
from harness.report.redact import plain
from harness.report.selection import choose_pairs
from harness.report.series import LENGTHS, Series, SplitSeries
from harness.scoring.correctness import correct_keypoints, scorable_points
from harness.scoring.criteria import Criterion, make_criterion
from harness.scoring.points import read_points
from harness.scoring.thresholds import threshold_text
from harness.scoring.truth import truth_of
from harness.tables.text import alpha_text
from harness.tables.view import View

if TYPE_CHECKING:
    from harness.plugins.host import Host
    from harness.scoring.sources import Sources

MOST_METHODS = 10
"""Most series of one gallery: pairs are chosen for every two of them."""

DEPTH = 24
"""Number of candidates for each extreme: best and worst of a method, most different between two."""

_CARD_MARKUP = 20
"""Bytes of a card besides its text."""


@dataclass(frozen=True)
class Gallery:
    """The cards of one split.

    Attributes:
        content: read by the page's script: `methods` (titles), `categories`, `cards`.
        description: the pairs that are shown, and of how many, in a sentence or two.
        rule: the definition of a correct point, in a sentence.
    """

    split: SplitSeries
    content: dict[str, Any]
    description: str
    rule: str


@dataclass(frozen=True)
class GalleryResult:
    """Galleries, and the reasons why others are missing.

    Attributes:
        absent: a sentence for each split whose dataset is not at hand.
        damaged: a sentence for each file that cannot be used.
    """

    galleries: tuple[Gallery, ...]
    absent: tuple[str, ...]
    damaged: tuple[str, ...]


@dataclass
class _Problems:
    """Sentences as in `GalleryResult`, while galleries are made."""

    absent: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _SplitData:
    """The data of a split, and the rule by which its points are correct.

    Attributes:
        folder_of: finds the folder of a cell.
        manifest: hash of the data, None where the record does not say on which data it was run.
    """

    folder_of: FindFolder
    index: SplitIndex
    manifest: str | None
    rule: Criterion


@dataclass(frozen=True, eq=False)
class _SeriesPredictions:
    """One series' predictions.

    Attributes:
        points: pair -> (N, 2) original pixels of the target.
        correct: pair -> (N) whether each is correct.
    """

    series: Series
    points: Mapping[str, np.ndarray]
    correct: Mapping[str, np.ndarray]

    def card_part(self, pair_id: str) -> dict[str, Any] | None:
        """Its points of a pair as a card has them, None where the method predicted nothing."""
        if pair_id not in self.points:
            return None
        # 0 and 1 are shorter than false and true: a page has many thousands of them.
        flags = self.correct[pair_id].astype(int)
        return {"points": _round_points(self.points[pair_id]), "right": flags.tolist()}


def make_galleries(
    splits: Sequence[SplitSeries],
    view: View,
    folder_of: FindFolder,
    host: Host,
    sources: Sources,
    images: ImageStore,
) -> GalleryResult:
    """Makes a gallery of each split whose dataset is at hand; they share the images' bytes evenly."""
    galleries: list[Gallery] = []
    problems = _Problems()
    all_bytes = images.bytes_left
    for number, split in enumerate(splits):
        # Bytes that one split does not use are left to the next one.
        reserved = all_bytes * (len(splits) - number - 1) // len(splits)
        images.bytes_left -= reserved
        try:
            index, manifest = _read_split(split, sources)
            rule = make_criterion(host, view.protocol, [split.alpha])
        except (UserError, DataError) as error:
            problems.absent.append(f"{split.short_title}: no pairs shown: {error}")
        else:
            gallery = _make_gallery(split, _SplitData(folder_of, index, manifest, rule), images, problems)
            if gallery:
                galleries.append(gallery)
        images.bytes_left += reserved
    return GalleryResult(
        tuple(galleries),
        absent=tuple(dict.fromkeys(problems.absent)),
        damaged=tuple(dict.fromkeys(problems.damaged)),
    )


def _read_split(split: SplitSeries, sources: Sources) -> tuple[SplitIndex, str | None]:
    """Reads the data that the first possible record of a split was run on.

    Returns:
        The data, and its manifest as the record has it.

    Raises:
        UserError: the data of none of the records is at hand; the message is that of the first.
    """
    by_manifest: dict[str | None, Record] = {}
    for series in split.series:
        by_manifest.setdefault(_manifest(series.record), series.record)
    problem: UserError | None = None
    # Series may have run on different data of one name; only those of one manifest can share a gallery.
    for manifest, record in by_manifest.items():
        try:
            return sources.split(record), manifest
        except UserError as error:
            problem = problem or error
    raise problem or UserError(f"{split.short_title}: no record")


def _manifest(record: Record) -> str | None:
    if record.provenance is None:
        return None
    return record.provenance.manifest


def _make_gallery(
    split: SplitSeries, data: _SplitData, images: ImageStore, problems: _Problems
) -> Gallery | None:
    """A split's gallery; None where there are no predictions to show, or no room. Adds to `problems`."""
    candidates = split.series[:MOST_METHODS]
    comparable = []
    for series in candidates:
        if _manifest(series.record) == data.manifest:
            comparable.append(series)
    predictions = _read_all_predictions(comparable, data, problems)
    pair_ids = _pairs_with_predictions(data.index, predictions)
    if not pair_ids:
        return None
    ordered_ids = _order_pairs(data.index, predictions, pair_ids)
    cards, unreadable = _make_cards(data.index, predictions, ordered_ids, images)
    if unreadable:
        # One message stands for all: a folder that is missing would fill the page with them.
        missing = counted(len(unreadable), "pair")
        problems.absent.append(f"{split.short_title}: {missing} not shown: {unreadable[0]}")
    if not cards:
        reason = "none of their pictures can be read" if unreadable else "the rest of the page fills it"
        problems.absent.append(f"{split.short_title}: no pairs shown: {reason}")
        return None
    content = {
        "methods": [each.series.title for each in predictions],
        "categories": sorted({card["category"] for card in cards}),
        "cards": cards,
    }
    sentences = [
        _pairs_sentence(split, len(cards), len(pair_ids)),
        *_methods_sentences(split, candidates, comparable),
    ]
    return Gallery(split, content, " ".join(sentences), _rule_sentence(data))


def _pairs_with_predictions(index: SplitIndex, predictions: Sequence[_SeriesPredictions]) -> list[str]:
    predicted: set[str] = set()
    for series_predictions in predictions:
        predicted.update(series_predictions.correct)
    # In the dataset's order: that of a set differs from run to run, and so would the page.
    return [pair_id for pair_id in index.pair_ids if pair_id in predicted]


def _order_pairs(
    index: SplitIndex, predictions: Sequence[_SeriesPredictions], pair_ids: Sequence[str]
) -> list[str]:
    """Pairs in the order in which the gallery needs them."""
    # NaN, not 0, where a method predicted nothing: such a pair is not one of its worst.
    correct = np.full((len(predictions), len(pair_ids)), np.nan)
    for row, series_predictions in enumerate(predictions):
        for column, pair_id in enumerate(pair_ids):
            flags = series_predictions.correct.get(pair_id)
            if flags is not None:
                correct[row, column] = flags.sum()
    sizes = [len(index.keypoint_ids(pair_id)) for pair_id in pair_ids]
    categories = [index.pairs[pair_id].category for pair_id in pair_ids]
    total = np.array(sizes, dtype=np.float64)
    numbers = choose_pairs(correct, total, pair_ids, categories, DEPTH)
    return [pair_ids[number] for number in numbers]


def _pairs_sentence(split: SplitSeries, cards: int, pairs: int) -> str:
    """The number of pairs that are shown and, where these are not all, the way they were chosen."""
    of_all = f"{counted(pairs, 'pair')} of {split.title} are in this page."
    if cards == pairs:
        return f"All {of_all}"
    return (
        f"{cards:,} of {of_all} They are the best and worst of each method and those on which two differ "
        "most, of all and of each category."
    )


def _methods_sentences(
    split: SplitSeries, candidates: Sequence[Series], comparable: Sequence[Series]
) -> list[str]:
    """The methods that cannot be chosen in the gallery, and of which seed points are, in some sentences."""
    sentences = []
    if len(split.series) > len(candidates):
        sentences.append(f"The first {len(candidates)} of {len(split.series)} series can be chosen.")
    names = []
    for series in candidates:
        if series not in comparable:
            names.append(series.name)
    if names:
        sentences.append(f"Run on other data of this name, and so not among them: {', '.join(names)}.")
    if any(len(series.seeds) > 1 for series in comparable):
        sentences.append("Of a series of several seeds, the points are those of the first.")
    return sentences


def _rule_sentence(data: _SplitData) -> str:
    rule = data.rule
    comparison = "less than" if rule.protocol.strict else "at most"
    text = threshold_text(rule, truth_of(data.index))
    # A protocol's own length is in words already.
    length = LENGTHS.get(text, text)
    return (
        f"Correct: {comparison} {alpha_text(rule.alphas[0])} times {length} away from the truth, "
        f"protocol {rule.protocol.name}."
    )


def _read_all_predictions(
    series_list: Sequence[Series], data: _SplitData, problems: _Problems
) -> list[_SeriesPredictions]:
    """The predictions of each series whose file can be read; adds to `problems.damaged`."""
    predictions = []
    for series in series_list:
        try:
            predictions.append(_read_predictions(series, data))
        except BenchError as error:
            problems.damaged.append(str(error))
    return predictions


def _read_predictions(series: Series, data: _SplitData) -> _SeriesPredictions:
    """Reads a series' predictions. Raises `UserError` where they are damaged."""
    cell = series.record.cell
    truth = truth_of(data.index)
    stored = read_points(truth, data.folder_of(series.record), series.record, series.localizer)
    points = scorable_points(truth, stored, data.rule)
    if not points:
        return _SeriesPredictions(series, {}, {})
    # Column 0: the rule has one alpha, that of the split's charts.
    flags = correct_keypoints(truth, points, data.rule, cell.input_size)[:, 0]
    # Flags are those of all pairs' keypoints, one after another.
    flags_of_pairs = np.split(flags, np.cumsum(points.counts)[:-1])
    predicted: dict[str, np.ndarray] = {}
    correct: dict[str, np.ndarray] = {}
    for pair_id, pair_flags in zip(points, flags_of_pairs, strict=True):
        # A card has the points in the dataset's order, as their names on it.
        number_of = {name: number for number, name in enumerate(truth.names(pair_id))}
        order = [number_of[name] for name in data.index.keypoint_ids(pair_id)]
        predicted[pair_id], correct[pair_id] = points[pair_id][order], pair_flags[order]
    return _SeriesPredictions(series, predicted, correct)


def _make_cards(
    index: SplitIndex,
    predictions: Sequence[_SeriesPredictions],
    pair_ids: Sequence[str],
    images: ImageStore,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Makes cards in order until there is no room.

    Returns:
        Cards, and a message for each pair with an image that cannot be read.
    """
    cards: list[dict[str, Any]] = []
    unreadable: list[str] = []
    for pair_id in pair_ids:
        pair = index.pairs[pair_id]
        card = _card_text(index, predictions, pair_id)
        # As the page stores it, without spaces.
        length = len(json.dumps(card, separators=(",", ":"))) + _CARD_MARKUP
        try:
            numbers = images.add((pair.source, pair.target), length)
        except DataError as error:
            unreadable.append(str(error))
            continue
        if numbers is None:
            # Pairs are in order of worth: a smaller one further down does not take the room instead.
            break
        cards.append(card | {"pictures": numbers})
    return cards, unreadable


def _card_text(index: SplitIndex, predictions: Sequence[_SeriesPredictions], pair_id: str) -> dict[str, Any]:
    """A card without its images. Points are original pixels."""
    pair = index.pairs[pair_id]
    valid = index.valid[pair_id]
    return {
        "id": plain(pair_id),
        "category": plain(pair.category),
        "sizes": [list(pair.source_size), list(pair.target_size)],
        "names": [plain(name) for name in index.keypoint_ids(pair_id)],
        "source": _round_points(pair.source_points[valid]),
        "truth": _round_points(pair.target_points[valid]),
        # For each method its points and which are right; null where it predicted nothing.
        "found": [each.card_part(pair_id) for each in predictions],
    }


def _round_points(points: np.ndarray) -> list[list[float | None]]:
    """Points to a tenth of a pixel; a coordinate that is not finite is None."""
    rounded = []
    for x, y in points:
        rounded.append([_round_coordinate(float(x)), _round_coordinate(float(y))])
    return rounded


def _round_coordinate(coordinate: float) -> float | None:
    # JSON has neither NaN nor infinity.
    if not np.isfinite(coordinate):
        return None
    return round(coordinate, 1)
