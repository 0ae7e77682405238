"""Which average a table shows, and what it says of the order under the others."""

from __future__ import annotations

import json
import types

import pytest
from support.made_up_records import a_record
from support.photos import make_photos, read_list, write_list
from support.results import rewrite_predictions
from support.views import table_of, view_of

import harness.cli
from harness.errors import UserError
from harness.hookspecs import hookimpl
from harness.plugins.loading import load_plugins
from harness.records.folders import write_record
from harness.records.predictions import read_predictions
from harness.report.series import series_by_split
from harness.scoring.protocols import BUILTIN
from harness.specs import AVERAGINGS, ProtocolSpec
from harness.tables.categories import per_category
from harness.tables.leaderboard import leaderboard
from harness.tables.prompt_types import prompt_types
from harness.tables.sweep import sweep
from harness.tables.view import choose_averaging

PROTOCOLS = {protocol.name: protocol for protocol in BUILTIN}

# Of three pairs of cats with 2, 8 and 5 points and one pair of dogs with 5, `wide` has 0, 8, 1 and 4 right,
# and `even` 0, 8, 4 and 2: see docs/reference/tables.md.
WIDE = {"image": 50.0, "point": 65.0, "category-image": 60.0, "category-point": 70.0}

EVEN = {"image": 55.0, "point": 70.0, "category-image": 50.0, "category-point": 60.0}


def averaged(method, means, **options):
    """A finished cell with these numbers over all pairs, and no others."""
    record = a_record(method, alphas=(0.1,), identity=method.ljust(12, "0")[:12], **options)
    template = record.scores[0]
    scores = []
    for averaging, pck in means.items():
        values = {"averaging": averaging, "pck": pck, "low": pck - 1, "high": pck + 1, "slice": "all"}
        scores.append(template.model_copy(update=values))
    return record.model_copy(update={"scores": scores})


def of_before(method, means):
    """The same, as an earlier version wrote it."""
    record = averaged(method, {name: means[name] for name in ("image", "point")})
    scores = [score.model_copy(update={"images": None}) for score in record.scores]
    return record.model_copy(update={"scores": scores})


RECORDS = [averaged("wide", WIDE), averaged("even", EVEN)]


BY_CATEGORY = (
    "Other averages order rows differently (`--averaging category-image` and `--averaging category-point`): "
    "per image within a category, then over categories, `wide` stands above `even`."
)

BY_PAIR = (
    "Other averages order rows differently (`--averaging image` and `--averaging point`): per image, "
    "`even` stands above `wide`."
)


@pytest.mark.parametrize(
    ("averaging", "words", "first", "sentence"),
    [
        ("image", "per image", "even", BY_CATEGORY),
        ("point", "per point", "even", BY_CATEGORY),
        ("category-image", "per image within a category, then over categories", "wide", BY_PAIR),
        ("category-point", "per point within a category, then over categories", "wide", BY_PAIR),
    ],
)
def test_a_table_says_its_average_and_which_others_order_rows_differently(averaging, words, first, sentence):
    table = table_of(leaderboard, RECORDS, averaging=averaging)
    assert f"mean {words}." in table.caption
    assert sentence in table.caption
    assert table.rows[0][1] == first
    (by_category,) = table_of(per_category, RECORDS, averaging=averaging)
    assert sentence in by_category.caption


def test_where_all_averages_agree_nothing_is_said():
    better = {averaging: pck + 30 for averaging, pck in EVEN.items()}
    records = [averaged("wide", WIDE), averaged("better", better)]
    for averaging in AVERAGINGS:
        assert "differently" not in table_of(leaderboard, records, averaging=averaging).caption
    # Numbers that are equal but for the last bits of a sum have no order.
    equal = {averaging: pck + 5e-10 * (averaging == "point") for averaging, pck in WIDE.items()}
    records = [averaged("a", WIDE), averaged("b", equal)]
    assert "differently" not in table_of(leaderboard, records).caption


