"""Data on which a cell's free choices were made: by the method, by its prompt's file, by the user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.plugins.loading import load_plugins
from harness.running.training import tuned_on_of
from harness.specs import NO_MATCHER, NOT_STATED, LearnedFile, MethodSpec
from harness.specs.tuning import USERS_CHOICE


def method_of(tuned_on):
    return MethodSpec(name="mine", extractor="mine", tuned_on=tuned_on)


def file_of(tuned_on):
    return LearnedFile(Path("prompt"), "shapes", tuned_on=tuned_on)


@pytest.mark.parametrize(
    ("method", "prompt", "is_changed", "expected"),
    [
        ((), None, False, ()),
        ((), None, True, (USERS_CHOICE,)),
        (("a/val",), None, False, ("a/val",)),
        (("a/val",), ("a/val",), False, ("a/val",)),
        (("a/?",), ("b/val",), False, ("a/?", "b/val")),
        (("a/?",), (), True, ("a/?", USERS_CHOICE)),
        ((NOT_STATED,), (NOT_STATED,), True, (NOT_STATED, USERS_CHOICE)),
    ],
)
def test_choices_of_method_prompt_and_user_add_up(method, prompt, is_changed, expected):
    learned = None if prompt is None else file_of(prompt)
    assert tuned_on_of(method_of(method), learned, is_changed=is_changed) == expected


def test_who_says_nothing_has_not_stated_it():
    assert MethodSpec(name="mine", extractor="mine").tuned_on == (NOT_STATED,)
    assert LearnedFile(Path("prompt")).tuned_on == (NOT_STATED,)


def test_built_in_methods():
    methods = load_plugins().methods
    assert {name: methods[name].tuned_on for name in methods} == {
        **dict.fromkeys(("position", "ibot", "resnet"), ()),
        "hog": ("pf-willow/test",),
        **dict.fromkeys(("sd4match-single", "sd4match-class", "sd4match-cpm"), ("spair-71k/?",)),
        **dict.fromkeys(
            ("dift", "cleandift", "sd-dino", "sd-dino-star", "dinov1", "dinov2", "dinov3", "vit", "marco"),
            (NOT_STATED,),
        ),
        **dict.fromkeys(
            (
                "geoaware-sc",
                "geoaware-sc-zero-shot",
                "geoaware-sc-flip",
                "geoaware-sc-zero-shot-flip",
                "diy-sc",
                "diy-sc-sd-dino",
                "hyperfeatures",
                "hyperfeatures-one-step",
            ),
            (NOT_STATED,),
        ),
        **dict.fromkeys((name for name in methods if methods[name].matcher != NO_MATCHER), (NOT_STATED,)),
    }


def test_a_record_has_it_and_a_changed_parameter_is_the_user_s(bench, photos, tmp_path):
    done = bench(
        *("run", "--methods", "hog", "--datasets", f"folder={photos}", "--limit", 1),
        *("--set", "cell=4,8", "--out", tmp_path / "r"),
    )
    assert done.status == 0, done.err
    records = [json.loads(path.read_text()) for path in tmp_path.glob("r/*/record.json")]
    assert {record["cell"]["label"]: record["cell"]["tuned_on"] for record in records} == {
        "hog": ["pf-willow/test"],
        "hog[cell=8]": ["pf-willow/test", USERS_CHOICE],
    }


def test_the_list_of_methods_has_it(bench):
    methods = {each["name"]: each for each in json.loads(bench("list", "methods", "--json").out)}
    assert methods["hog"]["tuned_on"] == ["pf-willow/test"]
    assert methods["position"]["tuned_on"] == []
