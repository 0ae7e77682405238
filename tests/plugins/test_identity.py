"""The version of a plugin's code: everything that its numbers follow from, and nothing else."""

from __future__ import annotations

import importlib
import os
import sys
import types
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import harness
from harness.plugins.closure import code_of
from harness.plugins.code_files import package_files
from harness.plugins.host import Host
from harness.plugins.loading import load_plugins
from harness.plugins.python_source import read_source
from harness.plugins.version import engine_version, plugin_version
from harness.specs import MakeContext

HOOKS = """
from harness import hookimpl
from harness.specs import ExtractorSpec
{imports}

class Mine:
    def __init__(self, context):
        {body}

@hookimpl
def bench_extractors():
    return [ExtractorSpec(name="mine", make=Mine)]
"""


def hooks(imports="", body="pass"):
    return HOOKS.format(imports=imports, body=body)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of the search path; what is imported from it is forgotten after the test."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(place, files):
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def version(source="bench_mine", distribution="bench-mine"):
    host = Host()
    host.load("mine", distribution, "0.1", EntryPoint("mine", source, "bench").load, source)
    assert host.plugins[0].status == "loaded", host.plugins[0].reason
    return plugin_version(host, host.extractors, "mine")


def changes(place, edits, source="bench_mine", distribution="bench-mine"):
    """Whether an edit of files changes the version."""
    before = version(source, distribution)
    assert ", code " in before
    assert version(source, distribution) == before
    write(place, edits)
    return version(source, distribution) != before


def install(place, name, files, top_level=""):
    """The description that pip leaves beside the modules of a distribution."""
    info = f"{name.replace('-', '_')}-0.1.dist-info"
    record = "\n".join(f"{file},," for file in (*files, f"{info}/METADATA", f"{info}/RECORD"))
    write(
        place,
        {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n",
            f"{info}/RECORD": record,
            f"{info}/top_level.txt": top_level,
        },
    )
    importlib.invalidate_caches()


MODEL = "def net(f): return f\n"

OTHER = "def net(f): return 0 * f\n"


@pytest.mark.parametrize(
    ("imports", "body"),
    [
        ("import my_model", "pass"),
        ("from my_model import net", "pass"),
        ("", "import my_model"),
        ("", "from importlib import import_module; import_module('my_model').net"),
        ("", "__import__('my_model')"),
        ("", "from importlib import import_module as load; load('my_model')"),
        ("", "import importlib; importlib.import_module(name='my_' + 'model')"),
        ("import importlib\nNAME = 'model'", "importlib.import_module(f'my_{NAME}')"),
        ("", "import importlib; importlib.import_module('_'.join(['my', 'model']))"),
        ("", "import pkgutil; pkgutil.resolve_name('my_model:net')"),
        (
            "import importlib\nnet = getattr(importlib.import_module('_'.join(['my', 'model'])), 'net')",
            "pass",
        ),
        ("try:\n    import my_model\nexcept ImportError:\n    my_model = None", "pass"),
    ],
)
def test_code_that_a_plugin_imports(place, imports, body):
    write(place, {"bench_mine.py": hooks(imports, body), "my_model.py": MODEL})
    assert changes(place, {"my_model.py": OTHER})


def test_code_that_imported_code_imports(place):
    package = {
        "lab/__init__.py": "",
        "lab/nets/__init__.py": "from . import heads\nfrom ..tools import scale",
        "lab/nets/heads.py": "def make():\n    from lab.nets.deep import layer",
        "lab/nets/deep.py": "layer = 1",
        "lab/tools.py": "scale = 1",
        "lab/unused.py": "x = 1",
    }
    write(place, {"bench_mine.py": hooks("import lab.nets"), **package})
    assert changes(place, {"lab/nets/deep.py": "layer = 2"})
    assert changes(place, {"lab/tools.py": "scale = 2"})
    assert changes(place, {"lab/__init__.py": "import os"})
    assert not changes(place, {"lab/unused.py": "x = 2"})


def test_submodules_whose_names_are_made_up(place):
    files = {"lab/__init__.py": "", "lab/net_small.py": "x = 1", "lab/net_large.py": "x = 1"}
    body = "import importlib; importlib.import_module(f'lab.net_{context.params}')"
    write(place, {"bench_mine.py": hooks(body=body), **files})
    assert changes(place, {"lab/net_large.py": "x = 2"})


