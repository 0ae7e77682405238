"""What a user should know of a split before the work begins: that it is not whole, or does not look right."""

from __future__ import annotations

from harness.datasets.decoding import has_orientation_tag
from harness.datasets.images import ImageFile
from harness.datasets.plausibility import find_oddities
from harness.datasets.splits import SplitIndex
from harness.messages import counted


def find_warnings(index: SplitIndex) -> list[str]:
    """One line for each kind of thing in a split that can be read and may be wrong all the same.

    Annotations are looked at, and the headers of pictures.
    """
    return [*find_oddities(index), *_turned_pictures(index)]


def notes_on_split(index: SplitIndex) -> list[str]:
    """Lines for a run: one on a split that is not whole, those on how it was read, one with all warnings."""
    title = f"{index.label} {index.split}"
    lines: list[str] = []
    pairs, official = len(index.pair_ids), index.official_pairs
    if official is not None and pairs != official:
        lines.append(
            f"{title}: {counted(pairs, 'pair')} instead of the official {official:,}; "
            "its numbers are not ranked beside those of the whole split"
        )
    lines += [f"{title}: {note}" for note in index.notes]
    warnings = find_warnings(index)
    if warnings:
        lines.append(f"{title}: may be annotated otherwise than it is read: {'; '.join(warnings)}")
    return lines


def _turned_pictures(index: SplitIndex) -> list[str]:
    """A line on pictures that viewers turn: points that were read off there lie elsewhere in the file."""
    files: dict[str, ImageFile] = {}
    for pair in index.pairs.values():
        for image in (pair.source, pair.target):
            # Pictures that are made, not stored, have no tags.
            if isinstance(image, ImageFile):
                files.setdefault(str(image.path), image)
    turned = [path for path, image in files.items() if has_orientation_tag(image.path)]
    if not turned:
        return []
    verb = "has" if len(turned) == 1 else "have"
    return [
        f"{counted(len(turned), 'picture')} {verb} an orientation tag, which is ignored, "
        f"the first {turned[0]}: points are pixels as stored"
    ]
