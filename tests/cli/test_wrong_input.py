"""Mistakes on the command line: status 2, one line on stderr, nothing on stdout, and nothing is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.results import the_record

RUN = ("run", "--methods", "position")

WRONG = [
    # Names.
    ((), "run --methods possition", "unknown method 'possition'; did you mean position?"),
    ((), "run --methods HOG", "unknown method 'HOG'; "),
    ((), "run --methods position,zzzzzz", "unknown method 'zzzzzz'; known: "),
    ((), "run --methods position --datasets spair71k", "unknown dataset 'spair71k'; did you mean spair-71k?"),
    (
        (),
        "run --methods position --localizers argmax,kernel",
        "unknown localizer 'kernel'; did you mean kernel-softmax",
    ),
    (
        (),
        "run --methods position --prompts categories",
        "unknown prompt 'categories'; did you mean category or wrong-category?",
    ),
    ((), "run --methods position --protocols orginal", "unknown protocol 'orginal'; did you mean original?"),
    (
        (),
        "run --methods position --protocols sd4match[threshold=bbox]",
        "unknown threshold 'bbox'; known: box, image, points",
    ),
    ((), "run --methods position --split dev", "dataset shapes has no split 'dev'; it has test, val, train"),
    (
        (),
        "doctor possition",
        "unknown method, matcher, localizer, prompt, dataset or protocol 'possition'; did you mean position?",
    ),
    # Values.
    (RUN, "--alphas 0", "'0' is not a list of positive numbers separated by commas"),
    (RUN, "--alphas -0.1", "is not a list of positive numbers"),
    (RUN, "--alphas nan", "is not a list of positive numbers"),
    (RUN, "--alphas inf", "is not a list of positive numbers"),
    (RUN, "--alphas 0.1,ten", "'0.1,ten' is not a list of positive numbers"),
    (RUN, "--alphas ,", "is empty"),
    (RUN, "--limit 0", "0 is not in the range x>=1"),
    (RUN, "--limit -3", "-3 is not in the range x>=1"),
    (RUN, "--limit few", "'few' is not a valid integer"),
    (RUN, "--limit 2.5", "'2.5' is not a valid integer"),
    (RUN, "--batch-size 0", "0 is not in the range x>=1"),
    (RUN, "--seed one", "'one' is not a list of ints separated by commas"),
    (RUN, "--precision fp8", "'fp8' is not one of 'fp32', 'bf16', 'fp16'"),
    (RUN, "--device gpu", "--device gpu: "),
    (RUN, "--timestep 50", "--timestep: none of position has a parameter 'timestep'"),
    (RUN, "--timestep many", "'many' is not a list of whole numbers such as 50,261 or 0..500:50"),
    (RUN, "--ensemble 2", "--ensemble: none of position has a parameter 'ensemble'"),
    (RUN, "--set stride", "'stride' is not NAME=VALUE or NAME=VALUE,VALUE"),
    (RUN, "--set stride=,", "'stride=,' is not NAME=VALUE"),
    (RUN, "--set stride=4", "--set stride: none of position has a parameter 'stride'; position has none"),
    (RUN, "--set timestep=4", "--timestep: none of position has a parameter 'timestep'"),
    (RUN, "--set a=1 --set a=2", "--set a: given more than once; give its values as one list"),
    (RUN, "--set timestep=1 --timestep 2", "--timestep and --set timestep set the same parameter"),
    # Options.
    (RUN, "--methds hog", "No such option '--methds'"),
    (RUN, "--limit", "Option '--limit' requires an argument"),
    (RUN, "surplus", "Got unexpected extra argument (surplus)"),
    ((), "run", "Missing option '--methods'"),
    ((), "run --methods ,", "is empty"),
    ((), "leaderboard --format pdf", "'pdf' is not one of 'text', 'md', 'csv', 'tex', 'html', 'json'"),
    (
        (),
        "leaderboard --averaging median",
        "'median' is not one of 'image', 'point', 'category-image', 'category-point'",
    ),
    ((), "rescore --threshold bbox", "'bbox' is not one of 'box', 'image', 'points'"),
    (
        (),
        "list thing",
        "'thing' is not one of 'methods', 'datasets', 'prompts', 'matchers', 'localizers', 'protocols'",
    ),
    ((), "rum", "No such command 'rum'"),
    ((), "--no-plugin", "--no-plugin: expected one argument"),
    ((), "list methods --no-plugin nobody", "unknown plugin 'nobody'; known: "),
]


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """A working directory of one's own, so that a run that should not start leaves its traces there."""
    folder = tmp_path / "nowhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("BENCH_DATA_ROOT", raising=False)
    return folder


@pytest.mark.parametrize(
    ("before", "words", "message"), WRONG, ids=[words or "nothing" for _, words, _ in WRONG]
)
def test_a_mistake_is_one_line(bench, nowhere, before, words, message):
    done = bench(*before, *words.split())
    assert (done.status, done.out) == (2, "")
    assert message in done.complaint
    assert done.complaint.startswith("bench")
    assert list(nowhere.iterdir()) == [], "something was run"


def test_mistakes_told_from_a_process_of_its_own(shell_bench):
    """As above, with nothing of this process in between: no traceback, no warning."""
    done = shell_bench("run", "--methods", "possition", "--datasets", "shapes")
    assert (done.status, done.out) == (2, "")
    assert done.complaint.startswith("bench: unknown method 'possition'; did you mean position?")


