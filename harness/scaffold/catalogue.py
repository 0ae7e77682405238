"""The kinds of plugin that can be begun from a template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.scaffold.example_data import write_example


@dataclass(frozen=True)
class Kind:
    """A kind of plugin, with its module as the template `templates/KIND.py.txt`.

    Attributes:
        what: what the plugin brings, for the README that is written.
        run: arguments of `bench` that use it for the first time, with `{name}` and `{folder}`.
        doctor: arguments that check it, likewise.
        data: writes what its test needs besides code: (folder of the plugin, name) -> None.
        test: arguments of `check_plugin` after the module, as its test has them.
    """

    what: str
    run: str
    doctor: str = "doctor {name}"
    data: Callable[[Path, str], None] | None = None
    test: str = ""


KINDS: Mapping[str, Kind] = {
    "extractor": Kind(
        what="feature extractor",
        run="run --methods {name},position --limit 60",
    ),
    "matcher": Kind(
        what="matcher",
        run="run --methods {name},hog --limit 60",
    ),
    "localizer": Kind(
        what="localizer",
        run="run --methods hog --localizers {name},argmax --limit 60",
    ),
    "prompt": Kind(
        what="prompt type",
        run="run --methods dift --prompts {name},empty --limit 12",
    ),
    "dataset": Kind(
        what="dataset",
        run="run --methods hog,position --datasets {name} --data-root {folder}/data",
        doctor="doctor {name} --data-root {folder}/data",
        data=partial(write_example, splits=("test",)),
        test=', data_root=Path(__file__).parents[1] / "data"',
    ),
}
"""Name on the command line -> kind."""
