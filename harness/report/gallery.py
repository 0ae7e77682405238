"""Pairs with their points: source, prediction and truth, right or wrong by the same functions as the scores."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.datasets.splits import SplitIndex
from harness.errors import BenchError, DataError, UserError
from harness.messages import counted
from harness.report.redact import plain
from harness.report.selection import in_turn
from harness.report.series import LENGTHS, Group, Series
from harness.scoring.correctness import correct_keypoints, read_points
from harness.scoring.criteria import Criterion, make_criterion
from harness.specs import ImageSource
from harness.tables.text import alpha_text
from harness.tables.view import View

if TYPE_CHECKING:
    from harness.plugins.host import Host
    from harness.scoring.rescore import Rescorer

MOST_METHODS = 10
"""Most series of one gallery: pairs are chosen for every two of them."""

DEPTH = 24
"""How many extremes of one kind are candidates."""

_SIDE, _QUALITY = 256, 72


@dataclass
class Pictures:
    """Pictures of the page, each once, as JPEG data URIs, until a number of bytes is used.

    Attributes:
        left: bytes that may still be used.
        uris: identity -> data URI, in order of adding.
    """

    left: int
    uris: dict[str, str] = field(default_factory=dict)

    def add(self, images: Sequence[ImageSource], more: int) -> list[int] | None:
        """Numbers of a card's pictures, or None where they and `more` bytes of text have no room. Raises `DataError`."""
        new = {name: image for image in images if (name := image.identity()) not in self.uris}
        made = {name: _uri(image) for name, image in new.items()}
        cost = more + sum(map(len, made.values()))
        if cost > self.left:
            return None
        self.left -= cost
        self.uris |= made
        names = list(self.uris)
        return [names.index(image.identity()) for image in images]


