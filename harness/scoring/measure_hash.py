"""A hash of what a protocol makes of a point, by which numbers of two versions of it are told apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache, partial

from harness.isolation.guarded import without_guard
from harness.isolation.owner import is_plain
from harness.plugins.closure import code_of
from harness.plugins.module_files import ModuleFinder, module_name
from harness.scoring.criteria import Criterion
from harness.specs.protocols import OwnThreshold

_DIGITS = 8


def measures_of(criteria: Sequence[Criterion]) -> dict[str, str]:
    """Name of each criterion's protocol -> the hash of what it measures, in order of name."""
    hashes = {criterion.protocol.name: measure_hash(criterion) for criterion in criteria}
    return dict(sorted(hashes.items()))


def measure_hash(criterion: Criterion) -> str:
    """A hash of all that decides whether a point is right: frame, comparison, clamping, the length for alpha.

    Of a function it has the code of its module, with all that this imports: what the function reads elsewhere
    is not seen.
    """
    protocol = criterion.protocol
    own = criterion.threshold or protocol.threshold
    rule: tuple[object, ...] = (
        *(protocol.frame, protocol.strict, protocol.clamp, protocol.side),
        *(_rule_of(own), protocol.length),
    )
    # Only where a protocol has them: hashes of records from before these fields stay as they are.
    if protocol.place != "centre" or protocol.whole_pixels:
        rule = (*rule, protocol.place, protocol.whole_pixels)
    return hashlib.sha256(json.dumps(rule).encode()).hexdigest()[:_DIGITS]


def _rule_of(threshold: OwnThreshold | None) -> str | float | None:
    if not callable(threshold):
        # 10 and 10.0 pixels are one length.
        return threshold if isinstance(threshold, str) or threshold is None else float(threshold)
    function = without_guard(threshold)
    settings: list[str] = []
    while isinstance(function, partial):
        values = (*function.args, *sorted(function.keywords.items()))
        settings += [repr(value) for value in values if is_plain(value)]
        function = function.func
    return " ".join(["code", _code_hash(module_name(function)), *settings])


@lru_cache(maxsize=32)
def _code_hash(module: str) -> str:
    """Hash of a module and what it imports, also where pip installed it; empty for one without a file."""
    finder = ModuleFinder()
    found = finder.find(module)
    return code_of([module], finder.owners(found) if found else ()).digest
