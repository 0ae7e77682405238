"""Memory is bounded by a number of bytes; results that were dropped are computed again to the same bytes."""

from __future__ import annotations

import signal
import weakref

import numpy as np
import pytest
import torch
from support.extractors import small_map
from support.made_up_splits import Watched, a_split, in_order
from support.photos import make_photos, photo_list, write_list
from support.results import predictions, the_record

from harness.caching.lru import ByteLRU, tensor_bytes
from harness.datasets.selection import predictable_pairs
from harness.errors import ExtractionError
from harness.features.pair_features import PairFeatures
from harness.frames import Frame, Size
from harness.localizers import original_resolution
from harness.specs import FeatureMap, ImageRequest, LocalizerSpec, Located

IMAGES = 2000

MAP_BYTES = 16 * 12 * 16 * 4


class WatchedPairs(Watched):
    """The same for pairs."""

    def extract_pairs(
        self, requests: list[tuple[ImageRequest, ImageRequest]]
    ) -> list[tuple[FeatureMap, ...]]:
        maps = self.extract([one for both in requests for one in both])
        return list(zip(maps[::2], maps[1::2], strict=True))


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_feature_maps_of_2000_pictures_stay_within_the_limit(share):
    index, extractor = a_split(in_order(IMAGES, 3)), Watched()
    limit, batch = int(share * IMAGES * MAP_BYTES), 8
    features = PairFeatures(index, extractor, "image", batch_size=batch, cache_bytes=limit)
    for pair in index.pairs.values():
        features(pair)
    assert extractor.peak <= limit + 2 * batch * MAP_BYTES
    # In an order that stays near itself, a bounded cache loses little: only the last few pairs reach back to
    # the first images.
    assert extractor.computed <= IMAGES + 4 * batch


def test_what_was_dropped_comes_back_the_same():
    pairs = in_order(40, 3)
    index = a_split(pairs)
    roomy, tight = (
        PairFeatures(index, Watched(), "image", batch_size=4, cache_bytes=limit) for limit in (1 << 30, 1)
    )
    for pair in (*index.pairs.values(), *reversed(index.pairs.values())):
        for one, other in zip(roomy(pair), tight(pair), strict=True):
            assert torch.equal(one.data, other.data)


def at_random(images: int, pairs: int) -> list[tuple[int, int]]:
    """Every picture in turn, so that batches are those of the pictures' numbers, and then pairs at random."""
    dice = np.random.default_rng(3)
    return [(number, (number + 1) % images) for number in range(images)] + [
        tuple(dice.choice(images, 2, replace=False).tolist()) for _ in range(pairs)
    ]


@pytest.mark.parametrize("share", [0.1, 0.3, 1])
def test_pairs_are_ordered_so_that_few_maps_are_computed_again(share):
    """60 pictures, 700 pairs: in the dataset's order, with a tenth of the maps, each is made 150 times."""
    index, extractor, plain = a_split(at_random(60, 640)), Watched(), Watched()
    limit, batch = int(share * 60 * MAP_BYTES), 3
    features = PairFeatures(index, extractor, "image", batch_size=batch, cache_bytes=limit)
    roomy = PairFeatures(index, plain, "image", batch_size=batch)
    order = []
    for pair in features.order(list(index.pairs.values())):
        order.append(pair.pair_id)
        for one, other in zip(features(pair), roomy(pair), strict=True):
            assert torch.equal(one.data, other.data)
    assert sorted(order) == list(index.pairs)
    assert (order == list(index.pairs)) == (share == 1)
    assert extractor.computed <= {0.1: 9.3, 0.3: 2.5, 1: 1}[share] * 60
    assert extractor.peak <= limit + 2 * batch * MAP_BYTES


def test_maps_of_pairs_are_not_kept_after_use_and_not_computed_twice():
    """Also where there is no room at all: the batch at work stays."""
    index, extractor = a_split(in_order(30, 2)), WatchedPairs()
    features = PairFeatures(index, extractor, "pair", batch_size=4, cache_bytes=0)
    for pair in features.order(list(index.pairs.values())):
        features(pair)
    assert extractor.computed == 2 * 60
    # The last pair of a batch is still at hand while the next batch is computed.
    assert extractor.peak <= 2 * 5 * MAP_BYTES


