"""The work of a cell, which another process can do."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from support.commands import plugin_environment
from support.elsewhere import predict_pickled
from support.extractors import small_map

from harness.errors import UserError
from harness.plugins.loading import load_plugins
from harness.plugins.portable import load_spec, portable_spec
from harness.running.plan import plan
from harness.running.predict import predict
from harness.running.resolve import ResolvedCell, resolve_cell
from harness.running.resources import Resources, RunOptions
from harness.sweep import DatasetChoice, Sweep


def resolve(host, choice: DatasetChoice, out: Path, **sweep) -> ResolvedCell:
    (cell,) = plan(Sweep(datasets=(choice,), **sweep), host)
    return resolve_cell(Resources(host, RunOptions(data_root=out, out=out / "results", criteria=())), cell)


@pytest.fixture(scope="module")
def other_process():
    """A process that knows nothing of this one."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("dataset", ["folder", "shapes"])
@pytest.mark.parametrize("method", ["sd4match-cpm", "dift"])
def test_another_process_predicts_the_same_bytes(method, dataset, photos, tmp_path, other_process):
    choice = DatasetChoice("folder", photos) if dataset == "folder" else DatasetChoice("shapes")
    resolved = resolve(
        load_plugins(),
        choice,
        tmp_path,
        methods=(method,),
        localizers=("argmax", "kernel-softmax"),
        overrides={"ensemble": (1,)},
    )
    content = pickle.dumps(resolved)
    here = predict_pickled(content)
    assert len(here) == 4
    assert other_process.submit(predict_pickled, content).result() == here
    # Predicting writes nothing.
    assert not resolved.folder.exists()


def test_a_cell_pickles_as_what_it_was(photos, tmp_path):
    choice = DatasetChoice("folder", photos)
    resolved = resolve(load_plugins(), choice, tmp_path, methods=("sd4match-cpm",))
    copy = pickle.loads(pickle.dumps(resolved))
    assert copy.id == resolved.id
    assert copy.folder == resolved.folder
    assert copy.info() == resolved.info()
    assert copy.plugins == resolved.plugins
    assert copy.index.manifest == resolved.index.manifest
    for name, localizer in resolved.localizers.items():
        assert copy.localizers[name].fingerprint == localizer.fingerprint


PICKLING = """
import json, pickle, sys
from pathlib import Path
from harness.plugins.loading import load_plugins
from harness.plugins.portable import portable_spec
host = load_plugins()
if sys.argv[2] == "write":
    spec = portable_spec(host, host.prompts, sys.argv[3])
    assert "<lambda>" in repr(spec.spec.make)
    Path(sys.argv[1]).write_bytes(pickle.dumps(spec))
else:
    print(json.dumps(pickle.loads(Path(sys.argv[1]).read_bytes()).spec.name))
"""


def test_records_of_other_plugins_may_hold_lambdas(plugin_site, tmp_path):
    path = tmp_path / "spec.pickle"
    for mode in ("write", "read"):
        done = subprocess.run(
            [sys.executable, "-c", PICKLING, str(path), mode, "toy-shout"],
            env=plugin_environment(plugin_site),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == "toy-shout"


def test_a_plugin_that_is_not_installed_cannot_be_handed_over(with_extractor, photos, tmp_path):
    import harness.cli

    with_extractor()
    host = harness.cli.load_plugins()
    resolved = resolve(host, DatasetChoice("folder", photos), tmp_path, methods=("mine",))
    with pytest.raises(
        UserError, match=r"plugin 'mine' .* is not installed, so another process cannot load 'mine'"
    ):
        pickle.dumps(resolved)


def test_a_plugin_with_other_code_is_refused():
    host = load_plugins()
    spec = portable_spec(host, host.extractors, "position")
    with pytest.raises(UserError, match="install the same version on both machines"):
        load_spec(spec.hook, "position", spec.plugin, "baselines (correspondence-bench 0.0.1)")


def test_predictions_are_handed_over_where_the_work_is_interrupted(
    with_extractor, photos, tmp_path, whole_batches
):
    import harness.cli

    calls = []

    def extract(requests):
        calls.append(len(requests))
        if len(calls) > 1:
            raise KeyboardInterrupt
        return [small_map(request) for request in requests]

    with_extractor(extract)
    options = RunOptions(data_root=tmp_path, out=tmp_path, criteria=(), batch_size=2)
    host = harness.cli.load_plugins()
    (cell,) = plan(Sweep(datasets=(DatasetChoice("folder", photos),), methods=("mine",)), host)
    resolved = resolve_cell(Resources(host, options), cell)
    handed_over = []
    wanted = {pair_id: list(resolved.localizers) for pair_id in resolved.index.pair_ids}
    with pytest.raises(KeyboardInterrupt):
        predict(resolved, wanted, handed_over.extend)
    assert [prediction.pair_id for prediction in handed_over] == [resolved.index.pair_ids[0]]
