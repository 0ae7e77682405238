"""Files of one's own reported numbers: strict reading, rows that name their paper, a plugin's sets."""

from __future__ import annotations

import json
import types
from pathlib import Path

import pytest
from support.made_up_records import a_record
from support.views import table_of

from harness.api.reported_choice import read_chosen
from harness.cli.reported_option import attach_files
from harness.errors import UserError
from harness.hookspecs import hookimpl
from harness.plugins.loading import load_plugins
from harness.records.folders import write_record
from harness.specs import ReportedSpec
from harness.tables.columns import Column
from harness.tables.leaderboard import leaderboard
from harness.tables.paper_files import FOLDER, read_reported
from harness.tables.prompt_types import prompt_types

ROWS = (
    "method,supervision,trained_on,spair-71k@0.10,pf-pascal@0.05\nOur Net,K,spair-71k,77.7,60\nHOG,,,19.5,\n"
)

SAID = 'paper = "Doe (CVPR 2025)"\nprotocol = "sd4match"\ntable = "2"\n'

SPAIR = Column("spair-71k", "test", 0.1)


@pytest.fixture(scope="module")
def host():
    return load_plugins(points=[])


@pytest.fixture
def mine(tmp_path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(ROWS)
    path.with_suffix(".toml").write_text(SAID)
    return path


def rows_of(table):
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def measured(method, pck, **more):
    record = a_record(method, pck, dataset="spair-71k", identity=method.ljust(12, "0")[:12], **more)
    return record


def test_a_csv_with_a_file_beside_it(mine, host):
    net, hog = read_reported(mine, host).methods
    assert (net.name, net.method, net.supervision, net.trained_on) == ("Our Net", "Our Net", "K", "spair-71k")
    assert net.values == {SPAIR: 77.7, Column("pf-pascal", "test", 0.05): 60.0}
    assert (net.source, net.protocol, net.averaging) == ("Doe (CVPR 2025)", "sd4match", "image")
    assert net.tables[SPAIR] == ("2",)
    # A name of a method here, whatever its capitals, with the recipe's own settings.
    assert (hog.method, hog.prompt, hog.localizer, hog.is_stated) == ("hog", "none", "argmax", False)
    assert hog.values == {SPAIR: 19.5}


def test_a_csv_that_says_all_itself(tmp_path, host):
    path = tmp_path / "one.csv"
    path.write_text(
        "method,paper,protocol,averaging,table,split,prompt,localizer,weights,ap-10k/val@0.1,spair-71k@0.1\n"
        "dift,A,padded,point,4,val,empty,argmax,stable-diffusion-2-1,50.5,40\n".replace(
            "ap-10k/val", "pf-pascal/val"
        )
    )
    (method,) = read_reported(path, host).methods
    assert (method.protocol, method.averaging, method.prompt) == ("padded", "point", "empty")
    assert method.is_stated and method.backbone == "stable-diffusion-2-1"
    assert set(method.values) == {Column("pf-pascal", "val", 0.1), Column("spair-71k", "val", 0.1)}


def test_the_protocols_own_average_unless_said(tmp_path, host):
    path = tmp_path / "one.csv"
    path.write_text("method,paper,protocol,spair-71k@0.1\nmine,A,padded,50\n")
    (method,) = read_reported(path, host).methods
    assert method.averaging == host.protocols["padded"].averaging


def test_tables_by_category_and_by_prompt_and_an_index_of_both(tmp_path, host):
    (tmp_path / "a.csv").write_text("method,cat,all\nmine,50,40\n")
    (tmp_path / "b.csv").write_text("method,empty,category\nmine,30,40\n")
    tables = [
        {"file": "a.csv", "columns": "categories", "dataset": "spair-71k", "alpha": 0.1, "table": "1"},
        {"file": "b.csv", "columns": "prompts", "dataset": "spair-71k", "alpha": 0.1, "table": "2"},
    ]
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"paper": "A", "protocol": "original", "tables": tables}))
    methods = {method.prompt: method for method in read_reported(index, host).methods}
    assert methods["none"].values == {SPAIR._replace(slice="category=cat"): 50.0, SPAIR: 40.0}
    assert methods["category"].values == {SPAIR: 40.0} and methods["empty"].values == {SPAIR: 30.0}