def test_the_maker_may_be_defined_elsewhere(place, monkeypatch):
    module = types.ModuleType("notebook")
    write(
        place,
        {"factory.py": "from lab_net import net\n\ndef make(context): return net", "lab_net.py": "net = 1"},
    )
    factory = importlib.import_module("factory")
    spec = harness.specs.ExtractorSpec(name="mine", make=partial(factory.make))
    module.bench_extractors = harness.hookimpl(lambda: [spec])

    def describe():
        host = Host()
        host.load("mine", "d", "1", lambda: module)
        return plugin_version(host, host.extractors, "mine")

    first = describe()
    write(place, {"lab_net.py": "net = 2"})
    assert describe() != first


def test_comments_and_formatting_are_no_change(place):
    model = 'def net(f, g = 1):\n    return f"{f!r:>{g}} {{}}" + "a" "b"\n'
    write(place, {"bench_mine.py": hooks("import my_model"), "my_model.py": model})
    same = (
        "# A comment.\n\n\ndef net(\n    f,\n    g=1,  # Another.\n):\n\n"
        "    return (f'{f!r:>{g}} {{}}' +\n        'ab')\n"
    )
    assert not changes(place, {"my_model.py": same})
    assert changes(place, {"my_model.py": same.replace("!r", "!s")})


def test_a_text_is_no_comment(place):
    write(place, {"bench_mine.py": hooks("import my_model"), "my_model.py": 'x = """\n# one\n\n"""'})
    assert changes(place, {"my_model.py": 'x = """\n# two\n\n"""'})
    assert changes(place, {"my_model.py": 'x = """\n# two\n"""'})


def test_imports_for_annotations_are_not_followed(place):
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import my_model"
    write(place, {"bench_mine.py": hooks(text), "my_model.py": MODEL})
    assert not changes(place, {"my_model.py": OTHER})


def test_every_module_of_an_installed_distribution(place):
    files = {"bench_mine.py": hooks(), "my_model.py": MODEL, "my_data/net.yaml": "depth: 1"}
    write(place, files)
    install(place, "bench-mine", files)
    assert changes(place, {"my_model.py": OTHER})
    assert changes(place, {"my_data/net.yaml": "depth: 2"})


def test_an_editable_install_has_the_same_version(place):
    files = {
        "bench_mine/__init__.py": hooks("import my_model"),
        "bench_mine/net.yaml": "1",
        "my_model.py": MODEL,
    }
    write(place, files)
    first = version()
    install(place, "bench-mine", files)
    assert version() == first


def test_another_installed_distribution_counts_by_its_version(place):
    files = {"lab_nets/__init__.py": "x = 1"}
    write(place, {"bench_mine.py": hooks("import lab_nets"), **files})
    install(place, "lab-nets", files, "lab_nets")
    from harness.plugins import module_files

    module_files._distributions.cache_clear()
    try:
        assert version().endswith("with lab-nets 0.1)")
        assert not changes(place, {"lab_nets/__init__.py": "x = 2"})
    finally:
        module_files._distributions.cache_clear()


def test_a_namespace_package(place):
    files = {"mylab/bench_mine.py": hooks("from mylab import net"), "mylab/net.py": "x = 1"}
    write(place, files)
    assert changes(
        place, {"mylab/bench_mine.py": hooks("from mylab import net", "x = 1")}, "mylab.bench_mine"
    )
    assert changes(place, {"mylab/net.py": "x = 2"}, "mylab.bench_mine")


def test_an_entry_point_that_names_an_object(place):
    text = "class Plugin:\n" + "\n".join(
        f"    {line}" for line in hooks().splitlines() if "import" not in line
    )
    text = "from harness import hookimpl\nfrom harness.specs import ExtractorSpec\n" + text
    text = text.replace("bench_extractors()", "bench_extractors(self)").replace(
        "make=Mine", "make=Plugin.Mine"
    )
    write(place, {"bench_mine.py": text + "\nplugin = Plugin()\n"})
    assert changes(place, {"bench_mine.py": text + "\nGAIN = 2\nplugin = Plugin()\n"}, "bench_mine:plugin")


def test_files_beside_the_code_of_a_package(place, tmp_path):
    write(place, {"bench_mine/__init__.py": hooks(), "bench_mine/conf/net.yaml": "depth: 1"})
    write(tmp_path, {"elsewhere/more.json": "1", "elsewhere/code.py": "x = 1"})
    (place / "bench_mine" / "linked").symlink_to(tmp_path / "elsewhere")
    (place / "bench_mine" / "linked" / "circle").symlink_to(place / "bench_mine")
    assert changes(place, {"bench_mine/conf/net.yaml": "depth: 2"})
    assert changes(tmp_path, {"elsewhere/more.json": "2"})
    assert changes(tmp_path, {"elsewhere/code.py": "x = 2"})
    assert not changes(place, {"bench_mine/.git/index": "x", "bench_mine/__pycache__/a.pyc": "y"})
    assert not changes(place, {"bench_mine/results/cell.0/record.json": "{}"})


