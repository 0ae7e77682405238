"""The measurements on a GPU, at small shapes: what runs, in which order, and what the page says of it.

A device that only pretends to be a GPU shows whether a tensor is left on the CPU. Nothing is timed.
"""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace

import cpm_stages
import gpu
import gpu_parts
import gpu_plan
import gpu_run
import measuring
import pytest
import stages
import torch
from click.testing import CliRunner
from gpu_budget import Budget, OutOfTime, ending_after
from gpu_parts import CPM, DIFT, STEP, UNET_SHARE, VAE_SHARE, Bench, NotMeasured, Part
from gpu_report import Report, Target, file_name
from gpu_run import Settings
from measuring import Timing
from own_pictures import find_pictures, write_pairs
from sd21 import TINY, write_configs
from stages import QUICK
from support.photos import make_photos
from support.pretended_gpu import NAME, pretended_gpu
from workloads import Extent

from baselines.stable_diffusion.card import Card
from harness.datasets.splits import read_split
from harness.errors import UserError
from harness.plugins.loading import load_plugins

FEW = replace(
    QUICK,
    extent=Extent(1, 2, 2, 64, 48),
    images=1,
    cpm_pairs=1,
    published_cpm_pairs=1,
    step_pairs=1,
    training_pairs=1,
)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def time_nothing(calls, repeats, device, count_flops=False):
    """Calls each once; ours took 2 s and everything else 5 s, for 8 operations."""
    for call in calls.values():
        call()
    return {name: Timing((2.0 if name == "ours" else 5.0,), 1, 8) for name in calls}


def make_report(path=None, **options):
    targets = {DIFT: Target(DIFT, 20, "times")}
    return Report(path, "fp32", targets=targets, ceilings={"fp32": 1e12}, **options)


