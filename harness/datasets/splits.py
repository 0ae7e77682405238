"""Splits of datasets, read once: their pairs, the reasons why some are broken, and a hash of it all."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from harness.datasets.announced import announced_ids, facts_of, label_of, threshold_of
from harness.datasets.checks import check_pair, remembering_sizes, threshold_problem
from harness.datasets.chosen_categories import (
    chosen_categories,
    find_categories,
    split_of_categories,
    whole_split,
)
from harness.errors import DataError, UserError
from harness.frames import Size
from harness.messages import counted, one_line
from harness.specs import (
    DatasetSpec,
    ImagePair,
    ImageSource,
    PairDataset,
    PictureNames,
    Threshold,
    is_noted_dataset,
    valid_points,
)
from harness.sweep import DatasetChoice

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class SplitIndex:
    """The pairs of one split, in the dataset's own order.

    Attributes:
        label: the dataset's name in tables.
        pair_ids: identifiers of all pairs, each once.
        pairs: pair_id -> pair, of those that could be read.
        broken: pair_id -> reason why it could not be read.
        folder: the dataset's; empty where there is none.
        mirror_partners: those of the dataset's spec.
        threshold: the length that PCK's alpha multiplies.
        prompt_names: category -> the word that a prompt uses, where that differs.
        official_pairs: number of pairs that the published split has; None where it is not known.
        listed: the pair of each entry of the dataset's list; other than `pair_ids` only where the list names
            a pair several times. A score counts a pair once; a training follows the list.
        notes: what a reader of the numbers should know of the list, one line each.
        words_of_all: of pairs of chosen categories, the words that prompts use in the whole split.
        symmetric_keypoints: category -> groups of keypoints that look alike; see `DatasetSpec`.
        facts: what the split says of itself for its records; see `FactualDataset`.
    """

    label: str
    split: str
    pair_ids: Sequence[str]
    pairs: Mapping[str, ImagePair]
    broken: Mapping[str, str]
    threshold: Threshold
    prompt_names: Mapping[str, str] = field(default_factory=dict)
    official_pairs: int | None = None
    listed: Sequence[str] = ()
    notes: tuple[str, ...] = ()
    folder: str = ""
    symmetric_keypoints: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    mirror_partners: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    words_of_all: tuple[str, ...] = ()

    def symmetric_groups(self, category: str) -> tuple[tuple[str, ...], ...]:
        """The groups of keypoints of a category that look alike."""
        return self.symmetric_keypoints.get(category, self.symmetric_keypoints.get("", ()))

    def prompt_category(self, pair: ImagePair) -> str:
        """The word a prompt uses for the pair's object."""
        return self.prompt_names.get(pair.category, pair.category)

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The words prompts use, sorted."""
        words = {self.prompt_category(pair) for pair in self.pairs.values()}
        return tuple(sorted(words))

    @property
    def all_categories(self) -> tuple[str, ...]:
        """The same of the whole split, where these are pairs of chosen categories."""
        return self.words_of_all or self.categories

    @cached_property
    def pictures(self) -> Mapping[str, PictureNames]:
        """Identity -> names of all pictures that features are computed of, in order of first use.

        Those that are missing are left out: they fail when they are opened.
        """
        names: dict[str, dict[str, None]] = {}
        short: dict[str, dict[str, None]] = {}
        for pair in self.pairs.values():
            if pair.pair_id in self.excluded:
                continue
            for image in (pair.source, pair.target):
                identity = picture_identity(image)
                if identity != MISSING:
                    names.setdefault(identity, {})[image.name] = None
                    short.setdefault(identity, {}).update(dict.fromkeys(_short_names(image, pair.category)))
        return {key: PictureNames(tuple(names[key]), tuple(short[key])) for key in names}

    @cached_property
    def manifest(self) -> str:
        """sha256 over everything a prediction or score can depend on: pairs, points, boxes, labels, and the
        pictures' content.
        """
        digest = hashlib.sha256()
        digest.update(f"{self.threshold}\x1f{sorted(self.prompt_names.items())!r}\x1e".encode())
        if self.words_of_all:
            # A prompt may name a category besides those that were chosen.
            digest.update(f"{self.words_of_all!r}\x1e".encode())
        for pair_id in self.pair_ids:
            pair = self.pairs.get(pair_id)
            digest.update((_entry(pair) if pair else self._broken_entry(pair_id)).encode())
        return digest.hexdigest()

    def _broken_entry(self, pair_id: str) -> str:
        """Line of a pair that cannot be read: two lists with other faults are two sets of data."""
        # The same on every machine: without the path of the dataset's folder.
        reason = self.broken.get(pair_id, "")
        if self.folder:
            reason = reason.replace(self.folder, "")
        return f"{pair_id}\x1fbroken\x1f{reason}\x1e"

    @cached_property
    def valid(self) -> Mapping[str, np.ndarray]:
        """pair_id -> (N,) bool: points that are there in both images. Only these are predicted and
        counted.
        """
        return {pair_id: valid_points(pair) for pair_id, pair in self.pairs.items()}

    @cached_property
    def excluded(self) -> frozenset[str]:
        """Pairs without a single valid point."""
        pair_ids: set[str] = set()
        for pair_id, is_valid in self.valid.items():
            if not is_valid.any():
                pair_ids.add(pair_id)
        return frozenset(pair_ids)

    @cached_property
    def absent_points(self) -> int:
        """Number of points that are missing in one image of their pair, or in both."""
        return sum(int((~is_valid).sum()) for is_valid in self.valid.values())

    def lacking(self, kind: Threshold) -> Mapping[str, str]:
        """pair_id -> the reason why a pair with a valid point has no length that alpha could multiply."""
        problems: dict[str, str] = {}
        for pair_id in self.pairs:
            if pair_id in self.excluded:
                continue
            target = self.target(pair_id)
            problem = threshold_problem(kind, target.box, target.points)
            if problem:
                problems[pair_id] = problem
        return problems

    def source_points(self, pair_id: str) -> np.ndarray:
        """(N, 2) valid points of a pair in original pixels of the source image: the queries."""
        points: np.ndarray = self.pairs[pair_id].source_points[self.valid[pair_id]]
        return points

    def target(self, pair_id: str) -> Target:
        """The truth that predictions of a pair are compared with; one row per valid point."""
        pair = self.pairs[pair_id]
        return Target(pair.target_points[self.valid[pair_id]], pair.target_size, pair.target_box)

    def keypoint_ids(self, pair_id: str) -> list[str]:
        """Names of a pair's valid points."""
        names = self.pairs[pair_id].keypoint_ids
        return [name for name, is_valid in zip(names, self.valid[pair_id], strict=True) if is_valid]