def test_order_of_work_changes_nothing(bench, tmp_path, with_extractor):
    """With little memory pairs are worked on in another order; predictions are the same, to the byte.

    So are the failures and their order. Also where a run is interrupted in between and goes on with yet
    another order.
    """
    photos = make_photos(tmp_path / "photos", images=14)
    content = photo_list(14)
    np.random.default_rng(0).shuffle(content["pairs"])
    write_list(photos, content)
    (photos / "photo3.png").write_bytes((photos / "photo3.png").read_bytes()[:200])
    seen, stop = [], []

    def extract(requests):
        if stop and len(seen) > 20:
            signal.raise_signal(signal.SIGINT)
        seen.extend(request.identity for request in requests)
        return [small_map(request) for request in requests]

    def locate(source, target, points):
        broken = target.data[0, 0, 0] > 0.8
        return Located(
            points * float("nan") if broken else points + target.data[0, 0, 0], torch.ones(len(points))
        )

    with_extractor(extract, localizers=[LocalizerSpec(name="picky", make=lambda: locate)])
    run = (
        "run",
        "--methods",
        "mine",
        "--localizers",
        "picky,argmax",
        "--datasets",
        f"folder={photos}",
        "--batch-size",
        2,
    )
    assert bench(*run, "--out", tmp_path / "roomy").status == 1
    assert len(seen) == 13
    assert bench(*run, "--cache-gb", 0, "--out", tmp_path / "tight").status == 1
    assert len(seen) > 3 * 13
    seen.clear()
    stop.append(1)
    assert bench(*run, "--cache-gb", 0, "--out", tmp_path / "stopped").status == 130
    stop.clear()
    shards = list((tmp_path / "stopped").glob("*/shards/*.parquet"))
    assert shards
    assert bench(*run, "--cache-gb", 0, "--out", tmp_path / "stopped").status == 1
    assert (
        predictions(tmp_path / "roomy")
        == predictions(tmp_path / "tight")
        == predictions(tmp_path / "stopped")
    )
    roomy, tight, stopped = (the_record(tmp_path / name) for name in ("roomy", "tight", "stopped"))
    assert len({one["error"] for one in roomy["failures"]}) == 2
    for other in (tight, stopped):
        # The seal covers seconds and memory as well.
        varying = {"provenance": 0, "sealed": ""}
        assert {**other, **varying} == {**roomy, **varying}


def test_what_an_extractor_keeps_stays_within_the_limit():
    kept = ByteLRU(10 * 400, tensor_bytes, at_least=2)
    for number in range(IMAGES):
        kept.once(number, lambda: {"x": torch.zeros(100)})
    assert len(kept) == 10


def test_norms_of_large_photos_stay_within_the_limit(monkeypatch):
    monkeypatch.setattr(original_resolution, "NORM_BYTES", 3 * 100 * 80 * 4)
    localizer = original_resolution.ArgmaxOriginal()
    maps = [FeatureMap(torch.randn(4, 6, 8), Frame.stretched(Size(100, 80), Size(64, 48))) for _ in range(20)]
    fresh = original_resolution.ArgmaxOriginal()
    for one in (*maps, *maps):
        found = localizer(maps[0], one, torch.tensor([[10.0, 20.0]]))
        assert torch.equal(found.points, fresh(maps[0], one, torch.tensor([[10.0, 20.0]])).points)
        assert len(localizer._norms) <= 3
    # What is kept of a map goes with it.
    maps.clear()
    del one
    assert len(localizer._norms) == 0


def test_less_memory_gives_the_same_predictions(bench, tmp_path):
    """The conditional prompt's module, the encoder and the maps compute again what they may not keep."""
    run = ("run", "--methods", "sd4match-cpm,dift", "--limit", 3, "--ensemble", 1, "--batch-size", 2)
    for name, gigabytes in (("roomy", 4), ("tight", 0)):
        assert bench(*run, "--cache-gb", gigabytes, "--out", tmp_path / name).status == 0
    roomy, tight = (
        {path.parent.name: path.read_bytes() for path in (tmp_path / name).glob("*/predictions.parquet")}
        for name in ("roomy", "tight")
    )
    assert len(roomy) == 2
    assert roomy == tight


def test_the_flag_reaches_all_that_is_kept(bench, tmp_path, monkeypatch):
    from baselines.stable_diffusion import shared
    from harness.caching import lru
    from harness.running import predict
    from sd4match_plugin.prompts import make as prompts

    limits: dict[str, list[int]] = {"maps": [], "prompt": [], "extractor": []}

    def maps(*arguments, cache_bytes, **options):
        limits["maps"].append(cache_bytes)
        return PairFeatures(*arguments, cache_bytes=cache_bytes, **options)

    def keeping(name):
        def made(limit, *arguments, **options):
            limits[name].append(limit)
            return ByteLRU(limit, *arguments, **options)

        return made

    monkeypatch.setattr(predict, "PairFeatures", maps)
    monkeypatch.setattr(prompts, "ByteLRU", keeping("prompt"))
    monkeypatch.setattr(shared, "ByteLRU", keeping("extractor"))
    monkeypatch.setattr(lru, "ByteLRU", keeping("extractor"))
    run = (
        "run",
        "--methods",
        "sd4match-cpm",
        "--limit",
        1,
        "--ensemble",
        1,
        "--cache-gb",
        2,
        "--out",
        tmp_path,
    )
    assert bench(*run).status == 0
    # The extractor's half is for posteriors and for what pictures begin with.
    assert limits == {"maps": [5 * 10**8], "prompt": [5 * 10**8], "extractor": [5 * 10**8] * 2}


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "much"])
def test_a_wrong_size_is_told(bench, tmp_path, value):
    told = bench("run", "--methods", "position", "--cache-gb", value, "--out", tmp_path)
    assert told.status == 2
    assert "--cache-gb" in told.complaint