@pytest.mark.parametrize(
    ("dataset", "home", "wanted"),
    [
        ("spair-71k", "SPair-71k", "Layout/large/test.txt"),
        ("pf-pascal", "pf-pascal", "test_pairs.csv"),
        ("pf-willow", "pf-willow", "test_pairs.csv"),
    ],
)
def test_a_dataset_that_is_not_there_says_how_to_get_it(bench, tmp_path, nowhere, dataset, home, wanted):
    done = bench(*RUN, "--datasets", dataset, "--data-root", tmp_path / "data")
    assert (done.status, done.out) == (2, "")
    assert str(tmp_path / "data" / home / wanted) in done.complaint
    assert f"'bench data fetch {dataset}' downloads it" in done.complaint
    assert f"point --data-root at the folder that holds {home}/" in done.complaint
    assert list(nowhere.iterdir()) == []
    # The command that it names exists, and its arguments parse.
    (command,) = re.findall(r"'bench (data fetch \S+)'", done.complaint)
    assert bench(*command.split(), "--help").status == 0


def test_the_data_root_of_the_environment_is_read(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_DATA_ROOT", str(tmp_path / "elsewhere"))
    assert str(tmp_path / "elsewhere" / "pf-pascal") in bench(*RUN, "--datasets", "pf-pascal").complaint


def test_a_second_dataset_that_is_not_there_stops_the_first(bench, photos, tmp_path):
    """Missing files are reported before anything has run."""
    done = bench(
        *RUN, "--datasets", f"folder={photos},pf-willow", "--data-root", tmp_path, "--out", tmp_path / "r"
    )
    assert done.status == 2
    assert "dataset pf-willow" in done.complaint
    assert not (tmp_path / "r").exists()


def test_a_list_of_pairs_that_is_empty(bench, tmp_path):
    (tmp_path / "data" / "pf-willow").mkdir(parents=True)
    (tmp_path / "data" / "pf-willow" / "test_pairs.csv").write_text("imageA,imageB\n")
    done = bench(*RUN, "--datasets", "pf-willow", "--data-root", tmp_path / "data")
    assert done.status == 2
    assert "test_pairs.csv: column XA1, " in done.complaint


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: path.write_text("a file"), "File exists"),
        (lambda path: path.symlink_to(path.parent / "gone"), "File exists"),
    ],
)
def test_a_results_folder_that_cannot_be_made(bench, photos, tmp_path, prepare, message):
    out = tmp_path / "out"
    prepare(out)
    done = bench(*RUN, "--datasets", f"folder={photos}", "--out", out)
    assert (done.status, done.out) == (2, "")
    assert done.complaint == f"bench: results folder {out}: {message}; choose another with --out"


@pytest.mark.parametrize("name", ["file/below", "/proc/nothing/here", "x" * 300])
def test_a_results_folder_in_an_impossible_place(bench, photos, tmp_path, name):
    (tmp_path / "file").write_text("")
    out = tmp_path / name
    done = bench(*RUN, "--datasets", f"folder={photos}", "--out", out)
    assert (done.status, done.out) == (2, "")
    assert f"results folder {out}: " in done.complaint
    assert "choose another with --out" in done.complaint


def test_a_results_folder_that_cannot_be_written_to(bench, photos, tmp_path, monkeypatch):
    """As a read-only disk answers; whoever runs the tests may be allowed to write anywhere."""
    import errno

    import harness.files

    def refused(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("mkstemp", "TemporaryFile"):
        monkeypatch.setattr(harness.files.tempfile, name, refused)
    done = bench(*RUN, "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert (done.status, done.out) == (2, "")
    assert (
        done.complaint
        == f"bench: results folder {tmp_path / 'r'}: Read-only file system; choose another with --out"
    )


def test_a_folder_in_the_place_of_a_dataset(bench, photos, nowhere):
    (nowhere / "birds").symlink_to(photos)
    for command in ("run --methods position --datasets birds", "data verify birds"):
        done = bench(*command.split())
        assert (done.status, done.out) == (2, "")
        assert "unknown dataset 'birds'; " in done.complaint
        assert done.complaint.endswith("; for the pictures and pairs in birds: folder=birds")


def test_several_sources_of_mistakes_are_told_one_at_a_time(bench):
    done = bench("run", "--methods", "nope", "--datasets", "nope", "--limit", "-1")
    assert done.status == 2
    assert done.complaint.startswith("bench run: Invalid value for '--limit'")


def test_spaces_and_empty_items_in_lists_are_no_mistake(bench, photos, tmp_path):
    done = bench(
        "run",
        "--methods",
        " position ,",
        "--datasets",
        f"folder={photos}",
        "--alphas",
        "0.1 , 0.05",
        "--out",
        tmp_path / "r",
    )
    assert (done.status, done.warnings) == (0, [])
    assert {one["alpha"] for one in the_record(tmp_path / "r")["scores"]} == {0.05, 0.1}


def test_a_relative_place_is_relative_to_where_one_is(bench, photos, nowhere):
    (nowhere / "mine").symlink_to(photos)
    done = bench(*RUN, "--datasets", "folder=mine", "--out", "r")
    assert (done.status, done.warnings) == (0, [])
    assert Path("r").is_dir()
