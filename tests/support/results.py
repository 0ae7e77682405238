"""What a run wrote."""

from __future__ import annotations

import json
from pathlib import Path


def predictions(results: Path) -> dict[str, bytes]:
    """Cell id -> bytes of its predictions."""
    return {path.parent.name: path.read_bytes() for path in sorted(results.glob("*/predictions.parquet"))}


def the_record(results: Path) -> dict:
    """The only record of a results folder."""
    (path,) = results.glob("*/record.json")
    return json.loads(path.read_text())