def test_one_other_average_is_named_by_its_example():
    records = [averaged("a", WIDE), averaged("b", {**WIDE, "image": 49.96, "point": 65.04})]
    # Below the printed decimal, and yet another order: places are by the numbers themselves.
    assert (
        "Another average orders rows differently: per point, `b` stands above `a`."
        in table_of(leaderboard, records).caption
    )


def test_the_example_is_the_best_row_that_another_surpasses():
    records = [
        averaged("a", {"image": 60, "point": 50}),
        averaged("b", {"image": 50, "point": 40}),
        averaged("c", {"image": 40, "point": 55}),
        averaged("d", {"image": 30, "point": 60}),
    ]
    assert "per point, `d` stands above `a`." in table_of(leaderboard, records).caption


def test_rows_of_one_method_are_told_apart_by_what_they_differ_in():
    records = [averaged("a", WIDE, prompt="empty"), averaged("a", EVEN, prompt="category")]
    caption = table_of(leaderboard, records).caption
    assert "`a empty` stands above `a category`." in caption


def test_rows_without_a_place_and_averages_that_a_record_lacks_do_not_count():
    limited = averaged("wide", WIDE, stored=5)
    assert "differently" not in table_of(leaderboard, [limited, averaged("even", EVEN)]).caption
    records = [of_before("even", EVEN), averaged("wide", WIDE)]
    assert "differently" not in table_of(leaderboard, records).caption
    swapped = [of_before("wide", {**WIDE, "point": 90.0}), averaged("even", EVEN)]
    assert "per point, `wide` stands above `even`." in table_of(leaderboard, swapped).caption


def test_groups_of_supervision_are_not_compared():
    wide = averaged("wide", WIDE)
    tuned = wide.model_copy(update={"cell": wide.cell.model_copy(update={"supervision": "K"})})
    (table,) = table_of(per_category, [tuned, averaged("even", EVEN)])
    assert "differently" not in table.caption


def test_a_record_of_before_is_a_row_that_says_what_it_lacks():
    records = [of_before("wide", WIDE), averaged("even", EVEN)]
    note = "birds: no category-image average; 'bench rescore' adds it"
    table = table_of(leaderboard, records, averaging="category-image")
    rows = {row[1]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert (rows["even"]["birds @0.10"], rows["even"]["note"]) == ("50.0 ±1.0", "")
    assert (rows["wide"]["birds @0.10"], rows["wide"]["#"], rows["wide"]["note"]) == ("–", "", note)
    assert note in table_of(prompt_types, records, averaging="category-image").rows[0][-1]
    swept = [
        record.model_copy(update={"cell": record.cell.model_copy(update={"params": {"t": number}})})
        for number, record in enumerate(records)
    ]
    table = table_of(sweep, swept, averaging="category-image", parameter="t")
    assert note in table.rows[0][-1]
    (split,) = series_by_split(records, view_of(records, averaging="category-image"))
    assert split.left_out == (f"wide ({note})",)


def test_a_folder_of_records_of_before_alone():
    records = [of_before("wide", WIDE)]
    with pytest.raises(UserError) as told:
        choose_averaging(records, "sd4match", "category-image", PROTOCOLS)
    assert str(told.value) == (
        "--averaging category-image: no record has this average under protocol sd4match; they have image, "
        "point; 'bench rescore' adds it"
    )
    assert choose_averaging(records, "sd4match", "point", PROTOCOLS) == "point"
    # By default it is a table of rows that say so.
    table = table_of(leaderboard, records, averaging="category-image")
    assert table.rows[0][-1] == "birds: no category-image average; 'bench rescore' adds it"


def test_the_default_is_the_protocols_own():
    own = ProtocolSpec(name="own", frame="original", strict=False, averaging="category-point")
    records = [averaged("wide", WIDE, protocols=("own",))]
    assert choose_averaging(records, "own", None, {"own": own}) == "category-point"
    assert choose_averaging(records, "own[threshold=box]", None, {"own": own}) == "category-point"
    assert choose_averaging(records, "own", "image", {"own": own}) == "image"
    # Where the plugin is not there, the records know.
    assert choose_averaging(records, "own", None, {}) == "image"
    records.append(averaged("even", EVEN).model_copy(update={"averagings": {"own": "category-image"}}))
    assert choose_averaging(records, "own", None, {}) == "category-image"
    assert {name: choose_averaging([], name, None, PROTOCOLS) for name in PROTOCOLS} == {
        "sd4match": "image",
        "original": "image",
        "padded": "image",
        "marco": "image",
        "omniprobe": "category-point",
    }


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"averaging": "median"},
            "unknown averaging 'median'; known: image, point, category-image, category-",
        ),
        ({"frame": "pad"}, "unknown frame 'pad'; known: stretched, original, padded"),
    ],
)
def test_a_protocol_of_an_unknown_average_or_frame_is_refused(wrong, message):
    values = {"frame": "original", **wrong}
    with pytest.raises(UserError, match=f"^protocol 'mine': {message}"):
        ProtocolSpec(name="mine", strict=False, **values)


