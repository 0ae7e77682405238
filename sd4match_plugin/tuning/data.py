"""The pairs of a training: which splits of a dataset it uses, for its steps and for validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.datasets.splits import SplitIndex, Splits
from harness.errors import UserError
from harness.plugins.host import Host
from harness.specs import DatasetSpec, ImagePair
from harness.sweep import DatasetChoice
from sd4match_plugin.tuning.pairs import usable_pairs

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
