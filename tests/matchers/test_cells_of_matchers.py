"""Cells of all matchers with the bundled weights: the same bytes however the work was cut."""

from __future__ import annotations

import json

from support.results import predictions

METHODS = (
    *("ncnet", "sfnet", "pmd", "pwarpc-ncnet", "cats", "dhpf"),
    *("chm", "scorrsan", "transformatcher", "semimatch", "simsc"),
)


def test_predictions_do_not_depend_on_order_resume_and_the_other_cells(bench, tmp_path):
    def run(folder, methods, limit):
        done = bench("run", "--methods", ",".join(methods), "--limit", limit, "--out", tmp_path / folder)
        assert done.status == 0, done

    run("whole", METHODS, 2)
    run("cut", METHODS[::-1], 1)
    run("cut", METHODS, 2)
    whole = predictions(tmp_path / "whole")
    assert len(whole) == len(METHODS)
    assert predictions(tmp_path / "cut") == whole
    cells = [json.loads(path.read_text())["cell"] for path in tmp_path.glob("whole/*/record.json")]
    assert {cell["method"] for cell in cells} == set(METHODS)
    # The bundled files were trained on shapes, whatever the published ones were trained on.
    assert {cell["trained_on"] for cell in cells} == {"shapes"}
    assert {cell["supervision"] for cell in cells} == {"I", "K"}