@pytest.fixture
def with_protocol(monkeypatch):
    """Adds a protocol to what `bench` in this process loads."""

    def add(protocol):
        module = types.ModuleType("mine")
        module.bench_protocols = hookimpl(lambda: [protocol])

        def load(blocked=()):
            host = load_plugins(blocked, points=[])
            host.load("mine", "mine", "1", lambda: module)
            return host

        monkeypatch.setattr(harness.cli, "load_plugins", load)

    return add


def test_commands_follow_a_plugins_protocol(bench, with_protocol, photos, tmp_path):
    with_protocol(ProtocolSpec(name="pointwise", frame="original", strict=False, averaging="point"))
    data = ("--datasets", f"folder={photos}")
    out = tmp_path / "r"
    protocols = ("--protocols", "pointwise,sd4match")
    done = bench(
        "run", "--methods", "position,hog", "--localizers", "argmax", *data, *protocols, "--out", out
    )
    by_point, by_image = done.out.split("PCK in percent")[1:]
    assert "protocol pointwise, mean per point. " in by_point
    assert "mean per image. " in by_image
    assert "mean per point. " in bench("rescore", out, *data, "--protocols", "pointwise").out
    for arguments, words in (
        (("--protocol", "pointwise"), "mean per point. "),
        (("--protocol", "pointwise", "--averaging", "image"), "mean per image. "),
        ((), "mean per image. "),
    ):
        assert words in bench("leaderboard", out, *arguments).out
        assert bench("report", out, *arguments, "-o", tmp_path / "page.html").status == 0
        page = (tmp_path / "page.html").read_text()
        # Head, leaderboard, charts.
        assert page.count(words.strip(". ")) >= 3
        assert ("per point" in page) is ("point." in words)
    done = bench("compare", f"{out}:hog", f"{out}:position", *protocols, "--top", "0", *data)
    head, first, second = done.out.split("A: ")
    assert "PCK in percent, means as each table says, and" in head
    assert "protocol pointwise)  \n1 seed.  \nBoth: mean per point.\n" in first
    assert "protocol sd4match)  \n1 seed.  \nBoth: mean per image.\n" in second
    done = bench("compare", f"{out}:hog", *protocols, "--top", "0", *data)
    assert "PCK in percent, mean per point, and" in done.out
    assert "Both: mean per point, as of A's protocol; that of B's is mean per image.\n" in done.out
    done = bench("compare", f"{out}:hog", *protocols, "--top", "0", *data, "--averaging", "image")
    assert "Both:" not in done.out
    assert "PCK in percent, mean per image, and" in done.out


