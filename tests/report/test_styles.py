"""A method has one colour and one marker in every chart of a page."""

from __future__ import annotations

import re

from support.made_up_records import a_record, a_timestep_record, with_options
from support.views import view_of

from harness.report.chart_style import MOST_SERIES, colour, dashes, hatch, marker
from harness.report.series import series_by_split
from harness.report.timestep_figures import timestep_figures


def test_a_method_keeps_its_style_on_every_dataset():
    records = [
        a_record("a", 90.0),
        a_record("b", 10.0),
        a_record("a", 10.0, dataset="fish"),
        a_record("b", 90.0, dataset="fish"),
        a_record("c", 95.0, dataset="fish"),
    ]
    styles = {}
    for split in series_by_split(records, view_of(records)):
        for series in split.series:
            styles.setdefault(series.name, set()).add(series.style)
    assert {name: len(numbers) for name, numbers in styles.items()} == {"a": 1, "b": 1, "c": 1}
    assert len(set().union(*styles.values())) == 3
    assert styles["a"] == {0}


def test_styles_differ_also_where_colours_repeat():
    looks = {(colour(style), marker(style), str(dashes(style)), hatch(style)) for style in range(64)}
    assert len({look[:2] for look in looks}) == 64
    assert len({colour(style) for style in range(MOST_SERIES)}) == MOST_SERIES


def test_sweeps_keep_their_style_on_every_dataset():
    pcks = {("a", "birds"): 20.0, ("b", "birds"): 60.0, ("a", "fish"): 60.0, ("b", "fish"): 20.0}
    records = [
        a_timestep_record(method, step, pck, dataset=dataset)
        for (method, dataset), pck in pcks.items()
        for step in (0, 50)
    ]
    legends = []
    for figure in timestep_figures(records, view_of(records)):
        samples = {}
        for entry in figure.legend:
            samples[entry.title] = sorted(set(re.findall("#[0-9a-f]{6}", entry.sample)))
        legends.append(samples)
    assert legends[0] == legends[1]
    assert set(legends[0]) == {"a", "b"}
    assert legends[0]["a"] != legends[0]["b"]


def test_names_say_the_options_in_which_localizers_differ():
    records = [with_options(a_record("a"), sigma=7), with_options(a_record("b"), sigma=9), a_record("c")]
    (split,) = series_by_split(records, view_of(records))
    assert sorted(series.name for series in split.series) == [
        "a (argmax[sigma=7])",
        "b (argmax[sigma=9])",
        "c",
    ]
