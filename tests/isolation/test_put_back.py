"""Whatever a plugin's code sets for the whole process is put back, and holds for that plugin alone."""

from __future__ import annotations

import builtins
import decimal
import gc
import importlib
import io
import locale
import logging
import multiprocessing
import os
import pickle
import random
import re
import resource
import signal
import socket
import sys
import tempfile
import threading
import types
import warnings
from pathlib import Path

import numpy as np
import numpy.random
import PIL.Image
import PIL.ImageFile
import pyarrow.parquet as pq
import pytest
import torch
from support.extractors import small_map
from support.results import the_record
from torch.nn.modules import module as module_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import harness.cli
from harness.errors import BenchError
from harness.hookspecs import hookimpl
from harness.isolation.guarded import GuardedFunction
from harness.isolation.settings import changes, read_values
from harness.plugins.host import Host
from harness.plugins.loading import load_plugins
from harness.plugins.version import plugin_version
from harness.specs import DatasetSpec, ExtractorSpec, LocalizerSpec, Located, MakeContext, PromptSpec


def doubled(module, inputs):
    """A hook on all modules that changes what they are given."""
    return tuple(2 * value for value in inputs)


class FunctionMode(TorchFunctionMode):
    """Fails at every call of torch."""

    def __torch_function__(self, function, types, arguments=(), options=None):
        raise RuntimeError("a mode of a plugin")


class DispatchMode(TorchDispatchMode):
    """Fails at every operation of torch."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        raise RuntimeError("a mode of a plugin")


def lower_core_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if soft == 0 else 0, hard))


CHANGES = {
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's default device": lambda: torch.set_default_device("meta"),
    "torch's float32 matmul precision": lambda: torch.set_float32_matmul_precision("medium"),
    "torch.backends.fp32_precision": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "torch.backends.cudnn.allow_tf32": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    "torch.backends.cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "torch.backends.mkldnn.enabled": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "torch's autocast on cpu": lambda: torch.autocast("cpu", dtype=torch.float16).__enter__(),
    "torch's flash_sdp": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "torch's math_sdp": lambda: torch.backends.cuda.enable_math_sdp(False),
    "torch's gradient mode": lambda: torch.set_grad_enabled(False),
    "torch's number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch's deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "torch's flushing of denormal numbers": lambda: torch.set_flush_denormal(True),
    "torch's detection of anomalies": lambda: torch.set_anomaly_enabled(True),
    "torch's random generator": lambda: torch.manual_seed(5),
    "numpy's random generator": lambda: np.random.seed(5),
    "Python's random generator": lambda: random.seed(5),
    "numpy's error state": lambda: np.seterr(all="raise"),
    "the working directory": lambda: os.chdir("/"),
    "environment variable OMP_NUM_THREADS": lambda: os.environ.update(OMP_NUM_THREADS="7"),
    "environment variable PATH": lambda: os.environ.pop("PATH"),
    "sys.path": lambda: sys.path.insert(0, "/nowhere"),
    "warning filters": lambda: warnings.simplefilter("error"),
    "the level of the root logger": lambda: logging.root.setLevel("DEBUG"),
    "PIL.Image.MAX_IMAGE_PIXELS": lambda: setattr(PIL.Image, "MAX_IMAGE_PIXELS", None),
    "PIL.ImageFile.LOAD_TRUNCATED_IMAGES": lambda: setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", True),
    "the decimal context": lambda: setattr(decimal.getcontext(), "prec", 3),
    "the locale": lambda: locale.setlocale(locale.LC_ALL, "C"),
    "the collection of garbage": gc.disable,
    "torch's hooks on all modules": lambda: module_hooks.register_module_forward_pre_hook(doubled),
    "torch's function modes": lambda: FunctionMode().__enter__(),
    "torch's dispatch modes": lambda: DispatchMode().__enter__(),
    "the umask": lambda: os.umask(0o777),
    "the limit RLIMIT_CORE": lower_core_limit,
    "the switch interval of threads": lambda: sys.setswitchinterval(0.5),
    "the recursion limit": lambda: sys.setrecursionlimit(5_000),
    "Python's built-in names": lambda: vars(builtins).update(print=len, a_new_name=1),
    "sys.setprofile": lambda: sys.setprofile(lambda *arguments: None),
    "threading.settrace": lambda: threading.settrace(lambda *arguments: None),
    "tempfile.tempdir": lambda: setattr(tempfile, "tempdir", "/nowhere"),
    "the timeout of sockets": lambda: socket.setdefaulttimeout(7),
    "the start method of processes": lambda: multiprocessing.set_start_method("spawn", force=True),
}
PUT_BACK_ONLY = {
    "the timer ITIMER_REAL": lambda: signal.setitimer(signal.ITIMER_REAL, 3_600),
    "the handler of SIGALRM": lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN),
    "torch's inference mode": lambda: torch.inference_mode().__enter__(),
    "the handler of SIGINT": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
}


def not_put_back(before):
    """Settings that are not as they were, but for those that pytest changes itself."""
    changed = changes(before, read_values())
    for label in ("environment variable PYTEST_CURRENT_TEST", "the handlers of the root logger"):
        changed.pop(label, None)
    return changed


@pytest.fixture
def before():
    """The settings before a plugin's code; a test that fails must not spoil the others."""
    if locale.setlocale(locale.LC_ALL) == "C":
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
    values = read_values()
    yield values
    assert not_put_back(values) == {}


