"""What an object of a session is known by: its code and values, in every form that they have."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.api.object_content import content_of


def made(text: str, name: str = "thing", **names):
    """An object of code that has no file, as in a notebook."""
    module = types.ModuleType("__main__")
    module.__dict__.update(names)
    exec(compile(text, "<cell>", "exec"), module.__dict__)
    return module.__dict__[name]


def network(seed=0, **attributes):
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU())
    for key, value in attributes.items():
        setattr(net, key, value)
    return net


FUNCTION = "def thing(image):\n    return image + {0}\n"
HELPED = "def help(x):\n    return x + {0}\ndef thing(image):\n    return help(image)\n"
CLASS = "class Base:\n    size = {0}\nclass thing(Base):\n    def extract(self, _): return self.size\n"
CLOSURE = "def make(n):\n    return lambda image: image + n\nthing = make({0})\n"
WITH_GLOBAL = "SIZE = {0}\ndef thing(image):\n    return [image + SIZE for _ in image]\n"
DEFAULT = "def thing(image, n={0}):\n    return image + n\n"


@pytest.mark.parametrize("text", [FUNCTION, HELPED, CLASS, CLOSURE, WITH_GLOBAL, DEFAULT])
def test_another_code_is_another_content(text):
    assert content_of(made(text.format(1))) == content_of(made(text.format(1)))
    assert content_of(made(text.format(1))) != content_of(made(text.format(2)))
    assert not content_of(made(text.format(1))).unread


def test_comments_and_places_are_no_content():
    plain = made("def thing(x):\n    return x\n")
    commented = made("# A comment.\n\n\ndef thing(x):\n    # Another.\n    return x\n")
    assert content_of(plain) == content_of(commented)


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (torch.zeros(3), torch.zeros(3, 1)),
        (torch.zeros(3), torch.zeros(3, dtype=torch.float64)),
        (torch.tensor(0.0), torch.tensor(1.0)),
        (torch.zeros(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16)),
        (np.zeros(3), np.zeros(3, dtype=np.float32)),
        (np.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3).T),
        (network(), network(seed=1)),
        (network(), network().eval()),
        (network(), network(extra=3)),
        ((1, 2), [1, 2]),
        ((1, (2,)), ((1, 2),)),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (1, True),
        (None, "None"),
        (Path("a"), Path("b")),
        (torch.float32, torch.float64),
        (functools.partial(max, 1), functools.partial(max, 2)),
        (functools.partial(max, 1), functools.partial(min, 1)),
        (np.mean, np.sum),
        (torch.nn.ReLU, torch.nn.GELU),
        (types.SimpleNamespace(a=1), types.SimpleNamespace(a=2)),
    ],
)
def test_values_are_told_apart(value, other):
    assert content_of(value) != content_of(other)


def test_equal_values_have_one_content():
    assert content_of(network()) == content_of(network())
    assert content_of({"a", "b", "c"}) == content_of({"c", "b", "a"})
    assert content_of(np.arange(6).reshape(2, 3).T) == content_of(np.arange(6).reshape(2, 3).T.copy())


def test_what_refers_to_itself_is_read_once():
    loop = types.SimpleNamespace(name="a")
    loop.self = loop
    assert content_of(loop) == content_of(loop)
    assert not content_of(loop).unread


def test_what_cannot_be_read_is_told():
    content = content_of(types.SimpleNamespace(lock=threading.Lock(), items=(each for each in "ab")))
    assert content.unread == ("lock", "generator")


def test_what_is_nested_too_deeply_is_told():
    nested = []
    for _ in range(5_000):
        nested = [nested]
    assert content_of(nested).unread == ("what is nested too deeply",)


def test_a_module_of_the_user_is_read_as_a_file(tmp_path, monkeypatch):
    (tmp_path / "my_helpers.py").write_text("def double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_helpers", raising=False)
    text = "import my_helpers\ndef thing(x):\n    return my_helpers.double(x)\n"
    before = content_of(made(text))
    assert before == content_of(made(text))
    (tmp_path / "my_helpers.py").write_text("def double(x):\n    return 3 * x\n")
    assert content_of(made(text)) != before


def test_another_process_reads_the_same():
    code = (
        "from harness.api.object_content import content_of\n"
        "SIZES = {'a', 'b', 'c'}\n"
        "class Thing:\n"
        "    def __init__(self):\n"
        "        self.names = ['x', 'y']\n"
        "    def extract(self, requests):\n"
        "        return len(SIZES)\n"
        "print(content_of(Thing()).digest)"
    )
    digests = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1
