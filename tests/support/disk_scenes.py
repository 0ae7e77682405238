"""Every command of `bench` that writes, small enough to be run hundreds of times, on disks that refuse it."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.animals import animal_files, write_animals
from support.commands import Outcome
from support.faulty_disk import FaultyDisk, Refusal
from support.hub_server import Hub
from support.local_server import LocalServer
from support.paths import ROOT
from support.photos import make_photos
from support.trainings import make_workspace, train_words

from baselines.published import VISION_TRANSFORMERS
from harness.datasets import pf_willow
from harness.datasets.shapes import pairs
from harness.datasets.shapes.export import ExportOptions
from harness.specs import RemoteFile
from harness.training.checkpoint import _without_seal

Bench = Callable[..., Outcome]
"""Words of a command -> how it ended; it runs in this process, in the current folder."""

DATA = ("--datasets", "folder=photos")

POSITION = ("run", "--methods", "position", *DATA, "--out", "results")

HOG = ("run", "--methods", "hog", *DATA, "--out", "results")


@dataclass(frozen=True)
class DiskScene:
    """A command in a folder.

    Attributes:
        words: of the command; the folders and files in it are below the folder it is given in.
        place: what the user named to be written, which the message names too, or something in it.
        before: commands that are given before, on a sound disk.
        prepare: changes more in the folder, after those commands.
        is_restarted: whether a folder that is not whole has a name in it that says so: downloads, exports.
        has_steps: whether it writes its files again and again.
        needs_tidying: whether what a disk did not let it take back must be removed by hand: it refuses a
            folder in which it does not know every file.
    """

    words: Sequence[object]
    place: str
    before: Sequence[Sequence[object]] = ()
    prepare: Callable[[Path], object] = lambda folder: None
    is_restarted: bool = False
    has_steps: bool = False
    needs_tidying: bool = False

    @property
    def folder(self) -> str:
        """The folder that the command makes or works in; empty for one that writes a file."""
        return "" if "." in self.place else self.place


def _interrupted(folder: Path) -> None:
    """Leaves what `clean` removes: shards of a run that was interrupted."""
    (record,) = (folder / "results").glob("*/record.json")
    (record.parent / "shards").mkdir()
    shutil.copy(record.with_name("predictions.parquet"), record.parent / "shards" / "000000.parquet")


def _make_coco(folder: Path) -> None:
    """Writes a COCO file of two of the photos."""
    photos = [{"id": number, "file_name": f"photos/photo{number}.png"} for number in range(2)]
    points = {"category_id": 1, "keypoints": [9, 9, 2] * 3, "bbox": [5, 5, 30, 30]}
    content = {
        "images": photos,
        "categories": [{"id": 1, "name": "blob", "keypoints": ["a", "b", "c"]}],
        "annotations": [{"id": photo["id"], "image_id": photo["id"], **points} for photo in photos],
    }
    (folder / "coco.json").write_text(json.dumps(content))


PROMPT = ROOT / "sd4match_plugin" / "tiny" / "class-shapes.safetensors"

_SCORES = [POSITION]

SCENES = {
    "run": DiskScene(POSITION, "results"),
    "run of a finished cell anew": DiskScene((*POSITION, "--fresh"), "results", _SCORES),
    "rescore": DiskScene(("rescore", "results", "--protocols", "original"), "results", _SCORES),
    "rescore -o": DiskScene(("rescore", "results", "-o", "t.csv"), "", _SCORES),
    "merge": DiskScene(("merge", "results", "-o", "merged"), "merged", _SCORES),
    "clean": DiskScene(("clean", "results", "--unfinished", "--yes"), "results", _SCORES, _interrupted),
    "leaderboard": DiskScene(("leaderboard", "results", "-o", "t.md"), "t.md", _SCORES),
    "leaderboard as a folder": DiskScene(
        ("leaderboard", "results", "--format", "eval-results", "-o", "rows"), "rows", _SCORES
    ),
    "compare": DiskScene(
        ("compare", "results:position", "results:hog", "-o", "t.csv"), "t.csv", [POSITION, HOG]
    ),
    "report": DiskScene(("report", "results", "-o", "page.html", *DATA), "page.html", _SCORES),
    "match": DiskScene(
        ("match", "photos/photo0.png", "photos/photo1.png", "--method", "hog", "--points", "10,10")
        + ("-o", "m.png"),
        "m.png",
    ),
    "new-plugin": DiskScene(("new-plugin", "mine", "--kind", "dataset", "-o", "mine"), "mine"),
    "new-plugin in a folder": DiskScene(
        ("new-plugin", "mine", "-o", "mine"),
        "mine",
        prepare=lambda folder: (folder / "mine").mkdir(),
        needs_tidying=True,
    ),
    "prompt export": DiskScene(("prompt", "export", PROMPT, "p.safetensors"), "p.safetensors"),
    "prompt export as a folder": DiskScene(("prompt", "export", PROMPT, "release"), "release"),
    "train": DiskScene(
        train_words(Path(), "sd4match-class", steps=2, save_every=1, validate_every=1, out="p"),
        "p",
        prepare=make_workspace,
        has_steps=True,
    ),
    "data export": DiskScene(
        ("data", "export", "shapes", "files", "--splits", "val"), "files", is_restarted=True
    ),
    "data prepare": DiskScene(
        ("data", "prepare", "ap-10k=animals"),
        "bench-pairs.json",
        prepare=lambda folder: write_animals(folder / "animals", animal_files({"cat": 3})),
    ),
    "data pairs": DiskScene(
        ("data", "pairs", "coco.json", "--per-category", "1"),
        "pairs.json",
        prepare=_make_coco,
    ),
    "data fetch": DiskScene(("data", "fetch", "pf-willow", "--data-root", "data"), "data", is_restarted=True),
    "weights fetch": DiskScene(
        ("weights", "fetch", "dinov2-base", "--weights-root", "weights"), "weights", is_restarted=True
    ),
}
"""Name -> command; see `surroundings` for what three of them need."""

READING = {
    *("bench cite", "bench doctor", "bench list", "bench plugins", "bench show"),
    *("bench data list", "bench data pictures", "bench data verify"),
    *("bench weights list", "bench weights path", "bench weights verify"),
}
"""Commands that print, and write nothing."""

GROUPS = {"bench", "bench data", "bench prompt", "bench weights"}

CHANGING = {
    *("seconds", "seconds_per_step", "started", "fetched", "sealed", "provenance", "peak_memory_bytes"),
    *("encoded_images", "repository", "commit", "urls", "dirty"),
}
"""Fields of records that tell the time, the machine, or the run."""

HALVES = (".part", ".part.json", ".tmp", ".unpacking", "UNFINISHED.json")
"""Ends of names that say of a file or folder that it is not whole."""


class Stage:
    """Runs a command on disks that refuse, and compares with what it does on a sound one.

    Args:
        home: folder for copies.
        bench: runs commands, in the folder that `enter` makes the current one.
    """

    def __init__(self, scene: DiskScene, home: Path, bench: Bench, enter: Callable[[Path], None]) -> None:
        self.scene, self._home, self._bench, self._enter = scene, home, bench, enter
        self.start = home / "start"
        make_photos(self.start / "photos", images=3)
        enter(self.start)
        for words in scene.before:
            assert bench(*words).status == 0
        scene.prepare(self.start)
        whole = self._copy("whole")
        disk = FaultyDisk(whole)
        with disk.in_place():
            done = bench(*scene.words)
        assert done.status == 0, done
        self.expected, self.changes = contents(whole), disk.changes

    def _copy(self, name: str) -> Path:
        return self.copy(self._home / name)

    def copy(self, folder: Path) -> Path:
        """Copies what the command begins with into a folder, and makes it the current one."""
        shutil.copytree(self.start, folder, dirs_exist_ok=True)
        self._enter(folder)
        return folder

    def run(self) -> Outcome:
        """Runs the command in the current folder."""
        return self._bench(*self.scene.words)

    def check(self, refusal: Refusal, at: int) -> bool:
        """Runs the command on a disk that refuses its change `at`, and again on a sound one.

        Returns:
            Whether the disk was asked for something that it refuses.
        """
        folder = self._copy(f"{refusal.number}-{at}")
        disk = FaultyDisk(folder, refusal, at)
        with disk.in_place():
            done = self.run()
        if disk.refused:
            explanation = f"{refusal} at {at}: {disk.refused[0]}\n{done}"
            self.check_end(done, (refusal.words,), explanation)
            removes = "unlink" not in refusal.changes
            self.check_files(folder, explanation, removes=removes)
            self.check_left(done, folder, explanation, removes=removes)
        self._enter(self._home)
        shutil.rmtree(folder)
        return bool(disk.refused)

    def check_end(self, done: Outcome, words: Sequence[str], explanation: str) -> None:
        """Checks that a command failed in one clear line, where it failed.

        Args:
            words: of the system, of which the line has one.
        """
        assert "Traceback" not in done.err, explanation
        assert "Exception ignored" not in done.err, explanation
        if done.status == 0:
            return  # what could not be done is of no consequence, as `check_again` sees
        assert done.status in (1, 2), explanation
        lines = [line for line in done.warnings if any(word in line for word in words)]
        assert lines, explanation
        assert all(line.startswith("bench: ") and "; " in line for line in lines), explanation
        assert any(self.scene.place in line for line in lines), explanation
        assert not any(".tmp:" in line or ".new-plugin" in line for line in lines), explanation

    def check_files(self, folder: Path, explanation: str, *, removes: bool) -> None:
        """Checks that no file is half there.

        Args:
            removes: whether files could be removed: then no temporary one is left.
        """
        before, now = contents(self.start), contents(folder)
        for name, content in now.items():
            is_half = any(part.endswith(HALVES) or ".tmp" in part for part in Path(name).parts)
            # The log and the prompt files of a training change with its steps.
            is_half |= self.scene.has_steps and name.endswith((".jsonl", ".safetensors"))
            if is_half or (self.scene.is_restarted and any(end in " ".join(now) for end in HALVES)):
                continue
            # The record of a cell that failed is whole, too.
            if isinstance(content, dict):
                continue
            # A file of another name is one that the whole command removes in the end, such as a shard.
            known = [state[name] for state in (before, self.expected) if name in state]
            assert not known or content in known, f"{name}\n{explanation}"
        if removes:
            left = {name for name in now if name.endswith(".tmp")} - set(before)
            assert not left, f"{left}\n{explanation}"
            assert not list(folder.glob(".new-plugin*")), explanation

    def check_left(self, done: Outcome, folder: Path, explanation: str, *, removes: bool = True) -> None:
        """Compares what a command has left with what an undisturbed one leaves, once it has succeeded."""
        if done.status:
            self.check_again(folder, explanation, removes=removes)
            return
        left = contents(folder)
        if not removes:
            # What could not be removed at that time stays beside the files of a user.
            left = {name: content for name, content in left.items() if not _is_left_over(name)}
        assert set(left) == set(self.expected), explanation
        for name, content in self.expected.items():
            assert left[name] == content, f"{name}\n{explanation}"

    def check_again(self, folder: Path, explanation: str, *, removes: bool = True) -> None:
        """Gives the same command again, now that there is room, and compares with an undisturbed one."""
        again = self.run()
        explanation += f"\nagain: {again}"
        if self.scene.needs_tidying and not removes and again.status == 2:
            assert "is not empty" in again.complaint, explanation
            return
        assert again.status == 0, explanation
        self.check_left(again, folder, explanation, removes=removes)


def _is_left_over(name: str) -> bool:
    """Says whether a file is of no consequence: shards of a finished cell go with its next run."""
    return name.endswith(".tmp") or ".new-plugin." in name or Path(name).parent.name in ("shards", "fresh")


def contents(folder: Path) -> dict[str, object]:
    """Every file below a folder: its bytes; of a record what does not tell time and machine."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content: object = path.read_bytes()
            if path.name in ("record.json", "bench-weights.json", "checkpoint.pt", "log.jsonl"):
                content = _plain(path)
            found[str(path.relative_to(folder))] = content
    return found


