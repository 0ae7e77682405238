"""Labels of methods with what was changed of them: `dift[timestep=50,seed=1]`."""

from __future__ import annotations

from harness.records.schema import Record


def label_with(label: str, change: str) -> str:
    """A method's label with one more change: `dift` with `timestep=50` is `dift[timestep=50]`."""
    method, bracket, brackets_text = label.partition("[")
    if not bracket:
        return f"{label}[{change}]"
    inside, _, behind = brackets_text.rpartition("]")
    return f"{method}[{inside},{change}]{behind}"


def label_without(label: str, name: str) -> str:
    """A method's label without one of its changes.

    Without `timestep`, `dift[ensemble=1,timestep=50]` is `dift[ensemble=1]`.
    """
    method, bracket, brackets_text = label.partition("[")
    if not bracket:
        return label
    # Behind the bracket may stand what `distinguish_labels` adds.
    inside, _, behind = brackets_text.rpartition("]")
    changes = []
    for change in inside.split(","):
        if not change.startswith(f"{name}="):
            changes.append(change)
    if not changes:
        return f"{method}{behind}"
    return f"{method}[{','.join(changes)}]{behind}"


def seedless_label(record: Record) -> str:
    """A record's label without its seed: `dift[seed=1]` is `dift`."""
    return label_without(record.cell.label, "seed") if record.cell.seed else record.cell.label
