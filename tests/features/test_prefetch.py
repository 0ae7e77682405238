"""Pictures decoded by other processes, or not at all."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from support.commands import PATIENCE
from support.extractors import small_map
from support.made_up_splits import SIDE, Made, Watched, a_split, in_order
from support.paths import ROOT
from support.photos import make_photos
from support.results import predictions

import harness.features.pictures
import harness.preprocess
from harness.datasets.images import ImageFile
from harness.errors import BenchError, DataError
from harness.features.pair_features import PairFeatures
from harness.features.pictures import open_checked
from harness.features.prefetch import Prefetcher, PrefetchRequest, default_workers
from harness.frames import Size
from harness.specs import FeatureMap, LazyImage


def mean_colour(image: PIL.Image.Image) -> torch.Tensor:
    """A `Prepare`."""
    return torch.from_numpy(np.array(image)).double().mean(dim=(0, 1))


class Colour(Watched):
    """Says which requests were prepared elsewhere."""

    def __init__(self, prepare=mean_colour) -> None:
        super().__init__()
        self.prepare = prepare
        self.elsewhere: list[bool] = []

    def extract(self, requests):
        self.elsewhere += [request.prepared is not None for request in requests]
        values = [
            self.prepare(request.image) if request.prepared is None else request.prepared
            for request in requests
        ]
        return [
            FeatureMap(one.data + value[0].float(), one.frame)
            for one, value in zip(super().extract(requests), values, strict=True)
        ]


class ColourPairs(Colour):
    """The same for pairs."""

    def extract_pairs(self, requests):
        maps = self.extract([one for both in requests for one in both])
        return list(zip(maps[::2], maps[1::2], strict=True))


def asked(features, index):
    """Both maps of each pair, in the dataset's order."""
    found = {pair.pair_id: features(pair) for pair in features.order(list(index.pairs.values()))}
    return [one.data for pair_id in index.pairs for one in found[pair_id]]


def test_workers_prepare_all_but_the_first_batches_and_change_nothing(whole_batches):
    index, ahead, here = a_split(in_order(20, 2)), Colour(), Colour()
    one, other = (
        asked(PairFeatures(index, extractor, "image", batch_size=4, workers=workers), index)
        for extractor, workers in ((ahead, 2), (here, 0))
    )
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert ahead.elsewhere == [False] * 4 + [True] * 16
    assert not any(here.elsewhere)


@dataclass(frozen=True)
class Faulty(Made):
    """Some are broken, missing, or of another size than annotated."""

    def identity(self) -> str:
        if self.number == 14:
            raise DataError(f"{self.name} is missing")
        return super().identity()

    def open(self) -> PIL.Image.Image:
        if self.number in (9, 14):
            raise DataError(f"{self.name} cannot be decoded")
        return PIL.Image.new("RGB", (3, 2)) if self.number == 11 else super().open()


@pytest.mark.parametrize("scope", ["image", "pair"])
def test_what_is_wrong_with_pictures_is_told_in_the_same_words(monkeypatch, scope, whole_batches):
    index = a_split(in_order(16, 1), Faulty)
    told, decoded = [], []
    monkeypatch.setattr(
        harness.features.pictures,
        "open_checked",
        lambda image, size: decoded.append(image.number) or open_checked(image, size),
    )
    for workers in (0, 2):
        extractor = ColourPairs() if scope == "pair" else Colour()
        features = PairFeatures(index, extractor, scope, batch_size=2, workers=workers)
        errors = {}
        for pair in features.order(list(index.pairs.values())):
            try:
                features(pair)
            except BenchError as error:
                errors[pair.pair_id] = f"{type(error).__name__} {error}"
        told.append(errors)
        here, decoded[:] = list(decoded), []
    assert told[0] == told[1]
    of_missing = "cannot be decoded" if scope == "pair" else "is missing"
    size = (
        "DataError image made-11: has 3 x 2 pixels, its annotation says 32 x 24; put the original file back"
    )
    assert list(told[1].values()) == [
        *["DataError made-9 cannot be decoded"] * 2,
        *[size] * 2,
        *[f"DataError made-14 {of_missing}"] * 2,
    ]
    if scope == "image":
        # In this process: the first batch, and what is wrong, to say so.
        assert set(here) == {0, 1, 9, 11}
    else:
        # Of each good picture its first pair, but for 10, whose first pair fails.
        assert sum(extractor.elsewhere) == 12


@dataclass(frozen=True)
class Deadly(Made):
    """Kills the process that decodes it, unless that is the one at work."""

    def open(self) -> PIL.Image.Image:
        if self.number == 9 and multiprocessing.parent_process():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().open()


