"""Captions of tables: what was measured, under which protocol, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.schema import Provenance, Record
from harness.tables.rows import Row
from harness.tables.text import NOTHING


def trust_sentences(records: Sequence[Record], lines: Sequence[Row]) -> list[str]:
    """What the columns mean that say whether to trust a row."""
    found = [
        "Bold: best of its supervision group (Z zero-shot, I image-level labels or pairs, K keypoints); underlined: second."
    ]
    if any(len(line.pairs) > 1 for line in lines):
        found.append("Pairs and seconds in the order of the datasets.")
    if any(line.seconds for line in lines):
        used = {_processor(record.provenance) for record in records if record.provenance}
        found.append(f"s/pair: features and points, on {', '.join(sorted(used))}.")
    return found


def _processor(provenance: Provenance) -> str:
    hardware = provenance.hardware
    return hardware.get("gpu") or hardware.get("processor") or "hardware that is not recorded"


def reported_caption(claims: bool, printed: bool, mixed: bool) -> str:
    """What reported rows and the numbers in brackets are.

    Args:
        claims: whether there are numbers in brackets.
        printed: whether there are reported rows.
        mixed: whether those are marked among the measured ones, or not at all.
    """
    found = []
    if printed:
        found.append("Rows called reported are what papers printed; nobody measured them here.")
        if not mixed:
            found.append("Their best and second are marked among themselves.")
    elif not claims:
        found.append("No paper that is known here printed such numbers.")
    if claims:
        found.append("In brackets: measured less reported, in points.")
    return " ".join(found)


def pairs_text(line: Row) -> str:
    """`900`, or `299 / 900` on several datasets."""
    return " / ".join(str(number) for _, number in sorted(line.pairs.items())) or NOTHING


def text_or_dash(text: str) -> str:
    """The text, or an en dash."""
    return text or NOTHING


def numbers_caption(records: Sequence[Record], protocol: str, averaging: str) -> str:
    """What the numbers of a table are, in two sentences."""
    sizes = sorted({record.cell.fed for record in records if record.scores and record.cell.fed})
    fed = f" ({', '.join(f'{w} x {h}' for w, h in sizes)})" if sizes else ""
    frame = f" in the frame each extractor was fed{fed}" if protocol.startswith("sd4match") else ""
    multiplied: dict[str, set[str]] = {}
    for record in records:
        if protocol in record.thresholds:
            multiplied.setdefault(record.thresholds[protocol], set()).add(record.cell.dataset)
    threshold = "; ".join(f"{', '.join(sorted(names))}: {kind}" for kind, names in sorted(multiplied.items()))
    return (
        f"PCK in percent at alpha, protocol {protocol}{frame}, mean per {averaging}, ± half the 95 % bootstrap interval over image pairs."
        + (f" Alpha multiplies the target's size ({threshold})." if threshold else "")
    )