def loaded(**functions):
    """A host with a plugin whose extractor `mine` calls functions in its `make` and its `extract`."""

    class Extractor:
        def __init__(self, context):
            functions.get("make", lambda: None)()

        def extract(self, requests):
            functions.get("extract", lambda: None)()
            return [small_map(request) for request in requests]

    module = types.ModuleType("mine")
    module.bench_extractors = hookimpl(lambda: [ExtractorSpec(name="mine", make=Extractor)])
    host = Host()
    host.load("mine", "mine", "1", lambda: module)
    assert host.plugins[0].status == "loaded", host.plugins[0].reason
    return host


@pytest.mark.parametrize("label", [*CHANGES, *PUT_BACK_ONLY])
def test_a_change_in_make_is_put_back(before, caplog, label):
    change = {**CHANGES, **PUT_BACK_ONLY}[label]
    seen = {}
    host = loaded(make=change, extract=lambda: seen.update(read_values()))
    extractor = host.extractors["mine"].make(MakeContext())
    assert not_put_back(before) == {}
    extractor.extract([])
    # For its own code it holds: its numbers are what they are without the harness.
    assert (label in changes(before, seen)) == (label in CHANGES)
    assert len(caplog.messages) <= 1


@pytest.mark.parametrize("label", [*CHANGES, *PUT_BACK_ONLY])
def test_a_change_while_an_error_flies_is_put_back(before, label):
    change = {**CHANGES, **PUT_BACK_ONLY}[label]

    def fail():
        change()
        raise KeyboardInterrupt

    extractor = loaded(extract=fail).extractors["mine"].make(MakeContext())
    with pytest.raises(KeyboardInterrupt):
        extractor.extract([])
    assert not_put_back(before) == {}


def test_a_change_is_told_once(before, caplog):
    def change():
        torch.set_default_dtype(torch.float64)
        os.chdir("/")

    host = loaded(make=change, extract=change)
    for _ in range(2):
        host.extractors["mine"].make(MakeContext()).extract([])
    assert caplog.messages == [
        "bench: plugin 'mine' set the working directory to / and torch's default dtype to float64; "
        "it holds for that plugin alone"
    ]


def test_objects_of_one_plugin_do_not_change_one_another(before):
    dtypes = []
    is_first = [True]

    def make():
        if is_first.pop() if is_first else False:
            torch.set_default_dtype(torch.float64)

    host = loaded(make=make, extract=lambda: dtypes.append(torch.get_default_dtype()))
    first, second = (host.extractors["mine"].make(MakeContext()) for _ in range(2))
    for extractor in (first, second, first):
        extractor.extract([])
    assert dtypes == [torch.float64, torch.float32, torch.float64]


def test_what_is_set_at_the_import_holds_for_all_objects(before):
    dtypes = []
    module = types.ModuleType("mine")

    class Extractor:
        def __init__(self, context):
            dtypes.append(torch.get_default_dtype())

    def load():
        torch.set_default_dtype(torch.float64)
        module.bench_extractors = hookimpl(lambda: [ExtractorSpec(name="mine", make=Extractor)])
        return module

    for importer in (load, lambda: module):
        # The second host of a process finds the module imported.
        host = Host()
        host.load("mine", "mine", "1", importer)
        assert not_put_back(before) == {}
        host.extractors["mine"].make(MakeContext())
    assert dtypes == [torch.float64, torch.float64]