@pytest.fixture(autouse=True)
def collect_no_garbage(monkeypatch):
    """It takes a second of every part, and nothing here is large."""
    for module in (gpu_parts, gpu_run):
        monkeypatch.setattr(module, "free_memory", lambda: None)
    monkeypatch.setattr(measuring.gc, "collect", lambda: 0)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A run of little, on networks of 64 x 64 pixels and a device that only pretends to be a GPU."""
    networks = tmp_path / "networks"
    shutil.copytree(TINY, networks)
    config = networks / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": 8}))
    monkeypatch.setattr(gpu_run, "amounts", lambda ceiling, is_true_size: (FEW, FEW.extent))
    monkeypatch.setattr(gpu_run, "ceiling", lambda device, precision, seconds: 16.0)
    monkeypatch.setattr(gpu_parts, "ceiling", lambda device, precision, seconds: 10.0)
    monkeypatch.setattr(stages, "alternating", time_nothing)
    report = make_report(tmp_path / "page.md")
    report.targets = gpu_run.begin(Settings("cpu", "fp32", 8, tmp_path)).targets
    with pretended_gpu() as device:
        settings = Settings(device, "fp32", 8, tmp_path / "work", quick=True)
        bench = gpu_run.prepare(settings, report)
        bench.setup, bench.cpm = (
            replace(setup, weights=("tiny", f"stable-diffusion-2-1={networks}"))
            for setup in (bench.setup, bench.cpm)
        )
        yield bench


def test_the_main_parts_leave_no_tensor_behind_and_fill_the_page(small, monkeypatch):
    report, runs = small.report, []
    usual = cpm_stages.evaluate
    monkeypatch.setattr(cpm_stages, "evaluate", lambda *given: runs.append(usual(*given)) or runs[-1])
    titles = {"agreement of dift", "agreement of sd4match-cpm", DIFT, CPM, STEP, gpu_parts.NETWORKS}
    parts = [part for part in gpu_plan.parts_of(small) if part.title in titles]
    assert len(parts) == len(titles)
    gpu_run.measure(report, parts, Budget(1e9), is_true_size=False)
    assert report.problems == []
    # Two of DIFT, two of SD4Match-CPM, and the loss.
    assert len(report.agreements) == 5
    # Two alternate, and each does eight operations in two seconds: 4 a second, of 16 at most.
    assert report.targets[STEP].value == 2.5
    assert report.targets[UNET_SHARE].value == report.targets[VAE_SHARE].value == 25
    assert report.targets[DIFT].value > 0 and report.targets[CPM].value > 0
    # Of the list's two pairs the one that is measured, and no other that shares its batch.
    maps = runs[0].caches["feature maps of pictures"]
    assert maps.asked == maps.computed == 2
    page = report.path.read_text()
    assert [row.what for row in report.rows if row.what in page] == [row.what for row in report.rows]
    assert "20: MISSED" in page or "20: met" in page
    assert "| 2.5 times  | met " in page


def test_a_tensor_that_is_left_behind_is_noticed():
    with pretended_gpu() as device:
        there = torch.ones(2, device=device, requires_grad=True)
        assert there.device.type == NAME
        with pytest.raises(RuntimeError, match="two devices"):
            there + torch.ones(2)
        with pytest.raises(RuntimeError, match="numpy"):
            there.detach().numpy()
        # One number may come from anywhere, as on a GPU, and gradients go back.
        (there * torch.tensor(3.0)).sum().backward()
        assert there.grad.cpu().tolist() == [3, 3]


def test_parts_run_as_far_as_the_budget_goes(tmp_path):
    clock, done = Clock(), []
    report = make_report(tmp_path / "page.md")

    def part(title, seconds):
        def run():
            done.append(title)
            clock.now += seconds

        return Part(title, run, seconds=seconds)

    parts = [part("first", 40), part("too long", 70), part("last", 50), part("too late", 20)]
    gpu_run.measure(report, parts, Budget(100, clock), is_true_size=True)
    assert done == ["first", "last"]
    assert report.problems == [
        ("too long", "not measured: 60 s were left, and it takes about 70 s"),
        ("too late", "not measured: 10 s were left, and it takes about 20 s"),
    ]
    assert "- too late: not measured: 10 s were left" in report.path.read_text()


def test_what_parts_took_changes_what_is_expected():
    clock = Clock()
    budget = Budget(100, clock)
    with budget.timing(10):
        clock.now += 30
    assert budget.expected(10) == 30
    with budget.timing(1000):
        clock.now += 1
    # However quick the others were.
    assert budget.expected(10) == 5
    assert budget.left == 69


def test_operations_are_expected_to_take_a_share_of_the_ceiling():
    part = Part("a part", list, tera=6, seconds=5)
    assert part.estimate(10e12) == pytest.approx(5 + 6 / (gpu_parts.SHARE * 10))


def test_a_page_is_written_after_every_part(tmp_path):
    report, pages = make_report(tmp_path / "page.md"), []

    def look():
        pages.append(report.path.read_text())
        report.agreements.append("agreed twice")

    parts = [Part("first", lambda: report.agreements.append("agreed once")), Part("second", look)]
    gpu_run.measure(report, parts, Budget(1e9), is_true_size=True)
    assert "agreed once" in pages[0]
    assert "had not ended" in pages[0]
    assert "agreed twice" in report.path.read_text()


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("error", "told", "is_failure"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"),
            "out of memory (CUDA out of memory.",
            False,
        ),
        (NotMeasured("there is no compiler"), "not measured: there is no compiler", False),
        (ValueError("a fault"), "failed: ValueError: a fault", True),
        (gpu_run.Disagreement("features differ by 2"), "DO NOT AGREE**: features differ by 2", True),
    ],
)
def test_what_goes_wrong_in_one_part_is_told_and_ends_nothing(error, told, is_failure):
    report, done = make_report(), []
    parts = [Part("bad", lambda: fail(error)), Part("good", lambda: done.append(1))]
    gpu_run.measure(report, parts, Budget(1e9), is_true_size=True)
    ((part, reason),) = report.problems
    assert part == "bad"
    assert told in reason
    assert "\n" not in reason
    assert report.failed == is_failure
    assert done == [1]


def test_a_size_that_does_not_fit_is_a_cell_and_not_the_end():
    assert gpu_parts.attempt(lambda: fail(torch.OutOfMemoryError("full"))) is None
    assert gpu_parts.attempt(lambda: 5) == 5
    with pytest.raises(ValueError, match="a fault"):
        gpu_parts.attempt(lambda: fail(ValueError("a fault")))


def test_the_end_comes_in_the_middle_of_a_part():
    report = make_report()
    parts = [Part("long", signal.pause), Part("later", lambda: fail(AssertionError))]
    with ending_after(0.05):
        gpu_run.measure(report, parts, Budget(1e9), is_true_size=True)
    assert report.problems == [
        ("long", "not measured to its end: the time was up"),
        ("later", "not measured: the time was up"),
    ]


def test_code_that_goes_on_after_errors_does_not_go_on_after_the_end():
    with pytest.raises(OutOfTime), ending_after(0.05):
        try:
            signal.pause()
        except Exception:  # noqa: BLE001 - as code around a plugin's has it
            pytest.fail("taken for a fault")


def test_time_that_is_up_before_the_first_part_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_run, "prepare", lambda settings, report: signal.pause())
    report = gpu_run.run(Settings("cpu", "fp32", 8, tmp_path, out=tmp_path), Budget(0.05))
    page = report.path.read_text()
    assert "all other parts: not measured" in page
    assert page.count("not measured |") == len(report.targets)
    assert "had not ended" not in page


def test_targets_are_met_missed_or_not_measured():
    target = Target("speed", 3, "times")
    assert target.cells() == ["speed", ">= 3 times", "–", "not measured"]
    target.value = 3.0
    assert target.cells()[2:] == ["3.0 times", "met"]
    target.value = 2.99
    assert target.verdict == "MISSED"


def test_small_networks_reach_no_target():
    report = make_report(quick=True)
    report.reach(DIFT, 100)
    assert report.targets[DIFT].verdict == "not measured"


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "gpu-nvidia-h100-80gb-hbm3.md"),
        ("NVIDIA A100-SXM4-40GB/MIG 1g.5gb", "gpu-nvidia-a100-sxm4-40gb-mig-1g-5gb.md"),
        ("../../Tësla: <V100>?", "gpu-t-sla-v100.md"),
        ("", "gpu-unknown.md"),
        ("x" * 300, f"gpu-{'x' * 80}.md"),
    ],
)
def test_the_page_has_a_name_that_every_system_takes(device, name):
    assert file_name(device) == name


@pytest.mark.parametrize("arguments", [[], ["--device", "cpu"], ["--device", "mps", "--quick"]])
def test_without_a_gpu_one_line_says_what_to_do(monkeypatch, arguments):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = CliRunner().invoke(gpu.main, arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("gpu: ")
    assert line.endswith("python benchmarks/gpu.py --device cpu --quick")


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert "cuda:3" in gpu.missing("cuda:3", quick=False)


def test_the_command_prints_the_page_and_writes_none_of_small_networks(tmp_path, monkeypatch):
    seen = []

    def run(settings, budget):
        seen.append((settings, budget))
        return make_report(failed=True)

    monkeypatch.setattr(gpu_run, "run", run)
    done = CliRunner().invoke(gpu.main, ["--device", "cpu", "--quick", "--minutes", "2"])
    ((settings, budget),) = seen
    assert (settings.out, settings.precision, done.exit_code) == (None, "fp32", 1)
    assert 60 < budget.left <= 120
    assert "| dift, whole evaluation" in done.stdout


def test_own_pictures_become_pairs_that_can_be_read(tmp_path):
    make_photos(tmp_path / "photos")
    pictures = find_pictures(tmp_path / "photos")
    folder = write_pairs(pictures, tmp_path / "pairs", Extent(1, 2, 2))
    index = read_split(load_plugins().datasets["folder"], folder, "test")
    assert not index.broken
    assert {(pair.source.path, pair.target.path) for pair in index.pairs.values()} == {
        (pictures[0].resolve(), pictures[1].resolve()),
        (pictures[1].resolve(), pictures[0].resolve()),
    }


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(UserError, match="two pictures"):
        find_pictures(tmp_path)
    with pytest.raises(UserError, match="no folder"):
        find_pictures(tmp_path / "missing")


def test_the_configuration_is_that_of_stable_diffusion_2_1(tmp_path):
    card = Card.of(write_configs(tmp_path))
    assert (card.native, card.text_width, card.prediction) == (768, 1024, "v_prediction")
    with torch.device("meta"):
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextConfig, CLIPTextModel

        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(tmp_path / "unet"))
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(tmp_path / "vae"))
        text = CLIPTextModel(CLIPTextConfig.from_pretrained(tmp_path / "text_encoder"))
    # As the published files have them.
    assert unet.num_parameters() == 865_910_724
    assert vae.num_parameters() == 83_653_863
    assert text.num_parameters() == 340_387_840


def test_a_fast_gpu_measures_more():
    fast, fast_pairs = gpu_plan.amounts(gpu_plan.FAST_RATE, is_true_size=True)
    slow, slow_pairs = gpu_plan.amounts(gpu_plan.FAST_RATE - 1, is_true_size=True)
    assert fast.extent.categories > slow.extent.categories
    assert fast_pairs.pairs > slow_pairs.pairs
    for scale, extent in ((fast, fast_pairs), (slow, slow_pairs)):
        # Every pair of the list is measured, and as many pairs a picture as in SPair-71k.
        assert scale.cpm_pairs == extent.categories * extent.pairs
        assert scale.extent.pairs / scale.extent.images == pytest.approx(25, abs=1)


def test_all_parts_fit_into_eight_minutes_of_a_fast_gpu():
    report = make_report()
    bench = Bench(None, None, gpu_plan.FAST, report)
    expected = sum(part.estimate(600e12) for part in gpu_plan.parts_of(bench))
    # Writing the networks takes a minute before.
    assert expected < 8 * 60 - 60
