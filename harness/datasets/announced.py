"""What an opened dataset says of itself besides its pairs, checked: names, threshold and facts."""

from __future__ import annotations

from typing import get_args

from harness.datasets.checks import check_text
from harness.errors import DataError, UserError
from harness.specs import (
    DatasetSpec,
    PairDataset,
    Threshold,
    is_factual_dataset,
    is_labelled_dataset,
    is_threshold_dataset,
)


def announced_ids(where: str, dataset: PairDataset) -> tuple[str, ...]:
    """The names of a dataset's pairs. Raises `UserError` where they are not texts, or there are none."""
    try:
        names = tuple(check_text(where, "the name of a pair", name) for name in dataset.pair_ids)
    except DataError as error:
        raise UserError(str(error)) from error
    if not names:
        raise UserError(f"{where}: its list has no pairs; fetch the dataset again or mend the list")
    if len(dataset) != len(names):
        raise UserError(f"{where}: has {len(dataset)} pairs and {len(names)} names of pairs; need as many")
    return names


def label_of(where: str, spec: DatasetSpec, dataset: PairDataset) -> str:
    """The name that tables print. Raises `UserError` where it is no text."""
    if not is_labelled_dataset(dataset):
        return spec.name
    try:
        return check_text(where, "its name", dataset.label)
    except DataError as error:
        raise UserError(str(error)) from error


def threshold_of(where: str, spec: DatasetSpec, dataset: PairDataset) -> Threshold:
    """What alpha multiplies. Raises `UserError` for another kind of length."""
    threshold = dataset.threshold if is_threshold_dataset(dataset) else spec.threshold
    if threshold not in get_args(Threshold):
        raise UserError(f"{where}: threshold {threshold!r} is not one of {', '.join(get_args(Threshold))}")
    return threshold


def facts_of(where: str, dataset: PairDataset) -> dict[str, str]:
    """What a split says of itself, in order of name. Raises `UserError` where it is no text."""
    facts: dict[str, str] = {}
    try:
        for name, value in dataset.facts.items() if is_factual_dataset(dataset) else ():
            known = check_text(where, "the name of a fact", name)
            facts[known] = check_text(where, f"the fact '{known}'", value)
    except DataError as error:
        raise UserError(str(error)) from error
    return dict(sorted(facts.items()))