def _uri(image: ImageSource) -> str:
    """The picture, its longer side at most 256 pixels."""
    picture = image.open()
    scale = min(1.0, _SIDE / max(picture.size))
    width, height = (max(1, round(side * scale)) for side in picture.size)
    file = io.BytesIO()
    picture.resize((width, height)).save(file, format="JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


@dataclass(frozen=True)
class Gallery:
    """The cards of one split.

    Attributes:
        content: what the page's script reads: `methods` (titles), `categories`, `cards`.
        told: what is shown, of how many, in a sentence or two.
        correct: what counts as correct, in a sentence.
    """

    group: Group
    content: dict[str, Any]
    told: str
    correct: str


@dataclass(frozen=True)
class GalleryResult:
    """Galleries, and what stood in the way of others.

    Attributes:
        absent: a sentence for each split whose dataset is not at hand.
        damaged: a sentence for each file that cannot be used.
    """

    galleries: tuple[Gallery, ...]
    absent: tuple[str, ...]
    damaged: tuple[str, ...]


def galleries(
    groups: Sequence[Group], view: View, folder: Path, host: Host, rescorer: Rescorer, pictures: Pictures
) -> GalleryResult:
    """A gallery of each split whose dataset is at hand; they share the pictures' bytes evenly."""
    made: list[Gallery] = []
    absent: list[str] = []
    damaged: list[str] = []
    whole = pictures.left
    for number, group in enumerate(groups):
        # What one split leaves over is the next one's.
        kept = whole * (len(groups) - number - 1) // len(groups)
        pictures.left -= kept
        try:
            index, manifest = _split(group, rescorer)
            rule = make_criterion(host, view.protocol, [group.at])
        except (UserError, DataError) as error:
            absent.append(f"{group.short}: no pairs shown: {error}")
        else:
            one = _gallery(group, folder, index, manifest, rule, pictures, absent, damaged)
            made += [one] if one else []
        pictures.left += kept
    return GalleryResult(tuple(made), tuple(dict.fromkeys(absent)), tuple(dict.fromkeys(damaged)))


def _split(group: Group, rescorer: Rescorer) -> tuple[SplitIndex, str | None]:
    """The split that the first of the group's records was run on whose data is at hand, and that record's manifest. Raises `UserError`."""
    records = {
        one.record.provenance.manifest if one.record.provenance else None: one.record
        for one in reversed(group.series)
    }
    problem: UserError | None = None
    for manifest, record in reversed(records.items()):
        try:
            return rescorer.split(record), manifest
        except UserError as error:
            problem = problem or error
    raise problem or UserError(f"{group.short}: no record")


@dataclass(frozen=True, eq=False)
class _Answers:
    """One series' predictions: pair -> (N, 2) original pixels of the target, and (N) whether right."""

    series: Series
    points: Mapping[str, np.ndarray]
    right: Mapping[str, np.ndarray]


def _gallery(
    group: Group,
    folder: Path,
    index: SplitIndex,
    manifest: str | None,
    rule: Criterion,
    pictures: Pictures,
    absent: list[str],
    damaged: list[str],
) -> Gallery | None:
    """A split's gallery, if there are predictions to show; what cannot be shown is told in `absent` and `damaged`."""
    first = group.series[:MOST_METHODS]
    same = [
        one
        for one in first
        if (one.record.provenance.manifest if one.record.provenance else None) == manifest
    ]
    answers: list[_Answers] = []
    for series in same:
        try:
            answers.append(_answers(series, folder, index, rule))
        except BenchError as error:
            damaged.append(str(error))
    pair_ids = [one for one in index.pair_ids if any(one in answer.right for answer in answers)]
    if not pair_ids:
        return None
    total = np.array([len(index.keypoint_ids(one)) for one in pair_ids], dtype=np.float64)
    right = np.array(
        [
            [answer.right[one].sum() if one in answer.right else np.nan for one in pair_ids]
            for answer in answers
        ]
    )
    order = in_turn(right, total, pair_ids, [index.pairs[one].category for one in pair_ids], DEPTH)
    cards, broken = _cards(index, answers, [pair_ids[one] for one in order], pictures)
    if broken:
        absent.append(f"{group.short}: {counted(len(broken), 'pair')} not shown: {broken[0]}")
    if not cards:
        absent.append(
            f"{group.short}: no pairs shown: {'none of their pictures can be read' if broken else 'the rest of the page fills it'}"
        )
        return None
    shown = "All" if len(cards) == len(pair_ids) else f"{len(cards):,} of"
    told = [f"{shown} {counted(len(pair_ids), 'pair')} of {group.title} are in this page."]
    if len(cards) < len(pair_ids):
        told.append(
            "They are the best and worst of each method and those on which two differ most, of all and of each category."
        )
    if len(group.series) > len(first):
        told.append(f"The first {len(first)} of {len(group.series)} series can be chosen.")
    if len(same) < len(first):
        others = [one.name for one in first if one not in same]
        told.append(f"Run on other data of this name, and so not among them: {', '.join(others)}.")
    content = {
        "methods": [answer.series.title for answer in answers],
        "categories": sorted({card["category"] for card in cards}),
        "cards": cards,
    }
    return Gallery(group, content, " ".join(told), _rule(rule, index))


def _rule(rule: Criterion, index: SplitIndex) -> str:
    than = "less than" if rule.protocol.strict else "at most"
    length = LENGTHS[rule.threshold or index.threshold]
    return f"Correct: {than} {alpha_text(rule.alphas[0])} times {length} away from the truth, protocol {rule.protocol.name}."


def _answers(series: Series, folder: Path, index: SplitIndex, rule: Criterion) -> _Answers:
    """Raises `UserError` where predictions are damaged."""
    record = series.record
    place = folder / record.cell.id
    points = read_points(index, place, series.localizer)
    if not points:
        return _Answers(series, {}, {})
    flags = correct_keypoints(index, points, rule, record.cell.fed_size)[:, 0]
    ends = np.cumsum([len(predicted) for predicted in points.values()])[:-1]
    return _Answers(series, points, dict(zip(points, np.split(flags, ends), strict=True)))


def _cards(
    index: SplitIndex, answers: Sequence[_Answers], pair_ids: Sequence[str], pictures: Pictures
) -> tuple[list[dict[str, Any]], list[str]]:
    """Cards in order until there is no room, and a line for each picture that is broken."""
    import json

    cards: list[dict[str, Any]] = []
    broken: list[str] = []
    for pair_id in pair_ids:
        pair = index.pairs[pair_id]
        valid = index.valid[pair_id]
        card = {
            "id": plain(pair_id),
            "category": plain(pair.category),
            "sizes": [list(pair.source_size), list(pair.target_size)],
            "names": [plain(name) for name in index.keypoint_ids(pair_id)],
            "source": _numbers(pair.source_points[valid]),
            "truth": _numbers(pair.target_points[valid]),
            # Method -> its points and which are right; null where it predicted nothing.
            "found": [_found(one, pair_id) for one in answers],
        }
        try:
            numbers = pictures.add(
                (pair.source, pair.target), len(json.dumps(card, separators=(",", ":"))) + 20
            )
        except DataError as error:
            broken.append(str(error))
            continue
        if numbers is None:
            break
        cards.append(card | {"pictures": numbers})
    return cards, broken


def _found(one: _Answers, pair_id: str) -> dict[str, Any] | None:
    if pair_id not in one.points:
        return None
    return {"points": _numbers(one.points[pair_id]), "right": one.right[pair_id].astype(int).tolist()}


def _numbers(points: np.ndarray) -> list[list[float | None]]:
    """Points to a tenth of a pixel; what is not finite is nowhere."""
    return [[round(float(value), 1) if np.isfinite(value) else None for value in point] for point in points]
