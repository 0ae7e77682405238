"""Writes the annotations of `shapes`' test split to the file that the package brings.

python -m tools.shapes_annotations
"""

from __future__ import annotations

from harness.datasets.shapes.annotations import FILE, KEPT_SPLIT, annotation_of, to_json
from harness.datasets.shapes.pairs import Shapes


def main() -> None:
    """Draws every scene of the split and writes the file."""
    images = Shapes(KEPT_SPLIT).images()
    content = to_json((image.name, annotation_of(image.scene())) for image in images)
    FILE.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
