"""Agreement of the classical matchers with their authors' programs, and tests that each number counts.

The checks stand in `classic_*.py`, one module for a few methods. Each works out what goes into a file once,
and compares all that comes out of it.
"""

from __future__ import annotations

import os
import re
import runpy
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError

HERE = Path(__file__).parent
BUNDLED = HERE / "vectors" / "classic"


UNUSED = ("*.num_batches_tracked", "*/decoder.norm.*", "out/resize_head", "*logit_scale")
"""Arrays that no result depends on.

CATs' last layer norm is in its checkpoints alone; `resize_head` is what NCNet's program does under a PyTorch
that it was not written for. Factors of losses, `logit_scale`, are in GeoAware-SC's files for training alone.
"""


def named_folder(named: str) -> Path:
    """The folder that the environment names, or its part `classic`; the bundled one where it names none."""
    folder = Path(named or HERE / "vectors")
    return folder / "classic" if (folder / "classic").is_dir() else folder


VECTORS = named_folder(os.environ.get("BENCH_CONFORMANCE", ""))

Check = Callable[[Path], None]


def collect_checks() -> dict[str, Check]:
    """The checks of all modules."""
    checks: dict[str, Check] = {}
    for path in sorted(HERE.glob("classic_*.py")):
        for name, check in getattr(import_module(path.stem), "CHECKS", {}).items():
            assert name not in checks, name
            checks[name] = check
    return checks


CHECKS = collect_checks()
FILES = sorted(path.stem for path in BUNDLED.glob("*.npz"))

# What a check says of numbers that do not fit: that they differ, or that nothing can be made of them.
NOTICED = (AssertionError, UserError, ValueError, IndexError, RuntimeError)


@pytest.mark.parametrize("name", CHECKS)
def test_agrees_with_the_authors_programs(name: str) -> None:
    CHECKS[name](VECTORS)


@pytest.fixture(scope="module")
def checks_of() -> dict[str, list[Check]]:
    """File -> the checks that read it, found out by running all of them."""
    readers: dict[str, list[Check]] = {name: [] for name in FILES}
    load, opened = np.load, set()

    def load_and_remember(file: Path, *arguments, **options):
        opened.add(Path(file).stem)
        return load(file, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "load", load_and_remember)
        for check in CHECKS.values():
            opened.clear()
            check(BUNDLED)
            for name in opened:
                readers[name].append(check)
    return readers


class Copies:
    """Folders of vectors in which one file is another."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.path = folder, folder / f"{name}.npz"
        with np.load(BUNDLED / self.path.name) as file:
            self.arrays = dict(file)
        for entry in BUNDLED.glob("*.npz"):
            if entry.name != self.path.name:
                (folder / entry.name).symlink_to(entry)

    def write(self, key: str, value: np.ndarray) -> Path:
        """Writes the file with another array under `key`; returns the folder."""
        np.savez(self.path, **{**self.arrays, key: value})
        return self.folder


def is_noticed(checks: list[Check], folder: Path) -> bool:
    """Says whether one of the checks fails."""
    for check in checks:
        try:
            check(folder)
        except NOTICED:
            return True
    return False


@pytest.mark.parametrize("name", FILES)
def test_the_first_and_the_last_number_of_all_that_comes_out_count(name, checks_of, tmp_path):
    copies = Copies(tmp_path, name)
    results = [key for key in copies.arrays if "out/" in key or key.startswith("parameters")]
    results = [key for key in results if is_used(key)]
    assert results
    unnoticed = [
        f"{key}{list(place)}"
        for key in results
        for place in sorted({(0,) * copies.arrays[key].ndim, tuple(n - 1 for n in copies.arrays[key].shape)})
        if not is_noticed(checks_of[name], copies.write(key, change_number(key, copies.arrays[key], place)))
    ]
    assert not unnoticed


def is_used(key: str) -> bool:
    return not any(fnmatchcase(key, pattern) for pattern in UNUSED)


def change_number(key: str, values: np.ndarray, place: tuple[int, ...]) -> np.ndarray:
    """The array with one number changed by several times what may differ."""
    changed = values.copy()
    if values.dtype == bool:
        changed[place] = not values[place]
    elif values.dtype.kind in "iu":
        changed[place] += 1
    elif "points" in key:
        changed[place] += 0.5
    else:
        changed[place] += 0.05 * np.abs(values).max() + 0.01
    return changed


def changeable_arrays() -> list[tuple[str, str]]:
    """(file, array) of what goes into the small files: of names that differ in numbers alone, the first.

    All of them are given to the network by name, and none may be missing or left over.
    """
    chosen: dict[tuple[str, str], tuple[str, str]] = {}
    for name in FILES:
        if name.startswith("true_shape_"):
            continue
        with np.load(BUNDLED / f"{name}.npz") as file:
            given = [key for key in file.files if re.search(r"(^|/)(in|weights)/|weights_seed", key)]
        assert given, name
        for key in given:
            if is_used(key):
                chosen.setdefault((name, re.sub(r"\d+", "0", key)), (name, key))
    return list(chosen.values())


@pytest.mark.parametrize(("name", "key"), changeable_arrays())
def test_all_that_goes_in_counts(name, key, checks_of, tmp_path):
    copies = Copies(tmp_path, name)
    folder = copies.write(key, change_array(key, copies.arrays[key]))
    assert is_noticed(checks_of[name], folder)


def change_array(key: str, values: np.ndarray) -> np.ndarray:
    """Other values of the same kind."""
    if values.dtype.kind in "iu" and values.dtype.itemsize > 1:
        return values + 1
    if "points" in key or values.dtype.kind in "iu":
        return np.roll(values, 1, axis=-2)
    if "running_var" in key:
        return 3 * values + 0.1
    return (0.3 - values).astype(values.dtype)


def test_every_file_has_a_check(checks_of):
    assert not [name for name, checks in checks_of.items() if not checks]


def test_the_environment_names_a_folder_or_one_that_it_is_part_of(tmp_path, monkeypatch):
    """This file, run anew, fails on a copy with a changed number; before, its check passes on it."""
    folder = tmp_path / "classic"
    folder.mkdir()
    assert named_folder(str(tmp_path)) == named_folder(str(folder)) == folder
    copies = Copies(folder, "chm")
    CHECKS["chm"](copies.write("out/target_points", copies.arrays["out/target_points"]))
    copies.write("out/target_points", copies.arrays["out/target_points"] + 0.01)
    monkeypatch.setenv("BENCH_CONFORMANCE", str(tmp_path))
    again = runpy.run_path(__file__)
    with pytest.raises(AssertionError, match="out/target_points"):
        again[test_agrees_with_the_authors_programs.__name__]("chm")
