"""`bench show`: one page says what a name stands for, in text and as JSON, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
import types

import pytest

from harness.cards.method_card import method_card
from harness.cards.show import KINDS
from harness.hookspecs import hookimpl
from harness.plugins.loading import load_plugins
from harness.specs import ReportedSpec


@pytest.fixture
def page(bench, monkeypatch, tmp_path):
    """What `bench show` prints of a name on a machine without weights and data."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("BENCH_WEIGHTS", "BENCH_DATA_ROOT", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def show(*arguments):
        done = bench("show", *arguments)
        assert done.status == 0, done.err
        return done.out

    return show


def test_a_method_is_shown_on_one_page(page):
    text = page("sd4match-cpm")
    for line in (
        "  extractor         stable-diffusion: decoder features",
        "  its options       sigma=7.0, temperature=0.04, relative_to=48, normalize=true",
        "  image fed         96 x 96 with --weights tiny",
        "  supervision       keypoints",
        "  timestep        50            diffusion timestep",
        "  stable-diffusion-2-1  absent  about 5.16 GB to fetch  with tiny: tiny-stable-diffusion",
        "  sd4match-prompts      absent",
        "  spair-71k test @0.10  75.5",
        "  @inproceedings{li2024sd4match,",
        "  bench weights fetch stable-diffusion-2-1 dinov2-base sd4match-prompts",
    ):
        assert line in text, line
    assert "The gate is the code's, tanh(alpha) (position + x)" in " ".join(text.split())
    assert max(map(len, text.partition("citation")[0].splitlines())) <= 104


def test_programs_get_the_same(page):
    fields = json.loads(page("dift", "--json"))
    assert fields["type"] == "method"
    assert fields["image_size"] == {"with --weights tiny": "96 x 96"}
    parameters = {each["name"]: each for each in fields["parameters"]}
    assert parameters["resample"]["choices"] == ["bilinear", "bicubic", "bilinear-tensor"]
    assert parameters["timestep"]["default"] == "261"
    (weights,) = fields["weights"]
    assert (weights["state"], weights["download_bytes"]) == ("absent", 5_159_809_708)
    number = next(
        each for each in fields["reported"] if each["prompt"] == "category" and each["alpha"] == 0.1
    )
    assert number["source"].startswith("SD4Match (CVPR 2024), Table")


def test_every_name_has_a_page(page):
    host = load_plugins(points=[])
    for kind, registry in KINDS.items():
        for name in getattr(host, registry):
            fields = json.loads(page(name, "--kind", kind, "--json"))
            assert (fields["type"], fields["name"]) == (kind, name)
            assert page(name, "--kind", kind).startswith(f"{kind} {name}: ")


def test_a_dataset_is_shown(page):
    text = page("pf-willow")
    assert "  state             absent: data/pf-willow" in text
    assert "  test  900 pairs, 100 image names, 9,000 keypoints (the default)" in text
    assert "bench data fetch pf-willow --data-root data" in text
    assert "your own files: --datasets folder=PATH" in page("folder")
    assert "bundled" in page("shapes")


def test_a_plugin_is_shown(plugin_bench):
    done = plugin_bench("show", "toy")
    assert done.status == 0
    assert "plugin 'toy'" in done.out
    assert "gain" in done.out
    # An extractor that no recipe names is a method by itself; a name that several have is told.
    done = plugin_bench("show", "hog", "--kind", "extractor")
    assert "  used by     methods hog" in done.out
    assert "is the name of an extractor as well" in plugin_bench("show", "hog").err


def test_an_unknown_name_is_told(bench):
    done = bench("show", "dfit")
    assert done.status == 2
    assert "did you mean dift" in done.complaint
    done = bench("show", "dift", "--kind", "dataset")
    assert done.status == 2
    assert "unknown dataset 'dift'" in done.complaint


def test_showing_needs_no_torch():
    program = (
        "import sys; from harness.cli import status; status(['show', 'dift']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_numbers_of_another_paper_stand_under_their_own_protocol(tmp_path):
    path = tmp_path / "lab.csv"
    path.write_text("method,prompt,spair-71k@0.1\ndift,category,80\n")
    spec = ReportedSpec(name="lab", file=path, paper="Lab (2026)", protocol="padded", averaging="point")
    module = types.ModuleType("lab")
    module.bench_reported = hookimpl(lambda: [spec])
    host = load_plugins(points=[])
    host.load("lab", "lab", "1", lambda: module)
    text = method_card(host, "dift").render()
    by_measure = dict(part.split("\n", 1) for part in text.split("\n\n") if part.startswith("reported"))
    lab = by_measure["reported numbers (protocol padded, mean per point)"]
    assert lab == "  spair-71k test @0.10  80.0  prompt category  Lab (2026)"
    printed = by_measure["reported numbers (protocol sd4match, mean per image)"]
    assert "SD4Match (CVPR 2024)" in printed and "Lab" not in printed
    path.write_text("method,spair-71k@0.1\ndift,180\n")
    text = method_card(host, "dift").render()
    assert "Lab (2026)" not in text and "protocol padded" not in text
    assert "is no PCK in percent" in " ".join(text.split())