def test_asking_for_what_records_of_before_lack_is_one_line(bench, tmp_path):
    record = of_before("wide", WIDE)
    write_record(tmp_path / "r" / record.cell.id, record)
    page = tmp_path / "page.html"
    for command in (("leaderboard", tmp_path / "r"), ("report", tmp_path / "r", "-o", page)):
        done = bench(*command, "--averaging", "category-point")
        assert done.status == 2
        assert "no record has this average under protocol sd4match" in done.complaint
        # By default it is there: these are the protocol's own.
        assert bench(*command).status == 0


def make_pairs(folder):
    """A `folder` dataset of the four pairs of docs/reference/tables.md, which have 2, 8, 5 and 5 points."""
    photos = make_photos(folder)
    content = read_list(photos)
    pairs = content["pairs"][:4]
    for pair, count, category in zip(pairs, (2, 8, 5, 5), ("cat", "cat", "cat", "dog"), strict=True):
        points = [[10 + 4 * number, 20] for number in range(count)]
        pair.update(source_points=points, target_points=points, category=category)
    write_list(photos, {**content, "pairs": pairs})
    return photos


def put_right(folder, counts):
    """Puts predictions in a cell's folder: of each pair's points, the first so many are right."""
    table = read_predictions(folder / "predictions.parquet").to_pylist()
    pair_ids = list(dict.fromkeys(row["pair_id"] for row in table))
    for pair_id, count in zip(pair_ids, counts, strict=True):
        rows = [row for row in table if row["pair_id"] == pair_id]
        for number, row in enumerate(rows):
            # Beyond a tenth of the box's 50 pixels, if wrong.
            row.update(x=10.0 + 4 * number + 30 * (number >= count), y=20.0)
    rewrite_predictions(folder, table)


def test_from_predictions_to_tables_and_differences(bench, tmp_path):
    """Every number of the example on the page, through every command that prints one."""
    data = ("--datasets", f"folder={make_pairs(tmp_path / 'photos')}")
    out = tmp_path / "r"
    alphas = ("--alphas", "0.1")
    methods = ("--methods", "position,hog", "--localizers", "argmax")
    assert bench("run", *methods, *data, *alphas, "--out", out).status == 0
    for method, counts in (("hog", (0, 8, 1, 4)), ("position", (0, 8, 4, 2))):
        (folder,) = out.glob(f"*-{method}.*")
        put_right(folder, counts)
    done = bench("rescore", out, *data, *alphas)
    assert done.status == 0, done.err
    for averaging in AVERAGINGS:
        done = bench("leaderboard", out, "--averaging", averaging, "--format", "json")
        numbers = {row["method"]: row["pck"] for row in json.loads(done.out) if row["slice"] == "all"}
        assert numbers == {"hog": WIDE[averaging], "position": EVEN[averaging]}
        done = bench("leaderboard", out, "--averaging", averaging, *data)
        assert done.status == 0, done.err
        hog, position = WIDE[averaging], EVEN[averaging]
        better, worse = ("hog", "position") if hog > position else ("position", "hog")
        assert done.out.index(f"| {better} ") < done.out.index(f"| {worse} ")
        assert f"`{worse}` stands above `{better}`." in done.out
        assert all(f"{pck:.1f}" in done.out for pck in (hog, position))
        options = ("--averaging", averaging, "--format", "json", "--localizer", "argmax")
        done = bench("compare", f"{out}:hog", f"{out}:position", *options, *data)
        (whole,) = [row for row in json.loads(done.out)["differences"] if row["slice"] == "all"]
        assert (whole["averaging"], whole["difference"]) == (averaging, pytest.approx(position - hog))
        assert (whole["pck_a"], whole["pck_b"]) == (pytest.approx(hog), pytest.approx(position))
    page = tmp_path / "page.html"
    assert bench("report", out, "-o", page, *data).status == 0
    assert "`hog` stands above `position`." in page.read_text()
