"""The printed numbers of the leaders of 2026: marked, under their own protocols, each with its source."""

from __future__ import annotations

import csv
import math

import pytest
from support.made_up_records import a_record

from harness.errors import UserError
from harness.plugins.loading import load_plugins
from harness.records.folders import write_record
from harness.tables.columns import Column
from harness.tables.paper_files import FOLDER, read_reported
from harness.tables.printed_rows import NumberColumns

FILE = FOLDER / "table_2026.csv"
SPAIR = Column("spair-71k", "test", 0.1)


@pytest.fixture(scope="module")
def host():
    return load_plugins(points=[])


@pytest.fixture(scope="module")
def methods(host):
    return {method.name: method for method in read_reported(FILE, host).methods}


def test_every_number_is_read_with_its_source(methods):
    with FILE.open() as file:
        rows = list(csv.DictReader(file))
    texts = [row[title] for row in rows for title in row if "@" in title and row[title]]
    values = [value for method in methods.values() for value in method.values.values()]
    assert math.fsum(map(float, texts)) == pytest.approx(math.fsum(values)) and len(texts) == len(values)
    assert {method.averaging for method in methods.values()} == {"image"}
    assert all(method.source and not method.is_stated for method in methods.values())
    marco = methods["MARCO"]
    assert (marco.values[SPAIR], marco.protocol) == (87.2, "marco")
    assert marco.values[SPAIR._replace(slice="geometry-aware")] == 87.5
    assert marco.values[Column("spair-u", "test", 0.1)] == 67.5
    assert marco.tables[SPAIR] == ("C1",)
    # What its own page prints, which is in no table with a number.
    more = methods["MARCO, pretrained on AP-10K"]
    assert (more.source, more.tables[SPAIR]) == ("MARCO (CVPR 2026), README", ())
    assert (more.label, methods["SD+DINO"].method, methods["DHF"].method) == (
        "marco[trained-on=ap-10k+spair-71k]",
        "sd-dino",
        "hyperfeatures",
    )


def test_a_protocol_that_nobody_states_is_no_protocol(methods, host, tmp_path):
    assert methods["DIFT"].protocol == "not stated" and "not stated" not in host.protocols
    path = tmp_path / "mine.csv"
    path.write_text("method,paper,protocol,spair-71k@0.1\nnew,A,unstated,50\n")
    with pytest.raises(UserError, match="unknown protocol 'unstated'"):
        read_reported(path, host)


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    protocols = ("sd4match", "padded", "marco")
    for method in ("dinov2", "marco"):
        more = {"dataset": "spair-71k", "identity": method.ljust(12, "0")}
        record = a_record(method, 40.0, localizers=("argmax-patch",), protocols=protocols, **more)
        (folder / record.cell.id).mkdir(parents=True)
        write_record(folder / record.cell.id, record)
    return folder


def test_a_difference_stands_under_the_own_protocol_alone(bench, results):
    def table(protocol):
        options = (
            "--protocol",
            protocol,
            "--alphas",
            "0.1",
            "--no-places",
            "--columns",
            "method,spair-71k@0.10,note",
        )
        return bench("leaderboard", results, "--reported=table-2026", *options).out

    padded = table("padded")
    assert "50.0 ±4.5 (−3.9)" in padded  # 53.9 printed
    assert "| MARCO (reported)" in padded and "protocol marco, mean per image; Geometry Matters" in padded
    assert "(−3.9)" not in table("sd4match") and "protocol not stated, mean per image" in table("sd4match")
    assert "Geometry Matters (arXiv 2605.30093), Table C1" in table("marco")


def test_a_column_may_be_a_slice():
    read = NumberColumns(datasets=["spair-71k"]).read
    column = SPAIR._replace(slice="category=cat", split="val")
    assert read("spair-71k/val[category=cat]@0.10", "test", "none") == ("none", column)
    for title, problem in {
        "spair-71k[]@0.1": "names no slice; write DATASET",
        "spair-71k[cat@0.1": "the bracket is not closed",
        "spair71k[cat]@0.1": "unknown dataset; did you mean spair-71k",
    }.items():
        with pytest.raises(ValueError, match="column '") as error:
            read(title, "test", "none")
        assert problem in str(error.value)
