"""The contract of a matcher, checked by `harness.testing` as `bench doctor` does."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import PIL.Image
import pytest
import torch
from support.extractors import small_map

import harness.cli
from harness.doctor.findings import Failed
from harness.doctor.matcher_checks import MATCHER_CHECKS
from harness.frames import Frame, Size
from harness.hookspecs import hookimpl
from harness.plugins.loading import load_plugins
from harness.specs import (
    ExtractorSpec,
    ImageRequest,
    Lattice,
    LocalizerSpec,
    Located,
    MatcherSpec,
    Matches,
    MethodSpec,
)
from harness.testing import check_localizer, check_matcher, check_plugin

MADE = "the matcher can be made"
RESULT = "matches are of the declared kind, finite, of the pair's images"
SAME = "the same pair gives the same matches"
PAIRS = "matches of a pair do not depend on the other pairs"
MAPS = "the matcher leaves feature maps as they are"


def extract(requests):
    return [replace(small_map(request), levels=(torch.ones(2),)) for request in requests]


EXTRACTOR = ExtractorSpec(
    name="small", make=lambda context: SimpleNamespace(extract=extract), image_size=(48, 48)
)


def correlate(source, target):
    maps = [each.data.flatten(1) / each.norms.flatten() for each in (source, target)]
    cosines = (maps[0].T @ maps[1]).view(*source.data.shape[1:], *target.data.shape[1:])
    return Matches(*(Lattice(each.frame, each.cells) for each in (source, target)), volume=cosines)


def spec(match, **fields):
    fields = {"name": "mine", "extractors": frozenset({"small"}), **fields}
    return MatcherSpec(make=lambda context: SimpleNamespace(match=match), **fields)


def each_pair(change=lambda matches: matches):
    return lambda pairs: [change(correlate(*pair)) for pair in pairs]


def test_a_matcher_that_keeps_the_contract():
    found = {finding.check: finding for finding in check_matcher(spec(each_pair()), EXTRACTOR)}
    for check in (MADE, RESULT, SAME, PAIRS, MAPS):
        assert found[check].result == "ok", check
    assert found[RESULT].detail == "volume (6, 6, 6, 6), float32"


def darken(pairs):
    for source, _ in pairs:
        source.levels[0].mul_(0.5)
    return each_pair()(pairs)


def mix(pairs):
    matches = each_pair()(pairs)
    return [replace(each, volume=each.volume + len(pairs)) for each in matches]


def turn(matches):
    return replace(matches, volume=matches.volume.flatten(2))


OTHER_FRAME = Frame.stretched(Size(5, 5), Size(48, 48))

BROKEN = {
    "too few": (spec(lambda pairs: each_pair()(pairs)[:-1]), RESULT, "returned 1 result for 2 pairs"),
    "no matches": (spec(each_pair(lambda matches: None)), RESULT, "returned a NoneType, expected Matches"),
    "both": (
        spec(each_pair(lambda matches: replace(matches, flow=torch.zeros(2, 6, 6)))),
        RESULT,
        "matches hold either a volume or a flow",
    ),
    "not finite": (
        spec(each_pair(lambda matches: replace(matches, volume=matches.volume / 0))),
        RESULT,
        "NaN or infinite",
    ),
    "shape": (spec(each_pair(turn)), RESULT, "(6, 6, 6, 6) by the lattices"),
    "frame": (
        spec(each_pair(lambda matches: replace(matches, target=replace(matches.target, frame=OTHER_FRAME)))),
        RESULT,
        "the target's frame is of an image of (5, 5) pixels",
    ),
    "kind": (spec(each_pair(), gives="flow"), RESULT, "its spec says that it gives flow"),
    "random": (
        spec(each_pair(lambda matches: replace(matches, volume=torch.rand(6, 6, 6, 6)))),
        SAME,
        "matches differ by",
    ),
    "mixed": (spec(mix), PAIRS, "matches differ by"),
    "no match": (spec(None), MADE, "has no method 'match'"),
    "raises": (spec(each_pair(lambda matches: 1 / 0)), RESULT, "ZeroDivisionError"),
}


def test_a_plugin_s_matcher_that_writes_into_its_maps_has_copies_of_them():
    found = {finding.check: finding for finding in check_matcher(spec(darken), EXTRACTOR)}
    assert found[MAPS].result == "ok"


def test_maps_that_a_matcher_changes_are_told():
    """Of one that comes with the package, which is handed the maps themselves."""
    pair = tuple(extract([ImageRequest(PIL.Image.new("RGB", (4, 4)), str(n), "cat")])[0] for n in range(2))
    subject = SimpleNamespace(maps=[pair], match=darken)
    with pytest.raises(Failed, match="changes the maps"):
        MATCHER_CHECKS[MAPS](subject)


@pytest.mark.parametrize("name", BROKEN)
def test_what_a_matcher_does_wrong_is_told(name):
    matcher, check, detail = BROKEN[name]
    with pytest.raises(AssertionError) as caught:
        check_matcher(matcher, EXTRACTOR)
    lines = [line for line in str(caught.value).splitlines() if line.startswith(f"✗ {check}: ")]
    assert len(lines) == 1, caught.value
    assert detail in lines[0]


def test_a_matcher_without_its_extractor_is_told():
    with pytest.raises(AssertionError, match="reads maps of small, which no plugin here brings"):
        check_matcher(spec(each_pair()))


def right(matches, points):
    return Located(points, torch.ones(len(points)))


LOCALIZER = LocalizerSpec(
    name="mine",
    make=lambda: SimpleNamespace(read=right),
    grid="half-pixel",
    matches=frozenset({"volume", "flow"}),
    maps=False,
)


def test_a_localizer_of_matches_is_tried_on_made_up_ones():
    found = {finding.check: finding for finding in check_localizer(LOCALIZER)}
    assert found["the kinds of matches that it declares are read"].detail == "flow and volume"
    assert found["an image matched with itself has PCK@0.1 of 100"].result == "ok"
    grid = found["the localizer reads the grid that it declares"]
    assert "does not find a made-up peak" in grid.detail


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"make": lambda: SimpleNamespace(read=lambda matches, points: points)}, "return Located"),
        (
            {"make": lambda: SimpleNamespace(read=lambda matches, points: right(matches, points[:3]))},
            "points of 25 queries",
        ),
        ({"make": lambda: right}, "declares matches and has no method 'read'"),
    ],
)
def test_what_a_localizer_of_matches_does_wrong_is_told(fields, problem):
    with pytest.raises(AssertionError, match=problem):
        check_localizer(replace(LOCALIZER, **fields))


@pytest.fixture
def plugin():
    """Extractor, matcher, localizer and method of one plugin."""
    method = MethodSpec(name="whole", extractor="small", matcher="mine", localizer="mine")
    return SimpleNamespace(
        bench_extractors=hookimpl(lambda: [EXTRACTOR]),
        bench_matchers=hookimpl(lambda: [spec(each_pair()), spec(each_pair(), name="alone")]),
        bench_localizers=hookimpl(lambda: [LOCALIZER]),
        bench_methods=hookimpl(lambda: [method]),
    )


def test_matchers_of_a_plugin_are_checked_once(plugin):
    checks = [finding.check for finding in check_plugin(plugin)]
    # With the method that has one, and by itself.
    assert checks.count(RESULT) == 2
    assert checks.count("predictions are finite, one for each query") == 1


def test_doctor_takes_a_matcher_by_name_and_refuses_a_localizer_that_cannot_read(plugin, bench, monkeypatch):
    def load(blocked=()):
        host = load_plugins(blocked, points=[])
        host.load("mine", "mine", "1", lambda: plugin)
        return host

    monkeypatch.setattr(harness.cli, "load_plugins", load)
    done = bench("doctor", "alone")
    assert done.status == 0, done
    assert "matcher alone" in done.out
    assert f"✓  | {RESULT}" in done.out
    refused = bench("doctor", "whole", "--localizer", "flow")
    assert refused.status == 2
    assert "localizer 'flow' reads a flow, and the matcher of whole gives a volume" in refused.complaint