def test_large_files_count_by_their_ends(place, monkeypatch):
    monkeypatch.setattr("harness.plugins.code_files.WHOLE_BYTES", 10)
    monkeypatch.setattr("harness.plugins.code_files._END_BYTES", 4)
    write(place, {"bench_mine/__init__.py": hooks(), "bench_mine/net.bin": "0123456789abc"})
    assert changes(place, {"bench_mine/net.bin": "0123456789abd"})
    assert changes(place, {"bench_mine/net.bin": "0123456789abde"})


@pytest.mark.parametrize("body", ["open('my.pt')", "open(context.folder / 'my.pt')"])
def test_weights_that_code_names(place, tmp_path, body):
    write(place, {"bench_mine.py": hooks(body=body)})
    write(tmp_path, {"my.pt": "1"})
    assert changes(tmp_path, {"my.pt": "2"})


def test_configuration_that_a_single_module_names(place):
    write(place, {"bench_mine.py": hooks(body="open('net.yaml')"), "net.yaml": "1", "other.yaml": "1"})
    assert changes(place, {"net.yaml": "2"})
    assert not changes(place, {"other.yaml": "2"})


def test_a_file_of_any_kind_beside_a_single_module(place):
    write(place, {"bench_mine.py": hooks(body="open('net.csv')"), "net.csv": "1", "other.csv": "1"})
    assert changes(place, {"net.csv": "2"})
    assert not changes(place, {"other.csv": "2"})


def test_the_version_does_not_depend_on_the_place(place, tmp_path, monkeypatch):
    files = {
        "bench_mine/__init__.py": hooks("import my_model"),
        "bench_mine/net.yaml": "1",
        "my_model.py": MODEL,
    }
    write(place, files)
    first = version()
    for name in ("bench_mine", "my_model"):
        del sys.modules[name]
    write(tmp_path / "other", files)
    monkeypatch.syspath_prepend(str(tmp_path / "other"))
    assert version() == first


def test_of_ours_each_spec_has_the_code_behind_it():
    host = load_plugins(points=[])
    assert plugin_version(host, host.extractors, "position") != plugin_version(host, host.extractors, "hog")
    code = code_of(["baselines.methods.position"])
    assert {"baselines.methods.position", "harness.frames", "harness.specs.extractors"} <= set(code.digests)
    assert not [name for name in code.digests if name.startswith(("harness.tables", "harness.matching"))]
    assert "harness.localizers.on_grid" in code_of(["harness.localizers.on_grid"]).digests
    assert ", code " in plugin_version(host, host.localizers, "argmax")
    assert ", code " in engine_version()


def test_an_edit_of_a_built_in_method_makes_another_version(tmp_path, monkeypatch):
    """As in an edited clone."""
    before = code_of(["baselines.methods.position"]).digest
    original = read_source

    def edited(path):
        source = original(path)
        if path.name == "position.py":
            return type(source)("edited", source.imports, source.texts)
        return source

    monkeypatch.setattr("harness.plugins.code_files.read_source", edited)
    assert code_of(["baselines.methods.position"]).digest != before
    assert code_of(["baselines.methods.hog"]).digest == code_of(["baselines.methods.hog"]).digest


def test_listing_reads_no_code(bench, monkeypatch):
    def fail(*arguments):
        raise AssertionError("code was read")

    monkeypatch.setattr("harness.plugins.closure.read_source", fail)
    monkeypatch.setattr("harness.plugins.code_files.read_source", fail)
    assert bench("list", "methods").status == bench("plugins").status == 0


def test_deep_and_odd_source(tmp_path):
    deep = tmp_path / "deep.py"
    deep.write_text(
        "x = " + " + ".join(["1"] * 3000) + f"\ny = 0x{'9' * 5000}\nz = [None, ..., 1j, b'a', -0.0]\n"
    )
    assert len(read_source(deep).digest) == 64
    template = tmp_path / "template.py"
    template.write_text("class {{ name }}:\n")
    first = read_source(template).digest
    template.write_text("class {{ other }}:\n")
    assert read_source(template).digest != first


def test_a_pipe_in_a_package_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.py").write_text("")
    assert [name for name, _ in package_files(tmp_path)] == ["a.py"]


