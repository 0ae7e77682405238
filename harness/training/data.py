"""The pairs of a training: which splits of a dataset it uses, for its steps and for validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.datasets.notes import notes_on_split
from harness.datasets.selection import choose_spread
from harness.datasets.splits import SplitIndex, Splits
from harness.errors import UserError
from harness.messages import counted
from harness.plugins.host import Host
from harness.specs import DatasetSpec, ImagePair
from harness.sweep import DatasetChoice

TRAINING_SPLITS = ("train", "trn", "training")
"""Names of training splits, in the order in which they are looked for."""

VALIDATION_SPLITS = ("val", "validation", "valid", "dev")
"""Names of validation splits, in the order in which they are looked for."""

NO_SPLIT = "none"
"""Value of --validation-split for a training without validation."""


@dataclass(frozen=True)
class DataRequest:
    """The data that the user asks for.

    Attributes:
        data_root: folder of the datasets' own folders.
        split, validation_split: None for the dataset's own; `none` for no validation.
        limit_train, limit_validation: largest number of pairs; None for all.
    """

    dataset: DatasetChoice
    data_root: Path
    split: str | None = None
    validation_split: str | None = None
    limit_train: int | None = None
    limit_validation: int | None = None


@dataclass(frozen=True, eq=False)
class Data:
    """The pairs of a training.

    Attributes:
        validation_index: None for no validation.
    """

    index: SplitIndex
    pairs: Sequence[ImagePair]
    validation_index: SplitIndex | None
    validation_pairs: Sequence[ImagePair]

    def check_categories(self) -> None:
        """Raises `UserError` where a category of the validation split is not in the training split."""
        if self.validation_index is None:
            return
        missing = sorted(set(self.validation_index.categories) - set(self.index.categories))
        if missing:
            raise UserError(
                f"the validation split has the category '{missing[0]}', which the training split lacks; "
                "choose another split"
            )


def read_data(host: Host, request: DataRequest) -> Data:
    """Reads the splits of a training. Raises `UserError` where the dataset or a split is missing."""
    spec = host.datasets[request.dataset.name]
    splits = Splits(host.datasets, request.data_root)
    index = splits.read(request.dataset, _training_split(spec, request.split))
    pairs = usable_pairs(index, request.limit_train)
    validation_split = _validation_split(spec, request.validation_split)
    if validation_split is None:
        return Data(index, pairs, None, ())
    validation_index = splits.read(request.dataset, validation_split)
    validation_pairs = usable_pairs(validation_index, request.limit_validation, is_scored=True)
    return Data(index, pairs, validation_index, validation_pairs)


def usable_pairs(index: SplitIndex, limit: int | None = None, *, is_scored: bool = False) -> list[ImagePair]:
    """A split's pairs that have a point in both images, in the dataset's order; with a limit, so many of
    them, spread over the categories as `bench run --limit` spreads them.

    Args:
        is_scored: whether the pairs are scored, for which each needs the length that alpha multiplies.

    Raises:
        UserError: there is no such pair.
    """
    left_out = {*index.excluded, *(index.lacking(index.threshold) if is_scored else ())}
    pairs = [pair for pair_id, pair in index.pairs.items() if pair_id not in left_out]
    if not pairs:
        lack = "can be scored" if is_scored else "has a valid point"
        raise UserError(f"{index.label} {index.split}: none of its {len(index.pair_ids)} pairs {lack}")
    chosen = choose_spread({pair.pair_id: pair.category for pair in pairs}, limit)
    if limit is None and not is_scored:
        # A training takes each entry of its list: PF-PASCAL's names 488 pairs twice.
        usable = set(chosen)
        chosen = [pair_id for pair_id in index.listed or index.pair_ids if pair_id in usable]
    return [index.pairs[pair_id] for pair_id in chosen]


def _training_split(spec: DatasetSpec, asked: str | None) -> str:
    """The split to train on. Raises `UserError` where the dataset has none."""
    name = asked or _first_split(spec, TRAINING_SPLITS)
    if name is None:
        raise UserError(
            f"dataset '{spec.name}' has no training split, only {', '.join(spec.splits)}; "
            "--split names one to train on"
        )
    return _check_split(spec, "--split", name)


def _validation_split(spec: DatasetSpec, asked: str | None) -> str | None:
    """The split to validate on; None for no validation."""
    if asked == NO_SPLIT:
        return None
    name = asked or _first_split(spec, VALIDATION_SPLITS)
    return _check_split(spec, "--validation-split", name) if name else None


def _first_split(spec: DatasetSpec, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in spec.splits), None)


def _check_split(spec: DatasetSpec, option: str, name: str) -> str:
    if name not in spec.splits:
        raise UserError(f"{option} {name}: dataset '{spec.name}' has the splits {', '.join(spec.splits)}")
    return name


def notes_on_data(data: Data, trained: str) -> list[str]:
    """What a user should know before hours of work: splits that are not whole or look wrong, pairs that are
    left out, a missing validation split, and one that is trained on.

    Args:
        trained: what is trained, such as `prompt`.
    """
    index, validation = data.index, data.validation_index
    notes: list[str] = []
    if index.broken:
        reason = next(iter(index.broken.values()))
        pairs = counted(len(index.pair_ids), "pair")
        notes.append(f"{len(index.broken)} of {pairs} cannot be read and are left out; the first: {reason}")
    lacking = validation.lacking(validation.threshold) if validation else {}
    if lacking:
        pair_id, reason = next(iter(lacking.items()))
        pairs = counted(len(lacking), "pair")
        notes.append(f"{pairs} cannot be validated and are left out; the first: {pair_id}: {reason}")
    for split in (index, validation):
        notes += notes_on_split(split) if split else ()
    if validation and validation.manifest == index.manifest:
        notes.append(
            f"{index.label} {index.split} is trained on and validated on: the best {trained} is chosen by "
            "pairs that it learned from; name another split by --validation-split, or none"
        )
    if validation is None:
        notes.append(f"no validation split; the newest {trained} counts as the best")
    return notes
