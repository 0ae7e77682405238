"""`bench run --dry-run`: says what a run would do, and does nothing."""

from __future__ import annotations

import pytest


@pytest.fixture
def run(bench, photos, tmp_path, monkeypatch):
    """`bench run` of the photos into `r`, on a machine without weights and data."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("BENCH_WEIGHTS", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def go(*arguments, datasets=f"folder={photos}"):
        options = ("--datasets", datasets, "-o", tmp_path / "r", "--data-root", tmp_path / "data")
        return bench("run", *options, *arguments)

    return go


def test_a_dry_run_writes_nothing(run, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    done = run("--methods", "position,hog", "--dry-run")
    assert done.status == 0, done.err
    assert sorted(tmp_path.rglob("*")) == before
    assert "2 cells, 24 pairs to predict; nothing was run or written" in done.out
    assert done.out.count("not known  not known") == 2


def test_what_is_there_is_counted_and_tells_the_time(run, tmp_path):
    assert run("--methods", "position", "--limit", 4).status == 0
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "r").rglob("*")}
    done = run("--methods", "position", "--dry-run")
    (line,) = [line for line in done.out.splitlines() if "-position." in line]
    cell, pairs, there, *rest = line.split()
    assert cell == next((tmp_path / "r").iterdir()).name
    assert (pairs, there) == ("12", "4")
    assert rest[0] == "about"
    assert line.endswith("by 4 pairs of folder:photos")
    assert "MB" in line or "GB" in line
    assert "1 cell, 8 pairs to predict, about" in done.out
    done = run("--methods", "position", "--limit", 4, "--dry-run")
    assert "is there: its numbers are printed" in done.out
    done = run("--methods", "position", "--limit", 4, "--dry-run", "--fresh")
    assert "1 cell, 4 pairs to predict" in done.out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "r").rglob("*")} == files


def test_times_of_other_work_are_not_taken(run):
    assert run("--methods", "hog", "--limit", 2).status == 0
    done = run("--methods", "hog", "--set", "cell=8", "--dry-run")
    assert "not known" in done.out


def test_all_that_is_missing_is_told_at_once(run, tmp_path):
    methods = "sd4match-cpm,dift,position"
    done = run("--methods", methods, "--weights", "paper", "--dry-run", datasets="pf-willow,spair-71k")
    assert done.status == 2
    for line in (
        "  weights stable-diffusion-2-1 (about 5.16 GB): bench weights fetch stable-diffusion-2-1",
        "  weights dinov2-base (about 346 MB): bench weights fetch dinov2-base",
        "  weights sd4match-prompts: bench weights fetch sd4match-prompts",
        "  dataset pf-willow: ",
        "  dataset spair-71k: ",
    ):
        assert done.out.count(line) == 1, line
    assert "'bench data fetch spair-71k' downloads it" in done.out
    (line,) = [line for line in done.out.splitlines() if line.startswith("spair-71k test dift")]
    assert line.endswith("lacks weights stable-diffusion-2-1, dataset spair-71k")
    assert (
        "nothing runs before all that is missing is there (about 5.51 GB to fetch, and 3 things of"
        in done.out
    )
    assert not (tmp_path / "r").exists()


def test_other_cells_are_shown_beside_one_that_lacks_something(run):
    done = run("--methods", "dift,position", "--weights", "paper", "--dry-run")
    assert done.status == 2
    (line,) = [line for line in done.out.splitlines() if "-position." in line]
    assert line.split()[1:3] == ["12", "0"]
    (line,) = [line for line in done.out.splitlines() if line.startswith("folder test dift")]
    assert line.endswith("lacks weights stable-diffusion-2-1")


def test_a_prompt_file_that_is_missing_is_told(run, tmp_path):
    file = tmp_path / "nowhere.safetensors"
    done = run("--methods", "sd4match-single", "--prompt-file", f"sd4match-single={file}", "--dry-run")
    assert done.status == 2
    assert "no such file" in done.out


def test_what_does_not_fit_is_not_applicable(plugin_bench, tmp_path):
    prompts = ("--prompts", "empty,sd4match-single", "-o", tmp_path)
    done = plugin_bench("run", "--methods", "toy", *prompts, "--dry-run")
    assert done.status == 0
    assert "not applicable: prompt 'sd4match-single' is of kind 'stable-diffusion'" in done.out
    assert "2 cells, 600 pairs to predict" in done.out


def test_a_misspelt_name_is_told_first(run):
    done = run("--methods", "postion", "--dry-run")
    assert done.status == 2
    assert "did you mean position" in done.complaint