def test_draws_do_not_depend_on_who_drew_before(before):
    drawn = []
    host = loaded(make=lambda: drawn.append(torch.rand(1).item()))
    torch.rand(3)
    host.extractors["mine"].make(MakeContext())
    torch.rand(5)
    host.extractors["mine"].make(MakeContext())
    torch.default_generator.set_state(
        torch.frombuffer(bytearray(before["torch's random generator"]), dtype=torch.uint8)
    )
    assert drawn[0] == drawn[1]


def test_prints_go_to_stderr(before, capfd):
    def speak():
        print("from Python")
        os.system("echo from a process")
        os.write(1, b"from C\n")
        print("another door", file=sys.__stdout__)
        sys.stdout = io.StringIO()

    host = loaded(make=speak)
    host.extractors["mine"].make(MakeContext())
    print("a result")
    out, err = capfd.readouterr()
    assert out == "a result\n"
    for line in ("from Python", "from a process", "from C"):
        assert line in err


def close_stream(name):
    getattr(sys, name).close()


CLOSES = {
    "stdout": lambda: close_stream("stdout"),
    "stderr": lambda: close_stream("stderr"),
    "stdin": lambda: close_stream("stdin"),
    "the first stdout": lambda: close_stream("__stdout__"),
    "bytes": lambda: [stream.buffer.close() for stream in (sys.stdout, sys.stderr)],
    "detached": lambda: sys.stdout.detach().close(),
    "with": lambda: sys.stdout.__exit__(None, None, None),
    "encoding": lambda: sys.stdout.reconfigure(encoding="ascii"),
    "descriptors": lambda: [os.close(number) for number in range(3)],
}


@pytest.mark.parametrize("kind", CLOSES)
def test_streams_that_a_plugin_closes_are_there_again(before, capfd, monkeypatch, kind):
    with Path(os.devnull).open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        streams = [sys.stdin, sys.stdout, sys.stderr]
        host = loaded(extract=CLOSES[kind])
        host.extractors["mine"].make(MakeContext()).extract([])
        assert [sys.stdin, sys.stdout, sys.stderr] == streams
        assert not any(stream.closed for stream in streams)
        assert stdin.read() == ""
    os.fstat(0)
    print("a résult")
    print("a mistäke", file=sys.stderr)
    os.write(2, b"from C\n")
    out, err = capfd.readouterr()
    assert out == "a résult\n"
    assert "a mistäke\n" in err
    assert "from C\n" in err


def test_a_device_that_was_entered_is_left(before, caplog):
    host = loaded(extract=lambda: torch.device("meta").__enter__())
    host.extractors["mine"].make(MakeContext()).extract([])
    assert torch.zeros(1).device.type == "cpu"
    assert caplog.messages == [
        "bench: plugin 'mine' set torch's default device to meta; it holds for that plugin alone"
    ]


def test_hooks_of_a_plugin_hold_for_its_networks_alone(before, caplog):
    network = torch.nn.Identity()
    seen = []
    host = loaded(
        make=lambda: module_hooks.register_module_forward_pre_hook(doubled),
        extract=lambda: seen.append(network(torch.ones(1)).item()),
    )
    extractor = host.extractors["mine"].make(MakeContext())
    assert network(torch.ones(1)).item() == 1
    for _ in range(2):
        extractor.extract([])
    assert seen == [2, 2]
    assert caplog.messages == [
        "bench: plugin 'mine' set torch's hooks on all modules; it holds for that plugin alone"
    ]


def test_every_kind_of_plugin_is_behind_the_guard(before):
    def change(*arguments, **options):
        torch.set_default_dtype(torch.float64)
        os.chdir("/")

    class Made:
        pair_ids = ("one",)

        def __init__(self, *arguments):
            change()

        def __call__(self, *arguments):
            change()
            return "a word"

        def __len__(self):
            change()
            return 1

        def __getitem__(self, number):
            change()
            return None

    module = types.ModuleType("mine")
    module.bench_prompts = hookimpl(lambda: change() or [PromptSpec(name="p", kind="text", make=Made)])
    module.bench_localizers = hookimpl(lambda: [LocalizerSpec(name="l", make=Made)])
    module.bench_datasets = hookimpl(lambda: [DatasetSpec(name="d", open=Made)])
    module.bench_extractors = hookimpl(
        lambda: [ExtractorSpec(name="e", make=Made, image_size=lambda weights: change() or (4, 4))]
    )
    module.bench_run_finished = hookimpl(lambda records: change())
    host = Host()
    host.load("mine", "mine", "1", lambda: module)
    assert host.plugins[0].status == "loaded", host.plugins[0].reason
    steps = [
        lambda: host.prompts["p"].make(MakeContext())("cat", ()),
        lambda: host.localizers["l"].make()(None, None, None),
        lambda: host.extractors["e"].fed({}),
        lambda: host.datasets["d"].open(None, "test").pair_ids,
        lambda: len(host.datasets["d"].open(None, "test")),
        lambda: host.datasets["d"].open(None, "test")[0],
        lambda: host.manager.hook.bench_run_finished(records=[]),
    ]
    for step in steps:
        step()
        assert not_put_back(before) == {}