def _plain(path: Path) -> object:
    """What a file says besides time and machine; its bytes where it is not whole."""
    content = path.read_bytes()
    try:
        if path.name == "checkpoint.pt":
            return {"is_sealed": _without_seal(content)[1]}
        if path.name == "log.jsonl":
            return [_without_changing(json.loads(line)) for line in content.splitlines()]
        return _without_changing(json.loads(content))
    except ValueError:
        return content


def _without_changing(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if name not in CHANGING}


def one_of_each(changes: Sequence[str]) -> list[int]:
    """Numbers of changes, one for each file or folder, of each kind of change in turn.

    Files whose names differ in digits alone are one.
    """
    numbers: dict[str, list[int]] = {}
    for number, change in enumerate(changes, start=1):
        path = re.sub(r"\.[^./]+\.tmp$", "", change.partition(" ")[2])
        numbers.setdefault(re.sub(r"\d+", "#", path), []).append(number)
    return [group[turn % len(group)] for turn, group in enumerate(numbers.values())]


@contextmanager
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Servers for what is downloaded, no weights but those, and a dataset that is soon exported."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    for name in ("BENCH_WEIGHTS", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pairs, "SPLITS", {**pairs.SPLITS, "val": pairs.SplitSize(4, 1)})
    monkeypatch.setattr(ExportOptions, "has_category", lambda options, category: category == "cat")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("PF-dataset/car(G)/a.png", b"a picture")
        file.writestr("PF-dataset/car(G)/b.png", b"another")
    served = {"/PF-dataset.zip": archive.getvalue(), "/test_pairs.csv": b"imageA,imageB\n"}
    config = json.dumps(VISION_TRANSFORMERS["dinov2-base"]).encode()
    with LocalServer(served) as server, Hub() as hub:
        files = (
            RemoteFile(f"{server.url}/PF-dataset.zip", ".", unpack=True, provides="PF-dataset/car(G)"),
            RemoteFile(f"{server.url}/test_pairs.csv", "test_pairs.csv", provides="test_pairs.csv"),
        )
        monkeypatch.setattr(pf_willow, "SPEC", replace(pf_willow.SPEC, files=files))
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.repositories["facebook/dinov2-base"] = {"config.json": config, "model.safetensors": b"weights"}
        yield