@pytest.mark.parametrize(
    ("top", "body"),
    [
        ("import sys", "sys.path.insert(0, '{tmp}/repo'); import their_model"),
        (
            "import sys, os",
            "sys.path.append(os.path.join(os.path.dirname(__file__), '..', 'repo')); import their_model",
        ),
        (
            "import sys\nfrom pathlib import Path\nROOT = Path(__file__).resolve().parents[1]\n",
            "sys.path.append(str(ROOT / 'repo')); from their_model import net",
        ),
        ("import sys\nREPO: str = '{tmp}/repo'", "sys.path += [REPO]; import their_model"),
        ("import sys", "sys.path = ['{tmp}/repo'] + sys.path; import their_model"),
        ("import sys", "sys.path[:0] = ['{tmp}/repo']; import their_model"),
        ("from sys import path", "path.insert(0, '{tmp}/repo'); import their_model"),
        ("import sys, os", "sys.path.extend([os.environ['THEIR_REPO'], f'{tmp}/none']); import their_model"),
        (
            "import sys, os\nHERE = os.getenv('NONE', '{tmp}') + '/repo'",
            "sys.path.insert(0, HERE); import their_model",
        ),
    ],
)
def test_code_in_a_folder_that_a_plugin_adds_to_the_search_path(place, tmp_path, monkeypatch, top, body):
    monkeypatch.setenv("THEIR_REPO", str(tmp_path / "repo"))
    write(tmp_path, {"repo/their_model.py": "import their_layers", "repo/their_layers.py": "x = 1"})
    write(
        place,
        {"bench_mine.py": hooks(top.replace("{tmp}", str(tmp_path)), body.replace("{tmp}", str(tmp_path)))},
    )
    assert changes(tmp_path, {"repo/their_layers.py": "x = 2"})


def test_search_folders_that_cannot_be_told(place):
    write(
        place,
        {
            "bench_mine.py": hooks(
                "import sys\nA = B = 1\nif A == 2:\n    C = D\n    D = C",
                "sys.path.append(C); sys.path.append(A())",
            )
        },
    )
    assert ", code " in version()


def load(source="bench_mine"):
    host = Host()
    host.load("mine", "bench-mine", "0.1", EntryPoint("mine", source, "bench").load, source)
    assert host.plugins[0].status == "loaded", host.plugins[0].reason
    return host


def warnings_of(caplog, host=None):
    """Names of the files that making the method, twice, warns of."""
    host = host or load()
    plugin_version(host, host.extractors, "mine")
    for _ in range(2):
        host.extractors["mine"].make(MakeContext())
    lines = [
        record.getMessage()
        for record in caplog.records
        if "no part of its cells' identity" in record.getMessage()
    ]
    return [Path(line.partition(" read ")[2].partition(", which")[0]).name for line in lines]


@pytest.mark.parametrize(
    ("imports", "body"),
    [
        ("", "import builtins; exec('import my_mod' + chr(101) + 'l')"),
        ("import importlib\nnet = importlib.import_module('ledom_ym'[::-1])", "pass"),
        ("", "with open('my_mod' + 'el.py'.lower()) as file: file.read()"),
        ("", "import pathlib; (pathlib.Path(__file__).parent / 'MY_MODEL.PY'.lower()).read_text()"),
    ],
)
def test_a_file_that_no_reading_of_source_finds_is_told(place, tmp_path, monkeypatch, caplog, imports, body):
    monkeypatch.chdir(place)
    write(place, {"bench_mine.py": hooks(imports, body), "my_model.py": MODEL})
    host = load()
    # As in the next run, where nothing remembers how the plugin was loaded.
    host.references.clear()
    assert warnings_of(caplog, host) == ["my_model.py"]


def test_files_that_are_known_are_not_told(place, tmp_path, caplog):
    body = """import json, tempfile, my_model, colorsys
        from pathlib import Path
        for place in (__file__, '/proc/self/status', '{tmp}/named.txt', '{tmp}/lab/' + 'net.YAML'.lower()):
            Path(place).read_bytes()
        Path('{tmp}', 'kept.TXT'.lower()).write_text('')
        Path('{tmp}', 'kept.TXT'.lower()).read_text()
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).read_bytes()"""
    text = hooks(body=body.replace("{tmp}", str(tmp_path))).replace(
        "make=Mine", f"make=Mine, files=lambda params: ['{tmp_path}/named.txt', '{tmp_path}/lab']"
    )
    write(place, {"bench_mine.py": text, "my_model.py": MODEL})
    write(tmp_path, {"named.txt": "1", "lab/net.yaml": "1"})
    assert warnings_of(caplog) == []