@pytest.mark.parametrize("method", ["position", "hog", "dinov2"])
def test_the_numbers_of_others_are_the_same_to_the_byte(
    bench, with_extractor, photos, tmp_path, monkeypatch, method
):
    def spoil(requests):
        CHANGES["torch's default dtype"]()
        CHANGES["torch's autocast on cpu"]()
        CHANGES["torch.backends.mkldnn.enabled"]()
        CHANGES["torch's number of threads"]()
        CHANGES["the working directory"]()
        CHANGES["torch's random generator"]()
        return [small_map(request) for request in requests]

    with_extractor(spoil)
    monkeypatch.chdir(tmp_path)
    files = []
    for number, methods in enumerate((method, f"mine,{method}")):
        # Below the working directory, where the results must stay.
        out = Path(f"results{number}")
        options = ("--datasets", f"folder={photos}", "--limit", 3, "--out", out)
        assert bench("run", "--methods", methods, *options).status == 0
        (path,) = (tmp_path / out).glob(f"*-{method}.*/predictions.parquet")
        files.append(path.read_bytes())
    assert files[0] == files[1]


def rows_of(results):
    """Predictions of the only cell of a results folder, without the name of the cell."""
    (path,) = results.glob("*/predictions.parquet")
    return pq.read_table(path).to_pylist()


def test_a_localizer_that_writes_into_its_maps_changes_no_other(bench, monkeypatch, photos, tmp_path):
    class Wipes:
        def __call__(self, source, target, points):
            for tensor in (source.data, target.data, points):
                tensor.zero_()
            return Located(points, torch.zeros(len(points)))

    module = types.ModuleType("mine")
    module.bench_localizers = hookimpl(lambda: [LocalizerSpec(name="wipes", make=Wipes)])

    def load(blocked=()):
        host = load_plugins(blocked, points=[])
        host.load("mine", "mine", "1", lambda: module)
        return host

    monkeypatch.setattr(harness.cli, "load_plugins", load)
    rows = {}
    for localizers in ("argmax", "wipes,argmax"):
        out = tmp_path / localizers
        done = bench(
            "run",
            "--methods",
            "hog",
            "--datasets",
            f"folder={photos}",
            "--out",
            out,
            "--localizers",
            localizers,
        )
        assert done.status == 0, done.err
        rows[localizers] = [row for row in rows_of(out) if row["localizer"] == "argmax"]
    assert rows["argmax"] == rows["wipes,argmax"]


@pytest.mark.parametrize("spoils", ["shrinks", "paints"])
def test_a_picture_that_is_changed_in_place(bench, with_extractor, photos, tmp_path, spoils):
    def extract(requests):
        for request in requests:
            if spoils == "shrinks":
                request.image.thumbnail((20, 20))
            else:
                request.image.paste((0, 0, 0), (0, 0, 30, 48))
        return [small_map(request) for request in requests]

    def extract_from_copies(requests):
        maps = []
        for request in requests:
            image = request.image.copy()
            if spoils == "shrinks":
                image.thumbnail((20, 20))
            else:
                image.paste((0, 0, 0), (0, 0, 30, 48))
            maps.append(small_map(types.SimpleNamespace(image=image, size=request.size)))
        return maps

    tables = []
    for number, function in enumerate((extract, extract_from_copies)):
        with_extractor(function)
        out = tmp_path / str(number)
        done = bench("run", "--methods", "mine", "--datasets", f"folder={photos}", "--out", out)
        assert done.status == 0, done.err
        tables.append(rows_of(out))
    assert tables[0] == tables[1]


