"""A few small photos with pairs, so that a dataset that was just begun can be run."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

_SIZE = (160, 120)

_SHEETS = ((16, 12, "#b8c4a0"), (40, 24, "#a8b8d0"), (24, 30, "#d8c8b0"), (52, 10, "#c0b0c8"))
"""Upper left corner of the house in each picture, and the colour behind it."""

_POINTS = {
    "roof": (34, 4),
    "left-eave": (6, 32),
    "right-eave": (62, 32),
    "door": (46, 62),
    "window": (18, 46),
}
"""Places in the house, (x, y) from its corner."""

_HOUSE = (68, 76)
"""Its width and height."""


def write_example(folder: Path, name: str, splits: Iterable[str]) -> None:
    """Writes `data/NAME/images` and a list of pairs for each split below a plugin's folder."""
    home = folder / "data" / name
    (home / "images").mkdir(parents=True)
    for number, (x, y, behind) in enumerate(_SHEETS):
        # In memory: Pillow writes through a file's number and forgets why the system refused it.
        content = io.BytesIO()
        _draw(x, y, behind).save(content, "PNG")
        (home / "images" / f"house-{number}.png").write_bytes(content.getvalue())
    rows = [_row(source, target) for source, target in combinations(range(len(_SHEETS)), 2)]
    for split in splits:
        text = json.dumps(rows, indent=1) + "\n"
        (home / f"{split}.json").write_text(text, encoding="utf-8")


def _draw(x: int, y: int, behind: str) -> Image:
    import PIL.Image
    import PIL.ImageDraw

    def moved(*places: tuple[int, int]) -> Sequence[tuple[int, int]]:
        return [(x + left, y + top) for left, top in places]

    image = PIL.Image.new("RGB", _SIZE, behind)
    draw = PIL.ImageDraw.Draw(image)
    draw.rectangle(moved((8, 32), (60, 76)), fill="#e8dcc0")
    draw.polygon(moved((34, 4), (6, 32), (62, 32)), fill="#a03828")
    draw.rectangle(moved((40, 50), (52, 76)), fill="#5a3a20")
    draw.rectangle(moved((13, 41), (23, 51)), fill="#305878")
    return image


def _row(source: int, target: int) -> dict[str, Any]:
    (source_x, source_y, _), (target_x, target_y, _) = _SHEETS[source], _SHEETS[target]
    points = {}
    for name, (x, y) in _POINTS.items():
        points[name] = [[source_x + x, source_y + y], [target_x + x, target_y + y]]
    return {
        "id": f"house-{source}-{target}",
        "category": "house",
        "source": f"house-{source}.png",
        "target": f"house-{target}.png",
        "source_size": _SIZE,
        "target_size": _SIZE,
        "target_box": [target_x, target_y, target_x + _HOUSE[0], target_y + _HOUSE[1]],
        "points": points,
    }
