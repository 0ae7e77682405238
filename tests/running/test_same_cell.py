"""What is asked for in two ways and has the same numbers is one cell."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize("texts", ["timestep=7", "timestep=7,9"])
def test_a_methods_own_value_given_again(bench, photos, tmp_path, with_extractor, texts):
    with_extractor(params={"timestep": 7, "gain": 1.5, "flag": True})
    out = tmp_path / "r"
    run = ("run", "--methods", "mine", "--datasets", f"folder={photos}", "--limit", "2", "--out", out)
    bench(*run)
    done = bench(*run, "--set", texts, "--set", "gain=1.50", "--set", "flag=true")
    assert "photos mine: found" in done.err
    labels = {json.loads(path.read_text())["cell"]["label"] for path in out.glob("*/record.json")}
    assert labels == ({"mine"} if texts == "timestep=7" else {"mine", "mine[timestep=9]"})
    # A sweep has its table, though one of its values is the method's own.
    assert ("a row for each timestep" in done.out) == (texts == "timestep=7,9")


def test_a_prompt_that_is_chosen_in_several_ways(bench, tmp_path):
    out = tmp_path / "r"
    few = ("--limit", 1, "--batch-size", 1, "--ensemble", 1)
    run = ("run", "--methods", "sd4match-single", *few, "--out", out)
    bench(*run)
    assert "shapes sd4match-single" in bench(*run, "--trained-on", "shapes").err
    assert len(list(out.glob("*/record.json"))) == 1
