"""Citations are BibTeX, stand in one place each, and `bench cite` prints those of a table once."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from support.made_up_records import a_record, with_provenance
from support.paths import ROOT

from harness.cards.citing import Subject, bibliography
from harness.citations import AUTHORS, HARNESS, TITLE
from harness.errors import UserError
from harness.plugins.loading import load_plugins
from harness.records.folders import write_record
from harness.specs import DatasetSpec, LocalizerSpec, MethodSpec, ProtocolSpec
from harness.specs.bibtex import parse_entries
from harness.version import __version__

KINDS = ("methods", "prompts", "weight_sources", "datasets", "localizers", "protocols")


@pytest.fixture(scope="module")
def host():
    return load_plugins(points=[])


def test_everything_that_others_published_is_cited(host):
    for kind in ("methods", "weight_sources", "datasets", "protocols"):
        for name, spec in getattr(host, kind).items():
            assert spec.citation or name == "folder", name


def test_a_key_stands_for_one_entry_in_all_plugins(host):
    texts = {}
    for kind in KINDS:
        for spec in getattr(host, kind).values():
            for key, text in parse_entries(spec.citation).items():
                assert texts.setdefault(key, text) == text, key
                fields = [line.partition("=")[0].strip() for line in text.splitlines() if " = {" in line]
                assert {"title", "author"} <= set(fields), key
                assert "year" in fields or key == "correspondence-bench"
    assert len(texts) == 37


def test_citation_file_and_bibtex_say_the_same():
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert [author["name"] for author in content["authors"]] == [AUTHORS]
    assert content["title"] == TITLE
    assert content["version"] == __version__
    assert f"Version {content['version']}, {content['license']}" in HARNESS
    assert content["abstract"].startswith(HARNESS.partition(": ")[2].partition("}")[0])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Tang et al., 2023", "expected an entry"),
        ("@article{a, title = {b}", "no brace closes"),
        ("@article{a, x = {b}} @misc{a, x = {c}}", "key a is there twice"),
        ("@article{title = {b}}", "expected an entry"),
        (7, "BibTeX"),
    ],
)
def test_what_is_no_bibtex_is_refused(text, problem):
    makers = (
        lambda: MethodSpec(name="mine", extractor="mine", citation=text),
        lambda: DatasetSpec(name="mine", open=None, citation=text),
        lambda: LocalizerSpec(name="mine", make=None, citation=text),
        lambda: ProtocolSpec(name="mine", frame="original", strict=True, citation=text),
    )
    for make in makers:
        with pytest.raises(UserError, match=problem) as raised:
            make()
        assert "'mine': its citation is not BibTeX" in str(raised.value)


def test_entries_are_told_apart():
    text = '@article{a, title = {A {B} \\"{o}}}\n\n  @misc{b-2:c, x = "y"}\n'
    entries = parse_entries(text)
    assert list(entries.values()) == [
        '@article{a, title = {A {B} \\"{o}}}',
        '@misc{b-2:c, x = "y"}',
    ]
    assert parse_entries(" \n") == {}


def stored(folder, *records):
    for record in records:
        write_record(folder / record.cell.id, record)
    return folder


def test_a_table_is_cited(bench, tmp_path):
    dift = with_provenance(a_record("dift", dataset="spair-71k", prompt="category"))
    weights = {"stable-diffusion-2-1": {"unet": "0"}, "prompt file": {"x": "y"}}
    provenance = dift.provenance.model_copy(update={"weights": weights})
    dift = dift.model_copy(update={"provenance": provenance})
    mine = a_record("mine", dataset="folder:birds")
    done = bench("cite", stored(tmp_path / "r", dift, mine))
    assert done.status == 0
    assert list(parse_entries("\n".join(line for line in done.out.splitlines() if line[:1] != "%"))) == [
        "correspondence-bench",
        "tang2023emergent",
        "rombach2022high",
        "min2019spair",
        "li2024sd4match",
    ]
    assert "% method dift\n@inproceedings{tang2023emergent," in done.out
    assert "no citation of method mine: no plugin here brings it" in done.err
    assert "no citation of dataset folder: your own pictures" in done.err


def test_names_are_cited(bench):
    done = bench("cite", "sd4match-cpm", "pf-willow", "dift")
    assert done.status == 0
    assert done.err == ""
    for key in (
        "li2024sd4match",
        "rombach2022high",
        "oquab2024dinov2",
        "ham2016proposal",
        "tang2023emergent",
    ):
        assert done.out.count(f"{{{key},") == 1


def test_two_entries_of_one_key_are_told():
    subjects = [
        Subject("method a", "@misc{x2024, title = {A}}", True),
        Subject("method b", "@misc{x2024, title = {B}}", True),
        Subject("method c", "@misc{x2024, title = {A}}", True),
    ]
    entries = bibliography(subjects)
    assert list(entries.clashes) == [
        "method b: its citation has the key x2024 of another entry; rename one",
    ]
    assert entries.render().count("x2024") == 2, "both are printed"
    assert "% method a, method c\n" in entries.render()


def test_a_plugin_without_citation_is_told(plugin_bench):
    done = plugin_bench("cite", "toy")
    assert done.status == 0
    assert done.complaint == "bench: no citation of method toy: its plugin gives none"


def test_an_unknown_name_is_told(bench, tmp_path, monkeypatch):
    done = bench("cite", "dfit")
    assert done.status == 2
    assert "did you mean dift" in done.complaint
    monkeypatch.chdir(tmp_path)
    done = bench("cite")
    assert done.status == 2
    assert "results" in done.complaint


def test_citing_needs_no_torch():
    program = (
        "import sys; from harness.cli import status; status(['cite', 'dift']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
