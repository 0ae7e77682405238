"""What is said of a cell whose numbers are there already."""

from __future__ import annotations

from datetime import UTC, datetime

from harness.messages import counted
from harness.records.folders import FRESH
from harness.records.schema import Provenance, Record
from harness.running.asked import asked_pairs
from harness.running.resolve import ResolvedCell
from harness.specs import NO_PROMPT

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def describe_found(resolved: ResolvedCell, earlier: Record | None, missing: int) -> str:
    """A line on a cell of which something was found, such as `found, computed 3 days ago by ...`.

    Args:
        earlier: the cell's record; None for a cell that has none.
        missing: number of pairs that are still to be predicted.

    Returns:
        Empty where there is nothing to say.
    """
    if resolved.options.fresh:
        return _describe_fresh(resolved, earlier, missing)
    asked = len(asked_pairs(resolved.index, resolved.options))
    if missing == asked:
        # There are pairs or localizers, but none of those asked for.
        return ""
    amount = "found"
    if missing:
        amount = f"found {asked - missing:,} of {counted(asked, 'pair')}"
    if earlier is None or earlier.provenance is None:
        # Of a run that was interrupted, or whose record was removed.
        return amount if missing else f"found all of {counted(asked, 'pair')}, scored anew"
    text = f"{amount}, computed {describe_age(earlier.provenance.started)} by {_maker(earlier.provenance)}"
    if (resolved.folder / FRESH).exists():
        text += "; a run with --fresh has not come to its end: give --fresh again to go on with it"
    return text


def title(resolved: ResolvedCell) -> str:
    """The cell's dataset, method and prompt: `shapes dift empty`."""
    cell = resolved.cell
    words = [resolved.index.label, cell.label]
    if cell.prompt != NO_PROMPT:
        words.append(cell.prompt)
    return " ".join(words)


def _describe_fresh(resolved: ResolvedCell, earlier: Record | None, missing: int) -> str:
    asked = len(asked_pairs(resolved.index, resolved.options))
    if resolved.shards.exists():
        return f"goes on anew, {asked - missing:,} of {counted(asked, 'pair')} are there"
    if earlier and earlier.provenance:
        return f"computed anew; what is there was computed {describe_age(earlier.provenance.started)}"
    return ""


def describe_age(started: str, present: datetime | None = None) -> str:
    """`3 days ago`, `just now`; the time itself where it cannot be told.

    Args:
        started: UTC, in ISO format.
        present: the time now.
    """
    try:
        then = datetime.fromisoformat(started)
    except ValueError:
        return f"at {started}"
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    seconds = ((present or datetime.now(UTC)) - then).total_seconds()
    # A clock that is behind that of the machine which computed.
    if seconds < 0:
        return f"at {started}"
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{counted(int(seconds // length), unit)} ago"
    return "just now"


def _maker(provenance: Provenance) -> str:
    """Version and commit of the program, and the machine in words: its GPU or its processor."""
    version = provenance.versions.get("correspondence-bench", "of an unknown version")
    commit = ""
    if provenance.commit:
        commit = f" ({provenance.commit[:7]}{', edited' if provenance.dirty else ''})"
    machine = provenance.hardware.get("gpu") or provenance.hardware.get("processor") or provenance.device
    return f"correspondence-bench {version}{commit}, on {machine}"