class Narrow(Watched):
    """Runs out of memory with more than `room` pictures at once."""

    def __init__(self, room: int, error: Exception) -> None:
        super().__init__()
        self.room, self.error = room, error
        self.asked: list[int] = []

    def extract(self, requests: list[ImageRequest]) -> list[FeatureMap]:
        self.asked.append(len(requests))
        if len(requests) > self.room:
            raise self.error
        return super().extract(requests)


class NarrowPairs(Narrow, WatchedPairs):
    """The same for pairs."""


SEVERAL = [(number, number + step) for number in range(0, 360, 3) for step in (1, 2)]
"""240 pairs, two of each source."""


@pytest.mark.parametrize("size", [1, 3, 8, 64])
@pytest.mark.parametrize(
    ("scope", "limit"),
    [("image", 1), ("image", 7), ("image", 20), ("category", 20), ("pair", 1), ("pair", 20), ("pair", 100)],
)
def test_a_trial_computes_no_other_picture(scope, size, limit):
    index = a_split(SEVERAL)
    extractor = (NarrowPairs if scope == "pair" else Narrow)(1000, MemoryError())
    features = PairFeatures(index, extractor, scope, batch_size=size)
    chosen = [index.pairs[pair_id] for pair_id in predictable_pairs(index, limit)]
    for pair in features.order(chosen):
        features(pair)
    pictures = {image for pair in chosen for image in (pair.source, pair.target)}
    assert extractor.computed == (2 * limit if scope == "pair" else len(pictures))
    # Both pictures of a pair count.
    assert max(extractor.asked) <= 2


@pytest.mark.parametrize(
    ("scope", "whole", "times"), [("image", 8, 40), ("category", 8, 40), ("pair", 16, 17)]
)
def test_behind_the_trial_batches_are_whole(scope, whole, times):
    index = a_split(SEVERAL)
    extractor = (NarrowPairs if scope == "pair" else Narrow)(1000, MemoryError())
    features = PairFeatures(index, extractor, scope, batch_size=8)
    for pair in features.order(list(index.pairs.values())):
        features(pair)
    assert extractor.computed == (480 if scope == "pair" else 360)
    # The last batch has what is left.
    assert extractor.asked.count(whole) >= times
    assert len([asked for asked in extractor.asked if 2 < asked < whole]) <= 1


EXHAUSTED = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    MemoryError(),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:116] . DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 8 bytes"
    ),
]


@pytest.mark.parametrize("error", EXHAUSTED, ids=lambda error: type(error).__name__)
def test_a_batch_that_is_too_large_is_halved_once_and_for_all(error, whole_batches):
    index = a_split(in_order(32, 1))
    narrow, roomy = Narrow(3, error), Watched()
    features = PairFeatures(index, narrow, "image", batch_size=8)
    others = PairFeatures(index, roomy, "image", batch_size=8)
    for pair in index.pairs.values():
        for one, other in zip(features(pair), others(pair), strict=True):
            assert torch.equal(one.data, other.data)
    assert narrow.asked == [8, 4] + [2] * 16


def test_what_filled_the_memory_is_gone_before_the_next_try(whole_batches):
    class Block:
        """Stands for tensors of a batch."""

    class Full(Narrow):
        blocks: list[weakref.ref[Block]] = []  # noqa: RUF012

        def extract(self, requests: list[ImageRequest]) -> list[FeatureMap]:
            assert all(block() is None for block in self.blocks)
            held = Block()
            self.blocks.append(weakref.ref(held))
            return super().extract(requests)

    index = a_split(in_order(8, 1))
    extractor = Full(2, torch.OutOfMemoryError("CUDA out of memory"))
    PairFeatures(index, extractor, "image", batch_size=8)(next(iter(index.pairs.values())))
    assert extractor.asked == [8, 4, 2, 2, 2, 2]


def test_another_error_is_no_reason_to_go_slower(whole_batches):
    index = a_split(in_order(16, 1))
    narrow = Narrow(3, ValueError("a bad picture"))
    features = PairFeatures(index, narrow, "image", batch_size=8)
    features(next(iter(index.pairs.values())))
    assert narrow.asked == [8] + [1] * 8


def test_one_that_does_not_fit_alone_fails_its_pair_and_says_what_to_do():
    index = a_split(in_order(4, 1))
    features = PairFeatures(index, Narrow(0, EXHAUSTED[0]), "image", batch_size=2)
    with pytest.raises(ExtractionError, match=r"made-0: .*out of memory.*--precision bf16"):
        features(next(iter(index.pairs.values())))
