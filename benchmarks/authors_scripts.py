"""What the authors' own scripts took on pairs of `shapes`: facts, timed once, and how they are carried over.

Their code is not in this project. On 2026-11-26 SD4Match (commit 3d7b09e) and DIFT (9421eb2) ran on the
bundled networks, one thread, an idle machine, in turn with this project at 8fdbbac, on the same pairs and
weights: `docs/explanation/verification.md`, "Speed beside the authors' programs". Seconds are those of the
first round, since other work came in during the second. Theirs are of a whole script after its imports,
loading counted; ours of then of features and points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recreated_scripts import LOCALIZERS
from shape_pairs import Couple, among, every, pictures_of, write_couples


@dataclass(frozen=True)
class Workload:
    """A list of pairs of `shapes`.

    Attributes:
        couples: makes the list.
    """

    couples: Callable[[], list[Couple]]

    def few(self, count: int) -> Workload:
        """Its first pairs alone, for a trial."""
        return Workload(lambda: self.couples()[:count])

    def write(self, folder: Path) -> Path:
        """Writes it as a folder of one's own photos."""
        return write_couples(folder, self.couples())

    def describe(self) -> str:
        """Numbers of pairs and pictures."""
        couples = self.couples()
        return f"{len(couples)} pairs of {len(list(pictures_of(couples)))} pictures"


ALL_OF_TWENTY = Workload(lambda: among(20))
"""As often as in SPair-71k: 19 pairs a picture, 38 that it is in."""

EVERY_FOURTH = Workload(lambda: every(4))
"""The very pairs: 1,437 points. (The timing's report says some 270 pictures; these pairs have 200.)"""

FORTY = Workload(lambda: every(15, 6))
"""375 points, as there; whether the pairs are the same is not told."""

RECURRING = Workload(lambda: among(20, 200))
"""Each picture is in 20 pairs."""


def there_and_back(workload: Workload) -> Workload:
    """A list and behind it all of its pairs again, the other way round: worked on in this order, it needs all
    maps to be kept."""

    def couples() -> list[Couple]:
        there = workload.couples()
        return there + [Couple(target, source) for source, target in there]

    return Workload(couples)


@dataclass(frozen=True)
class Timed:
    """One timing of an authors' script.

    Attributes:
        name: the method, in the table.
        seconds: of the script, loading counted.
        ours_then: of this project at 8fdbbac on the same pairs, features and points.
        recreations: the script's seconds over those of the re-creation (`recreated_scripts`) on the same
            pairs, by `authors_bridge`.
    """

    name: str
    method: str
    workload: Workload
    seconds: float
    ours_then: float
    recreations: float


TIMED = (
    Timed("DIFT", "dift", ALL_OF_TWENTY, 30.5, 3.0, 0.96),
    Timed("DIFT", "dift", EVERY_FOURTH, 63.9, 24.2, 1.38),
    Timed("Single", "sd4match-single", EVERY_FOURTH, 37.9, 25.2, 1.15),
    Timed("CPM", "sd4match-cpm", EVERY_FOURTH, 59.4, 37.7, 1.28),
    Timed("CPM", "sd4match-cpm", FORTY, 16.1, 11.3, 1.32),
)


def options_of(method: str, data: Path) -> list[str]:
    """Options of `bench run` for what an authors' script does."""
    options = ["--methods", method, "--datasets", f"folder={data}"]
    if method != "dift":
        options += ["--localizers", ",".join(LOCALIZERS)]
    return options
