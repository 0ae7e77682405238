"""Descriptive fields of a method are checked as its plugin is loaded."""

from __future__ import annotations

import types

import pytest

from harness import hookimpl
from harness.plugins.host import Host
from harness.specs import NOT_STATED, ExtractorSpec, MethodSpec


def loaded(**fields):
    """The listed plugin of a method with these fields."""
    module = types.ModuleType("odd")
    module.bench_extractors = hookimpl(lambda: [ExtractorSpec(name="made", make=lambda context: None)])
    module.bench_methods = hookimpl(lambda: [MethodSpec(name="odd", extractor="made", **fields)])
    host = Host()
    host.load("odd", "d", "1", lambda: module)
    return host.plugins[0]


@pytest.mark.parametrize(
    "tuned_on",
    [(), (NOT_STATED,), ("spair-71k/val", "spair-71k/test"), ("spair-71k/?", NOT_STATED), ("my/own/val",)],
)
def test_what_can_be_said(tuned_on):
    assert loaded(tuned_on=tuned_on).status == "loaded"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"tuned_on": "spair-71k/val"},
            "tuned_on is 'spair-71k/val', not a tuple; write ('spair-71k/val',), or () where nothing",
        ),
        ({"tuned_on": None}, "tuned_on is None, not a tuple; write ('spair-71k/val',), or ()"),
        ({"tuned_on": ["spair-71k/val"]}, "tuned_on is ['spair-71k/val'], not a tuple"),
        ({"tuned_on": (5,)}, "tuned_on has a int, not a text; write it as 'spair-71k/val'"),
        (
            {"tuned_on": ("spair-71k",)},
            "tuned_on 'spair-71k' is not a dataset with a split; write it as 'spair-71k/val' "
            "('spair-71k/?' for an unknown split), or 'not stated'",
        ),
        ({"tuned_on": ("a/val", "spair-71k/")}, "tuned_on 'spair-71k/' is not a dataset with a split"),
        ({"tuned_on": ("/val",)}, "tuned_on '/val' is not a dataset with a split"),
        ({"tuned_on": ("",)}, "tuned_on '' is not a dataset with a split"),
        ({"trained_on": ("a", "b")}, "trained_on is ('a', 'b'), not a text; write one dataset's name, or"),
        ({"supervision": "zero"}, "supervision is 'zero'; known are Z, I and K"),
    ],
)
def test_what_cannot_be_is_told_with_the_method(fields, told):
    plugin = loaded(**fields)
    assert plugin.status == "failed"
    assert plugin.reason.startswith(f"method 'odd': {told}")
