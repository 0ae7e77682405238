"""Values of --set are read in the kind of the parameter's default, or refused in one line that has it."""

from __future__ import annotations

import pytest

from harness.errors import UserError
from harness.running.parameters import IntegerRule, read_integers, read_values, require_parameters
from harness.specs import ExtractorSpec, MethodSpec

EXTRACTOR = ExtractorSpec(
    name="made",
    make=object,
    params={
        "layer": 9,
        "share": 0.5,
        "stride": 1,
        "facet": "key",
        "joined": True,
        "limit": None,
        "pooled": None,
        "timestep": 261,
        "ensemble": 8,
    },
    param_help={"layer": "block that is read", "limit": "most of them"},
    param_kinds={"stride": float},
)
METHOD = MethodSpec(name="recipe", extractor="made", params={"layer": 11, "pooled": 4})


def read(name, *values):
    return read_values(name, values, EXTRACTOR, METHOD)


@pytest.mark.parametrize(
    ("name", "texts", "values"),
    [
        ("layer", ["3", "-1"], [3, -1]),
        ("layer", ["1..9:4", "2..4", "-2..-1"], [1, 5, 9, 2, 3, 4, -2, -1]),
        ("layer", ["3", "3", "1..3:2"], [3, 1]),
        ("share", ["1", "0.25", "1e-3"], [1.0, 0.25, 0.001]),
        ("stride", ["0.5", "1.0", "1", "2"], [0.5, 1, 2.0]),
        ("facet", ["query", "1..3", "none"], ["query", "1..3", "none"]),
        ("joined", ["true", "False"], [True, False]),
        ("limit", ["none", "None", "5", "0.5", "true", "x"], [None, 5, 0.5, True, "x"]),
        ("pooled", ["none", "2"], [None, 2]),
        ("timestep", ["0..100", "7"], [0, 50, 100, 7]),
        ("ensemble", ["1..3"], [1, 2, 3]),
    ],
)
def test_texts_are_read_in_the_kind_of_the_default(name, texts, values):
    result = read(name, *texts)
    assert result == values
    assert [type(value) for value in result] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("name", "value"),
    [("layer", 3), ("share", 0.1), ("facet", "value"), ("joined", False), ("limit", None), ("timestep", 50)],
)
def test_values_of_a_program_stay_as_they_are(name, value):
    (result,) = read(name, value)
    assert result == value
    assert type(result) is type(value)


def test_a_value_equal_to_the_default_is_the_default():
    """1.0 would give the cell of stride 1 a second identity."""
    (stride,) = read("stride", "1.0")
    assert repr(stride) == "1"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "layer",
            "top",
            "--set layer: 'top' is not a whole number, or a range of them such as 1..9:2; "
            "the default of recipe is 11 (block that is read)",
        ),
        ("layer", "1.5", "'1.5' is not a whole number"),
        ("layer", "9..1", "'9..1' is not a whole number"),
        ("layer", "1..9:0", "'1..9:0' is not a whole number"),
        ("layer", "none", "'none' is not a whole number"),
        ("share", "half", "--set share: 'half' is not a number; the default of recipe is 0.5"),
        ("share", "nan", "'nan' is not a number"),
        ("share", "inf", "'inf' is not a number"),
        ("joined", "1", "--set joined: '1' is not true or false; the default of recipe is true"),
        ("pooled", "x", "'x' is not a whole number"),
        ("timestep", "-5", "'-5' is not a whole number from 0"),
        ("timestep", "-50..50", "'-50..50' is not a whole number from 0"),
        ("ensemble", "0", "'0' is not a whole number from 1"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_the_default(name, text, message):
    with pytest.raises(UserError) as refusal:
        read(name, text)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_integers_have_both_ends_of_a_range():
    assert list(read_integers("0..10:5", IntegerRule())) == [0, 5, 10]
    assert list(read_integers("0..9:5", IntegerRule())) == [0, 5]
    assert list(read_integers("4..4", IntegerRule())) == [4]


def test_an_unknown_parameter_is_refused_with_the_nearest_and_who_has_it():
    plain = ExtractorSpec(name="plain", make=object, params={"stride": 8})
    extractors = {"recipe": EXTRACTOR, "plain": plain}
    require_parameters(["stride", "layer"], extractors)
    with pytest.raises(UserError) as refusal:
        require_parameters(["strides"], extractors)
    assert str(refusal.value) == (
        "--set strides: none of recipe, plain has a parameter 'strides'; did you mean stride (recipe, plain)?"
    )
    with pytest.raises(UserError) as refusal:
        require_parameters(["quux"], {"plain": plain})
    assert str(refusal.value) == "--set quux: none of plain has a parameter 'quux'; plain has stride"


def test_a_value_that_is_not_a_choice_is_refused_with_the_choices():
    extractor = ExtractorSpec(
        name="plain",
        make=object,
        params={"posterior": "mean"},
        param_choices={"posterior": ("mean", "sampled")},
    )
    method = MethodSpec(name="plain", extractor="plain")
    assert read_values("posterior", ["sampled"], extractor, method) == ["sampled"]
    with pytest.raises(UserError) as refusal:
        read_values("posterior", ["sampled", "bogus"], extractor, method)
    assert str(refusal.value) == "--set posterior: unknown value 'bogus'; known: mean, sampled"
