"""What a run gives up: recorded predictions that are damaged or of a changed localizer, and not asked for."""

from __future__ import annotations

from collections.abc import Container, Mapping

from harness.messages import counted, listed
from harness.records.predictions import PREDICTIONS, predicted_tasks
from harness.records.schema import Record
from harness.running.asked import asked_pairs
from harness.running.resolve import ResolvedCell
from harness.running.stored import Stored


def describe_damage(
    resolved: ResolvedCell, earlier: Record | None, stored: Stored, known: Container[str]
) -> dict[str, str]:
    """What is wrong with a cell's files, and what becomes of it: subject -> message.

    Args:
        earlier: the cell's record; None for a cell that has none.
        known: localizers that a plugin brings.
    """
    lost = count_lost(resolved, earlier, stored)
    if not lost:
        problems = stored.damage.items()
        return {
            str(path): f"{problem}; computed again where this run asks for it" for path, problem in problems
        }
    text = _describe_lost(resolved, lost, known)
    if stored.damage:
        return {str(path): f"{problem}; {text}" for path, problem in stored.damage.items()}
    if not resolved.options.fresh and (resolved.folder / PREDICTIONS).exists():
        text = f"a localizer has changed; {text}"
    return {resolved.id: text}


def count_lost(resolved: ResolvedCell, earlier: Record | None, stored: Stored) -> dict[str, int]:
    """Localizer -> pairs that the record counts, no file has any more, and this run does not compute."""
    asked = set(asked_pairs(resolved.index, resolved.options))
    pairs: dict[str, set[str]] = {name: set(asked) for name in resolved.cell.localizers}
    for table in stored.tables:
        for pair_id, localizer in predicted_tasks(table):
            pairs.setdefault(localizer, set()).add(pair_id)
    lost: dict[str, int] = {}
    for name, info in earlier.localizers.items() if earlier else ():
        missing = info.pairs - len(pairs.get(name, ()))
        if missing > 0:
            lost[name] = missing
    return lost


def _describe_lost(resolved: ResolvedCell, lost: Mapping[str, int], known: Container[str]) -> str:
    """`predictions of 580 pairs (argmax) are lost; without --limit they are computed again`."""
    text = f"predictions of {counted(max(lost.values()), 'pair')} ({listed(sorted(lost))}) are lost"
    remedies: list[str] = []
    if resolved.options.limit is not None:
        remedies.append("without --limit")
    if resolved.options.shard is not None:
        remedies.append("without --shard")
    others = {name for name in lost if name not in resolved.cell.localizers and name in known}
    if others:
        remedies.append(f"with --localizers {','.join(sorted({*resolved.cell.localizers, *others}))}")
    return f"{text}; {' and '.join(remedies)} they are computed again" if remedies else text
