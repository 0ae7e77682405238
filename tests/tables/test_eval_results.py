"""`--format eval-results`: rows in the form of model cards, read back by the hub's own library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results
from support.made_up_records import a_failed_record, a_record, with_provenance

from harness.records.folders import write_record
from harness.tables.eval_results import eval_documents
from harness.tables.view import View


def results_of(text: str):
    content = yaml.safe_load(text)
    return model_index_to_eval_results(content["model-index"])


def test_a_row_has_its_numbers_with_all_that_is_needed_to_compare_them():
    record = with_provenance(a_record("mine", 50.0), harness="correspondence-bench 1, code 1a2b")
    (document,), left_out = eval_documents([record], View())
    assert left_out == []
    name, results = results_of(document.text)
    assert name == "mine" and document.name == "mine-none-argmax"
    assert [result.metric_name for result in results] == ["PCK@0.05", "PCK@0.10"]
    result = results[1]
    assert (result.task_type, result.metric_type, result.metric_value) == ("keypoint-matching", "pck", 60.0)
    assert (result.dataset_type, result.dataset_split) == ("birds", "test")
    assert result.dataset_args == {"manifest": "a" * 64}
    expected = {"alpha": 0.1, "protocol": "sd4match", "averaging": "image", "pairs": 10, "images": 20}
    assert expected.items() <= result.metric_args.items()
    assert result.metric_args["interval_95"] == [56.0, 65.0]
    assert result.metric_args["interval_of"] == "images"
    assert result.metric_args["measured_with"] == "correspondence-bench 1, code 1a2b"


def test_datasets_are_results_of_one_document():
    (document,), _ = eval_documents([a_record("mine"), a_record("mine", dataset="fish")], View())
    _, results = results_of(document.text)
    assert {result.dataset_type for result in results} == {"birds", "fish"}


def test_rows_that_cannot_be_compared_are_left_out_with_the_reason():
    records = [
        a_record("limited", stored=5),
        a_record("torn", stored=9, failed=1),
        a_record("foreign", protocols=["original"]),
        a_failed_record(),
        a_record("whole"),
    ]
    documents, left_out = eval_documents(records, View())
    assert [document.name for document in documents] == ["whole-none-argmax"]
    assert {line.partition(" ")[0] for line in left_out} == {"limited", "torn", "foreign", "broken"}
    assert all(": not exported: " in line for line in left_out)


def test_an_interval_of_an_earlier_version_says_so():
    record = a_record("mine")
    scores = [score.model_copy(update={"images": None}) for score in record.scores]
    (document,), _ = eval_documents([record.model_copy(update={"scores": scores})], View())
    assert results_of(document.text)[1][0].metric_args["interval_of"] == "pairs"


@pytest.fixture
def results(tmp_path) -> Path:
    for record in (a_record("a"), a_record("b"), a_record("c", stored=5)):
        folder = tmp_path / "r" / record.cell.id
        folder.mkdir(parents=True)
        write_record(folder, record)
    return tmp_path / "r"


def test_the_command_prints_or_writes_a_file_or_a_folder(bench, results, tmp_path):
    printed = bench("leaderboard", results, "--format", "eval-results", "--reported")
    assert printed.status == 0
    documents = list(yaml.safe_load_all(printed.out))
    assert [document["model-index"][0]["name"] for document in documents] == ["a", "b"]
    assert "c none argmax: not exported: birds: limited to 5 of 10 pairs" in printed.err
    file = tmp_path / "rows.yaml"
    assert bench("leaderboard", results, "--format", "eval-results", "-o", file).out == ""
    assert file.read_text() == printed.out
    outcome = bench("leaderboard", results, "--format", "eval-results", "-o", tmp_path / "cards")
    assert f"2 rows in {tmp_path / 'cards'}, a file each" in outcome.err
    names = sorted(path.name for path in (tmp_path / "cards").iterdir())
    assert names == ["a-none-argmax.yaml", "b-none-argmax.yaml"]
    assert json.dumps(yaml.safe_load((tmp_path / "cards" / names[0]).read_text())) == json.dumps(documents[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "rows.csv"], "eval-results are YAML; name a folder, or a file that ends in .yaml"),
        (["-o", "absent/cards"], "is not a folder; make it first"),
        (["--columns", "method"], "leave out --table, --columns and --slice"),
        (["--table", "per-category"], "has a form of its own"),
    ],
)
def test_mistakes_are_one_line(bench, results, words, message, monkeypatch):
    monkeypatch.chdir(results.parent)
    outcome = bench("leaderboard", results, "--format", "eval-results", *words)
    assert outcome.status == 2 and outcome.err.count("\n") == 1 and message in outcome.err


def test_nothing_to_export_is_a_mistake(bench, tmp_path):
    record = a_record("c", stored=5)
    folder = tmp_path / record.cell.id
    folder.mkdir()
    write_record(folder, record)
    outcome = bench("leaderboard", tmp_path, "--format", "eval-results")
    assert outcome.status == 2 and outcome.out == "" and "no row to export" in outcome.err