def test_maps_that_are_written_to_after_they_were_handed_over(bench, with_extractor, photos, tmp_path):
    buffer = torch.zeros(8, 3, 6, 6)

    def extract_apart(requests):
        maps = []
        for request in requests:
            feature_map = small_map(request)
            maps.append(type(feature_map)(feature_map.data.contiguous(), feature_map.frame))
        return maps

    def extract(requests):
        maps = []
        for row, request in zip(buffer, requests, strict=False):
            feature_map = small_map(request)
            row.copy_(feature_map.data)
            maps.append(type(feature_map)(row, feature_map.frame))
        return maps

    tables = []
    for number, function in enumerate((extract, extract_apart)):
        with_extractor(function)
        out = tmp_path / str(number)
        # Two batches into one buffer.
        run = ("run", "--methods", "mine", "--datasets", f"folder={photos}", "--batch-size", 2, "--out", out)
        assert bench(*run).status == 0
        tables.append(rows_of(out))
    assert tables[0] == tables[1]


def test_a_plugin_that_ends_the_process_fails_instead(before):
    host = loaded(make=lambda: sys.exit(0))
    with pytest.raises(BenchError, match=r"plugin 'mine' ends the process \(sys.exit\(0\) at test_put_back"):
        host.extractors["mine"].make(MakeContext())


def test_a_function_that_travels_takes_its_settings_along(before):
    host = loaded(make=lambda: torch.set_default_dtype(torch.float64))
    extractor = host.extractors["mine"].make(MakeContext())
    dtype = pickle.loads(pickle.dumps(GuardedFunction(extractor.owner, torch.get_default_dtype)))
    assert (dtype(), torch.get_default_dtype()) == (torch.float64, torch.float32)


def test_an_extractor_that_fails_on_a_batch_alone_is_told_once(
    bench, with_extractor, photos, tmp_path, caplog
):
    def extract(requests):
        if len(requests) > 1:
            raise KeyError("one at a time")
        return [small_map(request) for request in requests]

    with_extractor(extract)
    run = ("run", "--methods", "mine", "--datasets", f"folder={photos}", "--batch-size", 2, "--out", tmp_path)
    assert bench(*run).status == 0
    assert len(caplog.messages) == 1
    assert re.search(
        r"raised on 2 images at once and succeeded with one at a time: KeyError: 'one at a time' "
        r"\(plugin 'mine', test_put_back.py:\d+\)",
        caplog.messages[0],
    )


def test_the_traceback_of_a_plugin_is_in_the_record(bench, with_extractor, photos, tmp_path):
    def extract(requests):
        if any(request.image.getpixel((0, 0)) == first for request in requests):
            raise KeyError("missing-key")
        return [small_map(request) for request in requests]

    with PIL.Image.open(photos / "photo1.png") as picture:
        first = picture.convert("RGB").getpixel((0, 0))
    with_extractor(extract)
    run = ("run", "--methods", "mine", "--datasets", f"folder={photos}", "--out", tmp_path)
    done = bench(*run)
    assert done.status == 1
    assert "Traceback" not in done.err
    ((key, traceback),) = the_record(tmp_path)["tracebacks"].items()
    assert re.fullmatch(r"KeyError, test_put_back.py:\d+", key)
    assert 'raise KeyError("missing-key")' in traceback
    place = key.removeprefix("KeyError, ")
    assert f"KeyError: 'missing-key' (plugin 'mine', {place})" in done.err
    assert 'raise KeyError("missing-key")' in bench(*run, "--debug").err


def test_modules_in_a_folder_that_a_plugin_searches_belong_to_its_code(before, tmp_path, monkeypatch):
    searched, site = tmp_path / "searched", tmp_path / "site"
    for folder in (searched, site):
        folder.mkdir()
    # Not a call that can be read off the source.
    (site / "bench_searching.py").write_text(
        "import os, sys\n"
        "getattr(sys, 'pa' + 'th').insert(0, os.environ['SEARCHED'])\n"
        "from harness import hookimpl\n"
        "from harness.specs import ExtractorSpec\n"
        "def make(context):\n"
        "    import searched_helper\n"
        "@hookimpl\n"
        "def bench_extractors():\n"
        "    return [ExtractorSpec(name='searching', make=make)]\n"
    )
    monkeypatch.setenv("SEARCHED", str(searched))
    monkeypatch.syspath_prepend(site)
    versions = set()
    for value in (1, 2):
        (searched / "searched_helper.py").write_text(f"VALUE = {value}\n")
        host = Host()
        host.load("searching", "searching", "1", lambda: importlib.import_module("bench_searching"))
        assert host.plugins[0].status == "loaded", host.plugins[0].reason
        assert str(searched) not in sys.path
        versions.add(plugin_version(host, host.extractors, "searching"))
        host.extractors["searching"].make(MakeContext())
    assert len(versions) == 2
    for name in ("bench_searching", "searched_helper"):
        sys.modules.pop(name, None)
    monkeypatch.undo()
