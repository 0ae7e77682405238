"""Units of work: the missing pairs of a cell, cut so that few feature maps are computed twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.features.items import ItemPlan
from harness.features.pair_features import joint_scope
from harness.features.schedule import steps
from harness.running.predict import WantedPairs
from harness.running.resolve import ResolvedCell

MOST_PAIRS = 512
"""Pairs of a unit at most."""

FEWEST_PAIRS = 32
"""Pairs of a unit, where there are so many: with fewer, loading and pictures that two units share cost more
than another worker brings."""

UNITS_PER_WORKER = 4
"""So many units for each worker, so that those that are done early find work."""


@dataclass(eq=False)
class Unit:
    """Pairs of one cell that one worker predicts.

    Attributes:
        cell: number of the cell in its run.
        wanted: pairs that are left, with their localizers, in the order of work.
        kills: workers that died over all of these pairs.
    """

    cell: int
    wanted: dict[str, list[str]]
    kills: int = 0

    def halves(self) -> tuple[Unit, Unit]:
        """Two units with half of the pairs each; the worker that died, died over either."""
        items = list(self.wanted.items())
        middle = len(items) // 2
        return (
            Unit(self.cell, dict(items[:middle]), self.kills),
            Unit(self.cell, dict(items[middle:]), self.kills),
        )


def unit_size(pairs: int, workers: int) -> int:
    """Number of pairs of a unit, for so many pairs and workers."""
    share = -(-pairs // max(1, workers * UNITS_PER_WORKER))
    return min(MOST_PAIRS, max(FEWEST_PAIRS, share))


def cut_units(number: int, resolved: ResolvedCell, wanted: WantedPairs, size: int) -> list[Unit]:
    """Cuts the missing pairs of a cell into units, none of them across two categories.

    Args:
        number: of the cell in its run.
        size: number of pairs of a unit at most. The units of a category are about equally large.
    """
    plan = _item_plan(resolved)
    units: list[Unit] = []
    for pair_ids in _by_category(resolved, wanted):
        ordered = list(_in_order_of_work(resolved, plan, pair_ids)) if plan else pair_ids
        parts = -(-len(ordered) // size)
        start = 0
        for part in range(parts):
            end = len(ordered) * (part + 1) // parts
            units.append(Unit(number, {name: list(wanted[name]) for name in ordered[start:end]}))
            start = end
    return units


def _by_category(resolved: ResolvedCell, wanted: WantedPairs) -> list[list[str]]:
    """The pairs of each category in the dataset's order; those that cannot be read come first."""
    groups: dict[str | None, list[str]] = {}
    for pair_id in wanted:
        pair = resolved.index.pairs.get(pair_id)
        groups.setdefault(pair.category if pair else None, []).append(pair_id)
    broken = groups.pop(None, [])
    return [broken, *groups.values()] if broken else list(groups.values())


def _item_plan(resolved: ResolvedCell) -> ItemPlan | None:
    """The items whose feature maps pairs share; None where no two pairs share one."""
    prompt = resolved.prompt.spec.scope if resolved.prompt else "image"
    scope = joint_scope(resolved.extractor.spec.scope, prompt)
    return None if scope == "pair" else ItemPlan(resolved.index, scope, resolved.options.batch_size)


def _in_order_of_work(resolved: ResolvedCell, plan: ItemPlan, pair_ids: Sequence[str]) -> Iterator[str]:
    """Yields pairs that share batches of images one after another."""
    pairs = resolved.index.pairs
    needs = [plan.numbers(pairs[pair_id]) if pair_id in pairs else [] for pair_id in pair_ids]
    # Room for two batches: a cut at any place then parts few batches. A worker with more room finds its own
    # order within the unit.
    for step in steps(needs, plan.batch_size, room=2 * plan.batch_size):
        for number in step.pairs:
            yield pair_ids[number]