def test_the_numbers_of_the_package_are_read_with_all_names_checked(host):
    assert read_reported(FOLDER / "index.json", host) == read_reported()


WRONG_ROWS = {
    "unknown column": (("method,", "methd,"), "line 1: there is no column 'method'"),
    "another unknown column": (
        ("supervision", "supervison"),
        "unknown column 'supervison'; did you mean supervision?",
    ),
    "dataset": (
        ("spair-71k@", "spair71k@"),
        "column 'spair71k@0.10': unknown dataset; did you mean spair-71k",
    ),
    "alpha": (("71k@0.10", "71k@ten"), "'ten' is no threshold"),
    "too much": (("77.7", "177.7"), "line 2: spair-71k@0.10: '177.7' is no PCK in percent, from 0 to 100"),
    "negative": (("19.5", "-1"), "line 3: spair-71k@0.10: '-1' is no PCK"),
    "a word": (("19.5", "nan"), "line 3: spair-71k@0.10: 'nan' is no PCK"),
    "fields": (("19.5,", "19.5"), "line 3: has 4 fields, and the header 5"),
    "twice": (
        ("HOG,,,19.5,", "Our Net,K,spair-71k,77.7,"),
        "line 3: Our Net has a number for spair-71k @0.10 already, in line 2",
    ),
    "no number": (("19.5", ""), "line 3: has no number"),
    "no method": (("HOG", " "), "line 3: names no method"),
    "one column twice": (
        ("pf-pascal@0.05", "spair-71k@0.1"),
        "columns 'spair-71k@0.10' and 'spair-71k@0.1' are the same",
    ),
    "fractions": (
        ("77.7,60\nHOG,,,19.5", ".777,.6\nHOG,,,.195"),
        "no number is above 1; PCK is written in percent",
    ),
    "semicolons": ((",", ";"), "line 1: columns are separated by semicolons"),
    "quotes": (("HOG", '"HO"G'), "line 3: "),
    "rows": (("\nOur Net,K,spair-71k,77.7,60\nHOG,,,19.5,", ""), "has no row of numbers"),
}


@pytest.mark.parametrize("change", WRONG_ROWS)
def test_a_wrong_csv_is_one_line_with_its_place(mine, host, change):
    (before, after), message = WRONG_ROWS[change]
    mine.write_text(ROWS.replace(before, after))
    with pytest.raises(UserError) as caught:
        read_reported(mine, host)
    assert str(caught.value).startswith(f"{mine}: ") and "\n" not in str(caught.value)
    assert message in str(caught.value)


WRONG_SAID = {
    "no paper": (('paper = "Doe (CVPR 2025)"', ""), "line 2: which paper printed it? add a column paper"),
    "no protocol": (('protocol = "sd4match"', ""), "line 2: which protocol do its numbers follow?"),
    "protocol": (('"sd4match"', '"sd4mach"'), "line 2: unknown protocol 'sd4mach'; did you mean sd4match"),
    "averaging": (("table", 'averaging = "median"\ntable'), "averaging 'median' is none of image, point"),
    "key": (("protocol", "protocl"), "unknown key 'protocl'; did you mean protocol?"),
    "columns": (
        ("table", 'columns = "category"\ntable'),
        "unknown columns 'category'; did you mean categories?",
    ),
    "of which": (("table", 'columns = "prompts"\ntable'), "columns are prompts, of which dataset?"),
    "at which": (("table", 'columns = "prompts"\ndataset = "spair-71k"\ntable'), "at which alpha?"),
    "methods": (('"2"', '"2"\n[methods.Ours]\nmethod = "x"'), "methods: no row is called 'Ours'"),
    "method's key": (
        ('"2"', '"2"\n[methods."Our Net"]\nmethd = "x"'),
        "methods: Our Net: unknown key 'methd'",
    ),
    "toml": (("=", "=="), "cannot be read"),
}


