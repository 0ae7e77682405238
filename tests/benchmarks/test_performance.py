"""The performance measurements: both ways agree, a difference is noticed, data is the same every time.

Nothing is timed.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import agreement
import psutil
import published
import pytest
import torch
from agreement import Disagreement
from measuring import Timing, alternating, flops_of, peak_bytes
from ours import CountedTraining, Setup, evaluate
from published import Diffusion
from published_training import PublishedTraining
from report import Growth, Row, ratios
from support.commands import PATIENCE
from workloads import Extent, shorten, write_folder

from baselines.sources import STABLE_DIFFUSION_2_1
from harness.datasets.splits import read_split

LITTLE = Extent(categories=2, images=3, pairs=2, longer=64, shorter=48)


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    place = tmp_path_factory.mktemp("performance")
    return Setup(write_folder(place / "data", LITTLE), place / "work")


@pytest.fixture(scope="module")
def diffusion(setup):
    return Diffusion(setup.resolve("dift").weights.paths[STABLE_DIFFUSION_2_1], "cpu", "fp32")


def test_dift_agrees_with_the_published_way(setup, diffusion):
    features, points = agreement.check_dift(setup, diffusion, 1)
    assert features.startswith("features of dift")
    assert "points at the same pixel" in points


def test_cpm_agrees_with_the_published_way(setup, diffusion):
    assert len(agreement.check_cpm(setup, diffusion, 1)) == 2


def test_a_training_step_agrees_with_the_published_way_and_moves_nothing(setup, diffusion):
    ours = CountedTraining(setup, batch=2)
    theirs = PublishedTraining(ours, diffusion)
    before = [parameter.clone() for parameter in theirs.module.parameters()]
    agreement.check_training(ours, theirs)
    assert ours.job.training.step == theirs.step_number == 0
    assert all(torch.equal(one, other) for one, other in zip(before, theirs.module.parameters(), strict=True))


def test_another_pixel_is_noticed(setup, diffusion, monkeypatch):
    found = agreement.localizer_of(setup.resolve("dift"))

    class Moved:
        def __call__(self, source, target, points):
            located = found(source, target, points)
            return located._replace(points=(located.points + 5) % 40)

    monkeypatch.setattr(agreement, "localizer_of", lambda prepared: Moved())
    with pytest.raises(Disagreement, match="argmax-original"):
        agreement.check_dift(setup, diffusion, 1)


def test_another_loss_is_noticed(setup, diffusion, monkeypatch):
    ours = CountedTraining(setup, batch=2)
    theirs = PublishedTraining(ours, diffusion)
    monkeypatch.setattr("published_training.loss", lambda *arguments: 1.01 * published.loss(*arguments))
    with pytest.raises(Disagreement, match="loss"):
        agreement.check_training(ours, theirs)


def test_numbers_that_are_not_numbers_do_not_agree():
    with pytest.raises(Disagreement):
        agreement.check("anything", float("nan"), 1)


def test_data_is_the_same_every_time(setup, tmp_path):
    again = write_folder(tmp_path / "again", LITTLE)
    written = {path.name: path.read_bytes() for path in setup.data.iterdir()}
    assert written == {path.name: path.read_bytes() for path in again.iterdir()}


def test_data_can_be_read_and_is_of_the_extent_asked_for(setup):
    index = read_split(setup.host.datasets["folder"], setup.data, "test")
    assert not index.broken
    assert len(index.pairs) == LITTLE.categories * LITTLE.pairs
    assert {pair.source_size for pair in index.pairs.values()} <= {(64, 48), (48, 64)}


def test_caches_are_counted(setup):
    caches = evaluate(setup, setup.resolve("dift", ensemble=1)).caches
    maps, posteriors = caches["feature maps of pictures"], caches["posteriors"]
    assert maps.asked == 2 * LITTLE.categories * LITTLE.pairs
    assert maps.computed == posteriors.asked == posteriors.computed <= LITTLE.categories * LITTLE.images
    assert "DINO features" not in caches


def test_what_a_prompt_from_the_pair_leaves_alone_is_counted(setup):
    """Pictures are in several pairs; each is encoded, described and begun once."""
    caches = evaluate(setup, setup.resolve("sd4match-cpm", ensemble=1, limit=6)).caches
    pictures = caches["posteriors"].computed
    assert 1 < pictures < 12
    for name in ("what comes before the prompt", "DINO features"):
        assert (caches[name].asked, caches[name].computed) == (
            caches["feature maps of pictures"].computed,
            pictures,
        )


def test_an_evaluation_of_a_shortened_list_computes_no_other_pairs(setup, tmp_path):
    """A limited run does, since its batches are those of the whole list."""
    few = replace(setup, data=shorten(setup.data, tmp_path / "few", 1))
    maps = evaluate(few, few.resolve("sd4match-cpm", ensemble=1)).caches["feature maps of pictures"]
    assert maps.asked == maps.computed == 2


def test_networks_that_stay_loaded_know_no_picture(setup):
    kept = replace(setup, keeps_networks=True)
    prepared = kept.resolve("dift", ensemble=1)
    first, memory = kept.backbone(prepared)
    memory.put("a picture", {"mean": torch.zeros(1)})
    again, memory = kept.backbone(prepared)
    assert again is first
    assert len(memory) == 0
    assert kept.hashes
    anew, _ = setup.backbone(prepared)
    assert anew is not first


def test_a_cache_on_disk_is_counted(setup, tmp_path):
    cold, warm = (
        evaluate(setup, replace(setup, cache=tmp_path).resolve("dift", ensemble=1)).caches for _ in range(2)
    )
    (name,) = (name for name in cold if name.endswith(" on disk"))
    assert cold[name].asked == cold[name].computed == cold["posteriors"].computed > 0
    assert (warm[name].asked, warm[name].hit_rate, warm["posteriors"].computed) == (cold[name].asked, 1, 0)


def test_operations_of_fused_attention_are_counted():
    query = torch.randn(1, 2, 16, 8)
    with torch.inference_mode():
        fused = flops_of(lambda: torch.nn.functional.scaled_dot_product_attention(query, query, query))
        written_out = flops_of(lambda: (query @ query.mT).softmax(-1) @ query)
    assert fused == written_out == 2 * 2 * 2 * 16 * 16 * 8


def test_memory_of_a_call_is_seen(monkeypatch):
    usual, looks = psutil.Process.memory_info, threading.Semaphore(0)
    monkeypatch.setattr(psutil.Process, "memory_info", lambda self: (usual(self), looks.release())[0])

    def call():
        block = torch.ones(16 << 20)
        while looks.acquire(blocking=False):
            pass
        # The second of two began when the block was there.
        assert looks.acquire(timeout=PATIENCE) and looks.acquire(timeout=PATIENCE)
        del block

    assert peak_bytes(call, "cpu") > 48 << 20


def test_calls_alternate():
    order = []
    timings = alternating({name: lambda name=name: order.append(name) for name in "ab"}, 2, "cpu")
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert len(timings["a"].seconds) == 2


def test_the_table_says_what_is_met_and_what_is_missed():
    timings = {
        "ours": Timing((1.0, 3.0, 2.0), 4_000_000, 8_000_000_000),
        "published": Timing((30.0,), 5_000_000, 9_000_000_000),
    }
    met, missed = (Row.of("a stage", "pair", timings, 2, target) for target in (10, 20))
    lines = ratios([met, missed], 1e10).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        *(
            "a stage",
            "pair",
            "1",
            "15",
            "15.0",
            "10: met",
            "4 : 4.5",
            "0.004 (40 %)",
            "0.000 (3 %)",
            "4 : 5",
            "",
        )
    ]
    assert "20: MISSED" in lines[3]


def test_growth_is_told_against_the_first():
    text = Growth("cost, with pairs", "pairs", (1, 2), {"ours": (0.5, 1.25)}, "A note.").render()
    assert text.startswith("### cost, with pairs\n\n| pairs")
    assert "| 2       | 1.25      | 2.50      |" in text
    assert text.endswith("A note.")