def with_categories(index: SplitIndex, split: str) -> SplitIndex:
    """The pairs of some categories of a split, in the dataset's order.

    Pairs that could not be read are among them, as nobody knows their category. The pairs are never those of
    a published split.

    Args:
        index: the whole split.
        split: its name with the categories as the user has them, `test[cat,dog]`; the split that is
            returned has them as the dataset does.

    Raises:
        UnknownCategory: the split has no pair of one of them.
    """
    where = f"dataset {index.label} {index.split}"
    known = {pair.category for pair in index.pairs.values()}
    meant = find_categories(where, chosen_categories(split), known, len(index.broken))
    pairs = {pair_id: pair for pair_id, pair in index.pairs.items() if pair.category in meant}
    listed = tuple(name for name in index.listed if name in pairs or name in index.broken)
    of_all = _repetitions(index.listed)
    notes = [*(note for note in index.notes if note not in of_all), *_repetitions(listed)]
    official = index.official_pairs
    if official is not None and official != len(index.pair_ids):
        total = counted(len(index.pair_ids), "pair")
        notes.append(f"chosen of {total} instead of the official {official:,}")
    return replace(
        index,
        split=split_of_categories(index.split, meant),
        pair_ids=tuple(name for name in index.pair_ids if name in pairs or name in index.broken),
        pairs=pairs,
        official_pairs=None,
        listed=listed,
        notes=tuple(notes),
        words_of_all=index.categories,
    )


def dataset_folder(spec: DatasetSpec, choice: DatasetChoice, data_root: Path) -> Path:
    """Returns a dataset's own folder: the path that the user named, or its home below the data root."""
    return choice.path or data_root / spec.home


class Splits:
    """Splits of datasets, each read once.

    Args:
        datasets: name -> dataset.
        data_root: folder that holds the datasets' own folders.
    """

    def __init__(self, datasets: Mapping[str, DatasetSpec], data_root: Path) -> None:
        self._datasets, self._data_root = datasets, data_root
        self._splits: dict[tuple[str, Path, str], SplitIndex] = {}

    def read(self, choice: DatasetChoice, split: str) -> SplitIndex:
        """Returns a split of a dataset, or the pairs of some of its categories, `test[cat,dog]`.

        Raises:
            UserError: the dataset is not there, or has no such category.
        """
        spec = self._datasets[choice.name]
        folder = dataset_folder(spec, choice, self._data_root)
        key = (spec.name, folder, split)
        if key not in self._splits:
            whole = whole_split(split)
            if whole == split:
                index = read_split(spec, folder, split)
            else:
                index = with_categories(self.read(choice, whole), split)
            self._splits[key] = index
            place = f", in {folder}" if spec.home or choice.path else ", bundled"
            _LOG.info("dataset %s %s: %s%s", index.label, split, counted(len(index.pair_ids), "pair"), place)
        return self._splits[key]