@pytest.mark.parametrize("change", WRONG_SAID)
def test_a_wrong_file_beside_it_is_one_line(mine, host, change):
    (before, after), message = WRONG_SAID[change]
    mine.with_suffix(".toml").write_text(SAID.replace(before, after))
    with pytest.raises(UserError) as caught:
        read_reported(mine, host)
    assert str(caught.value).startswith(str(mine.parent)) and "\n" not in str(caught.value)
    assert message in str(caught.value)


def test_two_files_beside_a_csv_are_refused(mine, host):
    mine.with_suffix(".json").write_text("{}")
    with pytest.raises(UserError, match=r"both mine.toml and mine.json are beside it"):
        read_reported(mine, host)


@pytest.mark.parametrize(
    ("words", "attached"),
    [
        ("--reported results", ["--reported=", "results"]),
        ("results --reported", ["results", "--reported="]),
        ("--reported a.csv results", ["--reported=a.csv", "results"]),
        ("--reported=a.dat b --reported c.TOML", ["--reported=a.dat", "b", "--reported=c.TOML"]),
        ("--rank-reported a -- --reported b.csv", ["--rank-reported", "a", "--", "--reported", "b.csv"]),
    ],
)
def test_a_word_after_the_option_is_its_file_or_a_folder(words, attached):
    assert attach_files(words.split()) == attached


def test_rows_say_their_paper_and_a_measured_row_its_difference(mine, host):
    reported = read_chosen(host, [str(mine)], pytest.fail)
    table = table_of(leaderboard, [measured("hog", 9.0)], has_details=True, reported=reported)
    hog, net, printed = rows_of(table)
    assert hog["spair-71k @0.10"].endswith("(−0.5)")
    assert hog["note"] == "settings of the reported number are not stated"
    assert (net["method"], net["#"], net["note"]) == ("Our Net (reported)", "", "Doe (CVPR 2025), Table 2")
    assert printed["method"] == "HOG (reported)"
    papers = {row["method"]: row["paper"] for row in table.tidy if row["source"] == "reported"}
    assert papers == {"Our Net": "Doe (CVPR 2025)", "hog": "Doe (CVPR 2025)"}


def test_only_on_request_are_they_ranked(mine, host):
    reported = read_chosen(host, [str(mine)], pytest.fail)
    table = table_of(
        leaderboard, [measured("hog", 9.0)], has_details=True, reported=reported, ranks_reported=True
    )
    assert next((row["#"], row["method"]) for row in rows_of(table)) == ("1", "Our Net (reported)")


