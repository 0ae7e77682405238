"""What a run takes, counted by shapes: the counts are those of a run that computes."""

from __future__ import annotations

import json

import pytest
import reproduction
import torch
from click.testing import CliRunner
from cpm_counts import count
from measuring import flops_of
from reproduction_runs import RUNS, SPAIR_TEST, Units, fewest_pictures, total
from shape_counts import ShapesOnly, TransformerShape, peak_of
from support.paths import ROOT

from baselines.stable_diffusion.backbone import StableDiffusion
from baselines.stable_diffusion.sparing import average_draws
from baselines.weights import BUNDLED

FOLDER = BUNDLED / "stable-diffusion"
LEVEL = "up-block 1"


@pytest.fixture(scope="module")
def shapes():
    return ShapesOnly(FOLDER, "fp32")


@pytest.fixture(scope="module")
def real():
    return StableDiffusion(FOLDER)


def test_a_picture_is_counted_as_it_is_computed(shapes, real):
    side = real.card.native
    noisy = torch.zeros(2, 4, side // real.card.factor, side // real.card.factor)
    prompts = [real.condition("a cat")] * 2
    submodule = real.card.levels[LEVEL]

    def encode():
        real.posterior(torch.zeros(1, 3, side, side))

    def read():
        with torch.no_grad():
            real.mean_activations(noisy, 50, prompts, submodule, 2)

    assert flops_of(lambda: shapes.encode(1, side)) == flops_of(encode) > 0
    assert flops_of(lambda: shapes.read_level(LEVEL, 1, 2)) == flops_of(read) > 0


def test_what_comes_before_the_prompt_is_a_part_of_it(shapes):
    whole = flops_of(lambda: shapes.read_level(LEVEL, 1, 2))
    assert 0 < flops_of(lambda: shapes.begin(1, 2)) < whole / 2


@pytest.mark.parametrize(
    "params", [{}, {"ensemble": 2}, {"prompt_from": "mid-block"}, {"draws_averaged": "prompt"}]
)
def test_an_option_of_cpm_is_counted_as_it_is_computed(real, params):
    """Pass by pass, as the extractor runs them: begun once a picture, and ended once a picture of a pair."""
    side = real.card.native // real.card.factor
    draws = params.get("ensemble", 8)
    first = real.card.prompted["mid-block"] if "prompt_from" in params else None
    prompt, level = real.condition(""), real.card.levels[LEVEL]
    with torch.no_grad():
        noisy = torch.zeros(draws, 4, side, side)
        prefix = {}
        begun = flops_of(lambda: prefix.update(real.run_prefix(noisy, 50, prompt, first)))
        if "draws_averaged" in params:
            prefix, noisy, draws = average_draws(prefix, draws), noisy[:1], 1
        ended = flops_of(
            lambda: real.mean_activations(noisy, 50, [prompt] * draws, level, draws, prefix_outputs=prefix)
        )
        encoded = flops_of(lambda: real.posterior(torch.zeros(1, 3, real.card.native, real.card.native)))
        text = flops_of(lambda: real.embedding_states(torch.zeros(1, 77, real.text_width)))
    counted = count(FOLDER, params)
    assert counted.picture == pytest.approx((encoded + begun + (text if first else 0)) / 1e9)
    assert counted.pair == pytest.approx((2 * ended + text) / 1e9)
    assert counted.of_pair(20) == pytest.approx(counted.pair + counted.picture / 10)


def test_a_prompt_is_counted_as_it_is_computed(shapes, real):
    rows = torch.zeros(1, 77, real.text_width)
    with torch.no_grad():
        expected = flops_of(lambda: real.embedding_states(rows))
    assert flops_of(shapes.encode_prompt) == expected > 0


def test_the_way_back_costs_as_much_again_and_reaches_the_prompt(shapes):
    there = flops_of(lambda: shapes.read_level(LEVEL, 2, 1)) + flops_of(shapes.encode_prompt)
    assert 1.8 * there < flops_of(lambda: shapes.train(LEVEL, 2, 1)) < 2.4 * there


def test_a_transformer_is_counted_as_it_is_computed():
    shape = TransformerShape(width=32, layers=3, heads=2, patch=4)
    network = shape.network().to_empty(device="cpu")
    pixels = torch.zeros(1, 3, 24, 24)
    with torch.no_grad():
        expected = flops_of(lambda: network(pixels, interpolate_pos_encoding=True))
    assert shape.operations(6) == expected
    assert shape.operations(6, layers=1) < expected / 2


def test_memory_is_what_lives_at_one_time():
    def call():
        states = torch.empty(1000, dtype=torch.uint8, device="meta")
        for _ in range(5):
            states = states + 1

    # The state before and the one that is made of it.
    assert peak_of(call) == 2000


def test_pictures_are_the_fewest_that_make_so_many_pairs():
    assert [fewest_pictures([pairs]) for pairs in (1, 2, 3, 6, 7, 702, 703)] == [2, 2, 3, 3, 4, 27, 28]
    # SPair-71k has 1,800 pictures in all.
    assert SPAIR_TEST.pairs == 12_234
    assert 480 <= SPAIR_TEST.pictures <= 540


def test_a_pair_costs_cpm_what_a_picture_costs_others():
    units = Units(**dict.fromkeys(Units.__dataclass_fields__, 1))
    by_name = {run.what: total(run, units) for run in RUNS}
    assert by_name["dift on spair-71k"] == 2 * SPAIR_TEST.pictures
    assert by_name["sd4match-cpm on spair-71k"] == 2 * SPAIR_TEST.pictures + 3 * SPAIR_TEST.pairs


def test_the_command_writes_both_files(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(reproduction, "ShapesOnly", lambda folder: shapes)
    for name in ("DINOV2_B", "DINO_S", "CLIP_L"):
        monkeypatch.setattr(reproduction, name, TransformerShape(width=32, layers=3, heads=2, patch=4))
    monkeypatch.setattr(reproduction, "seconds_by_pair", lambda: {"points": 0.5})
    # The tiny network's crops are not 512 pixels wide; any size is counted.
    monkeypatch.setattr(reproduction, "CROP", 96)
    monkeypatch.setattr(reproduction, "DRAWS", 1)
    arguments = [str(FOLDER), str(FOLDER), "--peak", "100", "--out", str(tmp_path)]
    outcome = CliRunner().invoke(reproduction.main, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0
    page = (tmp_path / "reproduction.md").read_text(encoding="utf-8")
    assert "40 % of 100 TFLOP/s" in page
    assert "| points |" in page.replace("  ", "")
    stored = json.loads((tmp_path / "reproduction.json").read_text(encoding="utf-8"))
    assert [run["what"] for run in stored["runs"]] == [run.what for run in RUNS]
    assert stored["bytes"]["Stable Diffusion 2-1, weights"] == shapes.weight_bytes


def test_a_folder_that_is_no_stable_diffusion_is_told_in_one_line(tmp_path):
    outcome = CliRunner().invoke(reproduction.main, [str(tmp_path), str(FOLDER)])
    assert outcome.exit_code == 2
    assert "unet/config.json" in outcome.output.splitlines()[-1]


def stored_counts():
    return json.loads((ROOT / "results" / "performance" / "reproduction.json").read_text(encoding="utf-8"))


def test_the_stored_page_is_of_these_runs():
    stored = stored_counts()
    units = Units(**stored["operations"])
    expected = [reproduction.hours(total(run, units), stored["peak_tflops"], stored["share"]) for run in RUNS]
    assert [run["hours"] for run in stored["runs"]] == pytest.approx(expected)


def test_the_page_on_table_2_has_the_counted_times():
    page = (ROOT / "docs" / "reproduce" / "table2.md").read_text(encoding="utf-8")
    runs = [run for run in stored_counts()["runs"] if run["item"] == "Table 2"]
    assert len(runs) == 7
    for run in runs:
        method = run["what"].partition(" ")[0]
        (row,) = (line for line in page.splitlines() if line.startswith("| ") and f"| `{method}` |" in line)
        assert f"| {reproduction._duration(3600 * run['hours'])} |" in row
