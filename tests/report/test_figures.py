"""Figures of the page of `bench report`: series, captions, charts."""

from __future__ import annotations

from xml.etree import ElementTree

from support.made_up_records import a_prompt_file_record, a_record, a_timestep_record

from harness.report import charts
from harness.report.chart_style import Curve, Value
from harness.report.figures import sections
from harness.report.series import distinguish_names, series_by_split
from harness.tables.view import View

VIEW = View("sd4match", "image")


def series_titles(records, view=VIEW):
    return [series.title for split in series_by_split(records, view) for series in split.series]


def test_series_are_named_by_what_tells_them_apart():
    assert series_titles([a_record("dift", 60.0), a_record("hog", 20.0)]) == ["dift", "hog"]
    prompts = [
        a_record("dift", 60.0, prompt="empty", identity="a" * 12),
        a_record("dift", 50.0, prompt="category", identity="b" * 12),
    ]
    assert series_titles([*prompts, a_record("hog", 20.0)]) == ["dift (empty)", "dift (category)", "hog"]
    assert series_titles([a_record("dift", localizers=("argmax", "bilinear"))]) == [
        "dift (argmax)",
        "dift (bilinear)",
    ]
    mixed = [
        a_record("dift", 60.0, prompt=name, localizers=("argmax", "bilinear"), identity=name[0] * 12)
        for name in ("empty", "category")
    ]
    assert len(set(series_titles(mixed))) == 4
    assert distinguish_names([]) == []


def test_limited_series_come_last_and_say_so():
    assert series_titles([a_record("all", 20.0), a_record("some", 90.0, stored=3)]) == [
        "all",
        "some (limited to 3 of 10 pairs)",
    ]


def test_protocols_are_never_mixed():
    records = [a_record("a", protocols=("sd4match",)), a_record("b", protocols=("original",))]
    (split,) = series_by_split(records, VIEW)
    assert [series.name for series in split.series] == ["a"]
    assert split.left_out == ("b (protocol original only)",)
    assert "Not drawn: b (protocol original only)." in sections(records, VIEW)[0].figures[0].caption


def test_what_there_is_no_room_for_is_counted():
    records = [a_record(f"m{number}", 10.0 + number, identity=f"{number:012d}") for number in range(11)]
    figure = sections(records, VIEW)[0].figures[0]
    assert "The first 8 of 11 series are drawn; the numbers below have all." in figure.caption
    assert [entry.title for entry in figure.legend] == [f"m{number}" for number in range(10, 2, -1)]
    assert len(figure.numbers.rows) == 11


def figures_by_section(records):
    return {section.key: section.figures for section in sections(records, VIEW)}


def test_a_sweep_over_timesteps_has_a_curve_for_each_method():
    records = [a_timestep_record("dift", step, 40.0 + step / 100) for step in (0, 50, 261)] + [
        a_timestep_record("single", 50, 60.0)
    ]
    (figure,) = figures_by_section(records)["timestep"]
    # One timestep does not make a curve.
    assert [entry.title for entry in figure.legend] == ["dift"]
    assert [row[0] for row in figure.numbers.rows] == ["0", "50", "261"]
    assert "timestep" not in figures_by_section(records[-1:])


def test_a_curve_with_a_limited_point_says_so():
    (figure,) = figures_by_section(
        [a_timestep_record("dift", 0, 40.0), a_timestep_record("dift", 50, 41.0, stored=4)]
    )["timestep"]
    assert [entry.title for entry in figure.legend] == ["dift (limited to 4 of 10 pairs)"]


def test_prompt_files_of_one_method_are_bars_beside_each_other():
    (figure,) = figures_by_section(
        [a_prompt_file_record("head", 40.0), a_prompt_file_record("patches", 50.0), a_record("hog", 10.0)]
    )["ablation"]
    assert [row[0] for row in figure.numbers.rows] == ["patches", "head"]
    assert figure.title == "tuned, birds"
    assert "ablation" not in figures_by_section([a_prompt_file_record("head", 40.0), a_record("hog", 10.0)])


def test_charts_are_svg_that_can_stand_beside_each_other():
    curve = Curve(0, [Value(10.0, 8.0, 12.0), None, Value(99.0, None, None)])
    drawings = [
        charts.curve_chart([0.05, 0.1, 0.15], [curve], "alpha", ["a", "b", "c"], "one"),
        charts.bar_chart(["$x$", "<b>", "_c"], [curve], "two"),
        charts.heat_map(["r"], ["a", "b", "c"], [[0.0, None, 100.0]], "three"),
        charts.panel_chart(["v", "w"], [["0", "1", "2"]] * 2, [[curve], [curve]], "four"),
    ]
    ids = []
    for svg in drawings:
        tree = ElementTree.fromstring(svg)
        ids += [element.attrib["id"] for element in tree.iter() if "id" in element.attrib]
        assert "currentColor" in svg
        assert "#010203" not in svg
    assert len(ids) == len(set(ids))
    assert "$x$" in drawings[1]
    assert "&lt;b&gt;" in drawings[1]


def test_a_value_without_interval_has_no_error_bar():
    """Not even its two ends, which would say that it is known to the point."""
    with_interval, without = Value(10.0, 8.0, 12.0), Value(10.0, None, None)

    def count_marks(*values: Value) -> tuple[int, int]:
        curve = Curve(0, list(values))
        bars = charts.bar_chart(["a", "b"], [curve], "bars")
        line = charts.curve_chart([0.1, 0.2], [curve], "alpha", ["a", "b"], "line")
        return bars.count("<use"), line.count("<use")

    bars, line = count_marks(with_interval, without)
    assert count_marks(with_interval, with_interval) == (bars + 2, line + 2)


def test_charts_do_not_depend_on_the_users_settings(monkeypatch):
    import matplotlib as mpl

    curve = Curve(1, [Value(10.0, 8.0, 12.0)] * 2)
    before = charts.bar_chart(["a", "b"], [curve], "x")
    monkeypatch.setitem(mpl.rcParams, "xtick.direction", "in")
    monkeypatch.setitem(mpl.rcParams, "font.size", 30)
    assert charts.bar_chart(["a", "b"], [curve], "x") == before
