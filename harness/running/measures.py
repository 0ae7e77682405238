"""What is known of a run's protocols before any feature is computed: measures that a dataset lacks, and pairs
that cannot be scored.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import SeveralErrors
from harness.running.resolve import ResolvedCell
from harness.scoring.own_lengths import own_lengths
from harness.scoring.thresholds import applicable, kind_of, unscorable_line
from harness.scoring.truth import truth_of


def measure_lines(cells: Sequence[ResolvedCell]) -> list[str]:
    """A line for each measure that a dataset of the run lacks, and for each that some of its pairs lack.

    Raises:
        UserError: no cell has any of the measures asked for.
    """
    lacking: dict[str, None] = {}
    unscorable: dict[str, None] = {}
    has_measure = False
    cells = [cell for cell in cells if not cell.cell.not_applicable]
    for cell in cells:
        truth = truth_of(cell.index)
        measures = applicable(truth, cell.options.criteria)
        for criterion in measures.criteria:
            # A threshold of a plugin may be no length in the frame that scores need: told before the work.
            if callable(kind_of(criterion, truth)):
                own_lengths(truth, criterion.protocol, cell.info().input_size)
        has_measure = has_measure or bool(measures.criteria)
        for protocol, reason in measures.not_applicable.items():
            lacking[f"protocol {protocol} is not applicable: {reason}"] = None
        for criterion in measures.criteria:
            line = unscorable_line(truth, criterion)
            if line:
                unscorable[line] = None
    if cells and not has_measure:
        advice = "choose another threshold, such as --protocols 'original[threshold=image]'"
        raise SeveralErrors(f"{line}; {advice}" for line in lacking)
    return [*lacking, *unscorable]