def read_split(spec: DatasetSpec, folder: Path, split: str) -> SplitIndex:
    """Reads every annotation of a split and checks it; of pictures it reads headers alone.

    Raises:
        UserError: the dataset is not there, or its list is unreadable, empty or uses a name for two pairs.
    """
    try:
        dataset: PairDataset = spec.open(folder, split)
    except DataError as error:  # one file, but that of all pairs
        raise UserError(str(error)) from error
    where = f"dataset {spec.name} {split}"
    label, threshold = label_of(where, spec, dataset), threshold_of(where, spec, dataset)
    names = announced_ids(where, dataset)
    pairs, broken = _read_pairs(where, dataset, names)
    notes = dataset.notes if is_noted_dataset(dataset) else ()
    return SplitIndex(
        label=label,
        split=split,
        pair_ids=tuple(dict.fromkeys(names)),
        pairs=pairs,
        broken=broken,
        threshold=threshold,
        prompt_names=spec.prompt_names,
        official_pairs=spec.counts.get(split, {}).get("pairs"),
        listed=names,
        notes=(*notes, *_repetitions(names)),
        folder=str(folder),
        symmetric_keypoints=spec.symmetric_keypoints,
        mirror_partners=spec.mirror_partners,
        facts=facts_of(where, dataset),
    )


def _read_pairs(
    where: str, dataset: PairDataset, names: Sequence[str]
) -> tuple[dict[str, ImagePair], dict[str, str]]:
    """Reads the pairs, and the reasons why some cannot be read.

    Raises:
        UserError: two different pairs have one name.
    """
    pairs: dict[str, ImagePair] = {}
    broken: dict[str, str] = {}
    read_size = remembering_sizes()
    for number, pair_id in enumerate(names):
        # A damaged annotation costs its own pair, which is reported as failed, and not the split.
        try:
            pair = check_pair(dataset[number], pair_id, read_size)
        except (MemoryError, UserError):
            raise
        except Exception as error:  # noqa: BLE001 - a decoder's or a plugin's error fails its pair alone
            broken[pair_id] = one_line(error)
            continue
        if pair_id in pairs and _entry(pairs[pair_id]) != _entry(pair):
            raise UserError(f"{where}: two pairs are called '{pair_id}'; give each its own id")
        pairs[pair_id] = pair
    # Of two entries of one name of which one cannot be read, neither is trusted.
    return {name: pair for name, pair in pairs.items() if name not in broken}, broken


def _repetitions(listed: Sequence[str]) -> list[str]:
    """A line about the pairs that a list names several times; none where each is there once."""
    repeated = {name: count for name, count in Counter(listed).items() if count > 1}
    if not repeated:
        return []
    name, count = next(iter(repeated.items()))
    example = f"{name}, {count} times"
    if len(repeated) > 1:
        example += f", and {counted(len(repeated) - 1, 'other')}"
    pairs = counted(len(repeated), "pair is", "pairs are")
    return [f"{pairs} listed several times and {'counts' if len(repeated) == 1 else 'count'} once: {example}"]


def _entry(pair: ImagePair) -> str:
    """Line of one pair in the text that the manifest hashes."""
    # ASCII's unit and record separators, which names do not contain: fields cannot run into each other.
    fields = [
        pair.pair_id,
        picture_identity(pair.source),
        picture_identity(pair.target),
        _hex_bytes(pair.source_points),
        _hex_bytes(pair.target_points),
        pair.category,
        repr(pair.keypoint_ids),
        repr(pair.source_box),
        repr(pair.target_box),
        repr((tuple(pair.source_size), tuple(pair.target_size))),
        repr(sorted(pair.labels.items())),
    ]
    return "\x1f".join(fields) + "\x1e"


def _hex_bytes(points: np.ndarray) -> str:
    # The bits themselves, in one byte order, so that every machine gives the same hash.
    return np.asarray(points, dtype="<f8").tobytes().hex()


def _short_names(image: ImageSource, category: str) -> Iterator[str]:
    """Yields a picture's names without its category, and those of its file."""
    yield image.name.removeprefix(f"{category}-")
    path = getattr(image, "path", None)
    if isinstance(path, Path):
        yield from (path.name, path.stem)


MISSING = "missing"
"""Stands for the identity of a picture that cannot be read."""


def picture_identity(image: ImageSource) -> str:
    """Hash of a picture's content; `MISSING` where it cannot be read."""
    try:
        return image.identity()
    except DataError:  # fails when it is opened; the rest of the split has a manifest all the same
        return MISSING


@dataclass(frozen=True, eq=False)
class Target:
    """The truth that predictions of a pair are compared with.

    Attributes:
        points: (N, 2) original pixels of the target image; rows that are not finite are points that are not
            there.
        size: size of the target image.
        box: (x1, y1, x2, y2) of the target object, in original pixels, where known.
    """

    points: np.ndarray
    size: Size
    box: tuple[float, float, float, float] | None