def test_of_two_papers_on_one_method_the_first_counts_and_the_row_says_so(mine, host, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("method,paper,protocol,spair-71k@0.1\nhog,Roe (ECCV 2024),sd4match,18.5\n")
    for order, difference, contradiction in (
        ([mine, other], "(−0.5)", "difference to Doe (CVPR 2025); Roe (ECCV 2024) printed 18.5"),
        ([other, mine], "(+0.5)", "difference to Roe (ECCV 2024); Doe (CVPR 2025) printed 19.5"),
    ):
        reported = read_chosen(host, list(map(str, order)), pytest.fail)
        hog = rows_of(table_of(leaderboard, [measured("hog", 9.0)], has_details=True, reported=reported))[0]
        assert hog["spair-71k @0.10"].endswith(difference)
        assert hog["note"].startswith(f"{contradiction} for spair-71k @0.10; settings")


def test_numbers_of_another_protocol_are_marked_and_not_compared(mine, host):
    mine.with_suffix(".toml").write_text(SAID.replace('"sd4match"', '"original"'))
    reported = read_chosen(host, [str(mine)], pytest.fail)
    rows = rows_of(table_of(leaderboard, [measured("hog", 9.0)], has_details=True, reported=reported))
    assert rows[0]["note"] == "" and "(" not in rows[0]["spair-71k @0.10"]
    assert rows[1]["note"] == "protocol original, mean per image; Doe (CVPR 2025), Table 2"


def test_two_papers_by_prompt_are_two_rows(host, tmp_path):
    files = []
    for name, pck in (("A", 30), ("B", 31)):
        path = tmp_path / f"{name}.csv"
        path.write_text(
            f"method,paper,protocol,prompt,spair-71k@0.1\nm,{name},sd4match,empty,{pck}\n"
            f"m,{name},sd4match,category,40\n"
        )
        files.append(str(path))
    table = table_of(prompt_types, [measured("hog", 9.0)], reported=read_chosen(host, files, pytest.fail))
    rows = [row for row in rows_of(table) if row["method"].endswith("(reported)")]
    assert [(row["method"], row["empty"], row["note"]) for row in rows] == [
        ("m in A, sd4match, image (reported)", "30.0", "A"),
        ("m in B, sd4match, image (reported)", "31.0", "B"),
    ]


def with_plugin(path: Path):
    module = types.ModuleType("lab")
    spec = ReportedSpec(name="lab", file=path, paper="Lab (2026)", protocol="original")
    module.bench_reported = hookimpl(lambda: [spec])
    host = load_plugins(points=[])
    host.load("lab", "lab", "1", lambda: module)
    return host


def test_a_plugin_brings_a_set(tmp_path):
    path = tmp_path / "lab.csv"
    path.write_text("method,spair-71k@0.1\nnew,80\n")
    host = with_plugin(path)
    (method,) = read_chosen(host, ["lab"], pytest.fail).methods
    assert (method.source, method.protocol) == ("Lab (2026)", "original")
    known = ["SD4Match (CVPR 2024)", "MARCO (CVPR 2026), README", "Geometry Matters (arXiv 2605.30093)"]
    assert {"Lab (2026)", *known} == set(read_chosen(host, [""], pytest.fail).papers)
    with pytest.raises(UserError, match="unknown set of reported numbers 'lob'; did you mean lab"):
        read_chosen(host, ["lob"], pytest.fail)
    path.write_text("method,spair-71k@0.1\nnew,180\n")
    lines: list[str] = []
    assert set(read_chosen(host, [""], lines.append).papers) == set(known)
    assert len(lines) == 1 and lines[0].startswith(f"reported numbers 'lab' are left out: {path}: line 2: ")
    with pytest.raises(UserError, match="line 2"):
        read_chosen(host, ["lab"], pytest.fail)


def test_the_command_takes_files(bench, mine, tmp_path):
    results = tmp_path / "r"
    record = measured("hog", 9.0)
    folder = results / record.cell.id
    folder.mkdir(parents=True)
    write_record(folder, record)
    own = bench("leaderboard", "--reported", mine, results, "--format", "md")
    assert own.status == 0 and "Our Net (reported)" in own.out and "DIFT" not in own.out
    both = bench("leaderboard", "--reported", mine, "--reported", results, "--format", "md")
    assert "Our Net (reported)" in both.out and "DIFT (reported)" in both.out
    known = bench("leaderboard", "--reported", results, "--format", "md")
    assert "Our Net" not in known.out and "DIFT (reported)" in known.out
    one = bench("leaderboard", "--reported=sd4match-tables", results, "--format", "md")
    assert "DIFT (reported)" in one.out and "MARCO" not in one.out and "MARCO (reported)" in known.out
    page = tmp_path / "page.html"
    assert bench("report", results, "--reported", mine, "-o", page).status == 0
    assert "Our Net (reported)" in page.read_text()
    absent = bench("leaderboard", results, "--reported", tmp_path / "absent.csv")
    assert absent.status == 2 and absent.err.count("\n") == 1 and "there is no such file" in absent.err
    listed = bench("list", "reported")
    assert listed.out.startswith("sd4match-tables")
