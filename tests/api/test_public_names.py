"""The public names of the package: all there, and light to import."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys

import pytest

import harness

FUNCTIONS = [name for name in harness.__all__ if inspect.isfunction(getattr(harness, name))]


def test_names_are_listed_for_completion():
    assert set(harness.__all__) <= set(dir(harness))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'runs'"):
        _ = harness.runs


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_described(name):
    function = getattr(harness, name)
    text = inspect.getdoc(function)
    described = text.partition("Args:")[2].partition("\nR")[0]
    for argument in inspect.signature(function).parameters:
        assert re.search(rf"^ +(\w+, )*{argument}[,:]", described, re.MULTILINE), argument


def test_the_package_is_light():
    code = "import harness, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "pandas", "numpy", "scipy", "pyarrow", "transformers", "matplotlib"}
    assert not heavy & set(json.loads(done.stdout))


def test_a_misspelt_method_is_told_before_anything_heavy_is_imported():
    code = (
        "import harness, sys, json\n"
        "try:\n"
        "    harness.run('positon')\n"
        "except harness.errors.UserError as error:\n"
        "    print(json.dumps([str(error), 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["unknown method 'positon'; did you mean position?", False]
