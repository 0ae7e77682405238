"""Thousands of archives, and dozens of pickles, that were made to do harm."""

from __future__ import annotations

import os
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import torch
from support.hostile_archives import check_archive, contents, draw_archive

from harness.errors import BenchError
from harness.networks import read_tensors

ARCHIVES = 3_200

PICKLES = 40


@pytest.mark.parametrize("part", range(8))
def test_archives_are_unpacked_inside_or_refused(tmp_path, instants, monkeypatch, part):
    monkeypatch.setattr(os, "sync", lambda: None)
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "secret").write_bytes(b"secret")
    unpacked = 0
    for number in range(ARCHIVES // 8):
        deep = tmp_path / f"{number}"
        deep.mkdir()
        draw_archive(instants, deep / "a", victim)
        try:
            unpacked += check_archive(deep / "a", deep / "out", strip=number % 3)
        except AssertionError:
            # Kept, so that it can be looked at.
            print(f"archive {deep / 'a'}")
            raise
        assert {path.name for path in deep.iterdir()} == {"a", "out"}
        assert contents(victim) == {str(victim / "secret"): b"secret"}
    assert {path.name for path in tmp_path.iterdir()} == {"victim", *map(str, range(ARCHIVES // 8))}
    # Neither all nor none: both ways are tried.
    assert 20 < unpacked < ARCHIVES // 8 - 20


class Harm:
    """Does something when it is read."""

    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


def draw_pickle(random: Random, path: Path, harm: Path) -> None:
    """Writes a file of weights that would make the file `harm` if it were read as pickles are."""
    calls = [
        Harm(os.system, f"touch {harm}"),
        Harm(eval, f"open({str(harm)!r}, 'w')"),
        Harm(exec, f"open({str(harm)!r}, 'w')"),
        Harm(Path.touch, harm),
        Harm(os.open, str(harm), os.O_CREAT),
    ]
    chosen = random.choice(calls)
    content = random.choice(
        (chosen, {"weight": torch.zeros(2), "x": chosen}, [chosen], {"state_dict": {"w": chosen}})
    )
    kind = random.choice(("torch", "legacy", "plain", "zip"))
    if kind == "torch":
        torch.save(content, path)
    elif kind == "legacy":
        torch.save(content, path, _use_new_zipfile_serialization=False)
    elif kind == "plain":
        path.write_bytes(pickle.dumps(content, protocol=random.randint(0, 4)))
    else:
        with zipfile.ZipFile(path, "w") as out:
            out.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
            out.writestr("archive/version", "3\n")


def test_nothing_in_a_pickle_is_run(tmp_path, instants):
    harm = tmp_path / "harm"
    for number in range(PICKLES):
        path = tmp_path / f"{number}{instants.choice(('.pt', '.pth', '.bin', '.ckpt'))}"
        draw_pickle(instants, path, harm)
        with pytest.raises(BenchError) as caught:
            read_tensors(path)
        assert "\n" not in str(caught.value)
        assert not harm.exists()
    # The files do harm where they are trusted, or else nothing was tried.
    draw_pickle(Random(0), tmp_path / "x", harm)
    # Whatever the error is, it comes after the harm.
    with (tmp_path / "x").open("rb") as file, suppress(Exception):
        torch.load(file, weights_only=False)
    assert harm.exists()