def test_a_worker_that_dies_is_told_once_and_replaced_by_decoding_on_the_spot(caplog):
    index = a_split(in_order(16, 1), Deadly)
    extractor = Colour()
    with caplog.at_level(logging.WARNING):
        maps = asked(PairFeatures(index, extractor, "image", batch_size=4, workers=1), index)
    assert len(maps) == 32
    assert not extractor.elsewhere[-1]
    (record,) = caplog.records
    assert "no longer decoded ahead" in record.getMessage()
    assert "one did not arrive from its worker: " in record.getMessage()


def test_workers_do_not_outlive_a_run_that_is_killed(tmp_path):
    program = f"""
import os, signal
from test_prefetch import wanted_photos
from harness.features.prefetch import Prefetcher
wanted = wanted_photos({str(tmp_path)!r})
ahead = Prefetcher(wanted, None, images=True, workers=2, batch=1)
assert ahead.get(wanted[0].key)
print(*(worker.pid for worker in ahead._arriving._workers), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path}
    try:
        # Workers inherit the pipe, which ends when the last of them does.
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            env=environment,
            check=False,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired as expired:
        for pid in (expired.stdout or b"").split():
            os.kill(int(pid), signal.SIGKILL)
        raise
    assert done.returncode == -signal.SIGKILL
    assert len(done.stdout.split()) == 2


def test_what_cannot_be_sent_to_a_worker_is_done_here(caplog):
    index = a_split(in_order(12, 1))
    extractor = Colour(prepare=lambda image: 2 * mean_colour(image))
    asked(PairFeatures(index, extractor, "image", batch_size=4, workers=1), index)
    assert not any(extractor.elsewhere)
    assert len(caplog.records) == 1


def wanted_photos(folder) -> list[PrefetchRequest]:
    make_photos(Path(folder))
    return [
        PrefetchRequest(
            (str(n), Size(60, 48)), ImageFile(str(n), Path(folder) / f"photo{n}.png"), Size(60, 48)
        )
        for n in range(4)
    ]


def test_a_picture_whose_turn_has_passed_is_not_waited_for(tmp_path):
    wanted = wanted_photos(tmp_path)
    ahead = Prefetcher(wanted, None, images=True, workers=1, batch=2)
    third = ahead.get(wanted[2].key)
    assert third and third.image
    assert third.image.tobytes() == wanted[2].image.open().tobytes()
    assert ahead.get(wanted[1].key) is None
    assert ahead.get(("unknown", Size(60, 48))) is None
    assert ahead.get(wanted[3].key)
    ahead.close()
    assert ahead.get(wanted[3].key) is None


class Forgetful:
    """Extractor of pairs that looks at a picture once and keeps what it saw."""

    def __init__(self) -> None:
        self.seen: dict[str, FeatureMap] = {}

    def extract_pairs(self, requests):
        for request in (one for both in requests for one in both):
            if request.identity not in self.seen:
                self.seen[request.identity] = small_map(request)
        return [tuple(self.seen[one.identity] for one in both) for both in requests]


def test_a_picture_that_nobody_looks_at_again_is_not_decoded_again(monkeypatch):
    decoded = []
    monkeypatch.setattr(Made, "open", lambda self: decoded.append(self.number) or PIL.Image.new("RGB", SIDE))
    index = a_split(in_order(12, 5))
    asked(PairFeatures(index, Forgetful(), "pair", batch_size=3), index)
    assert sorted(decoded) == list(range(12))


def test_a_picture_is_decoded_when_it_is_looked_at():
    looked = []
    picture = LazyImage(SIDE, lambda: looked.append(1) or PIL.Image.new("RGB", SIDE))
    assert picture.size == SIDE
    assert not looked
    assert picture.image is picture.image
    assert looked == [1]


def test_bundled_extractors_take_what_workers_prepared(bench, photos, tmp_path, monkeypatch):
    elsewhere = []
    batch = harness.preprocess.prepared_batch

    def watched(requests, prepare, device):
        elsewhere.extend(request.prepared is not None for request in requests)
        assert pickle.loads(pickle.dumps(prepare))(requests[0].image).dtype == torch.uint8
        return batch(requests, prepare, device)

    monkeypatch.setattr(harness.preprocess, "prepared_batch", watched)
    for workers in (0, 1):
        run = (
            "run",
            "--methods",
            "dift,dinov2",
            "--ensemble",
            1,
            "--datasets",
            f"folder={photos}",
            "--batch-size",
            1,
        )
        assert bench(*run, "--workers", workers, "--out", tmp_path / str(workers)).status == 0
    assert predictions(tmp_path / "0") == predictions(tmp_path / "1")
    assert elsewhere == [False] * 8 + [False, False, True, True] * 2


def test_number_of_workers():
    assert default_workers("cpu") == 0
    assert 1 <= default_workers("cuda:1") <= 4
