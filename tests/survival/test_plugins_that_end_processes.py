"""A plugin that ends, copies or blocks its process on one picture of ten costs that picture's pairs alone."""

from __future__ import annotations

import subprocess

import pytest
from support.commands import command, plugin_environment
from support.hanging import CULPRIT, MODE, hanging_pairs, install, rows
from support.photos import make_photos
from support.results import the_record
from support.warm_bench import orphans_of

from harness.datasets.images import ImageFile


@pytest.fixture(scope="module")
def photos(start):
    """Ten pictures and their ninety pairs."""
    return make_photos(start / "photos", images=10)


@pytest.fixture(scope="module")
def site(start):
    """The folder of a plugin that does on one picture what an environment variable says."""
    return install(start / "site")


@pytest.fixture(scope="module")
def run(photos, site, start):
    """Runs the plugin on the pictures: mode, results folder, further options -> status and stderr."""

    def run_with(mode, out, *options):
        culprit = ImageFile("photo1.png", photos / "photo1.png").identity()
        process = subprocess.Popen(
            command(
                *("run", "--methods", "hanging", "--datasets", f"folder={photos}", "--batch-size", 4),
                *("--out", out, *options),
            ),
            env=plugin_environment(site, **{MODE: mode, CULPRIT: culprit}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        output, errors = process.communicate()
        assert not orphans_of(process.pid)
        return process.returncode, output, errors

    return run_with


@pytest.fixture(scope="module")
def undisturbed(run, start):
    """The predictions of a plugin that does nothing wrong."""
    status, _, err = run("", start / "undisturbed")
    assert status == 0, err
    return rows(start / "undisturbed")


@pytest.mark.parametrize(
    ("mode", "limit", "error"),
    [
        ("sleeps", 2, "no result after 2 s (--timeout)"),
        ("hangs in C", 2, "no result after 2 s (--timeout)"),
        ("crashes", 600, "3 workers died over it (the last: its process was killed by SIGSEGV)"),
        ("exits", 600, "3 workers died over it (the last: its process ended with status 0)"),
    ],
)
def test_the_other_pairs_are_as_without_it(run, undisturbed, photos, tmp_path, mode, limit, error):
    status, out, err = run(mode, tmp_path, "--timeout", limit)
    assert status == 1, err
    assert "| hanging" in out
    failures = {failure["pair_id"]: failure["error"] for failure in the_record(tmp_path)["failures"]}
    assert failures == dict.fromkeys(hanging_pairs(photos), error)
    assert rows(tmp_path) == {key: row for key, row in undisturbed.items() if key[0] not in failures}


def test_a_copy_of_the_process_ends_when_the_call_returns(run, undisturbed, tmp_path):
    status, out, err = run("forks", tmp_path)
    assert status == 0, err
    assert out.count("| hanging") == 1
    assert err.count("copied the process (os.fork)") == 1
    assert rows(tmp_path) == undisturbed


def test_without_a_limit_a_plugin_that_leaves_costs_the_shard_in_hand(run, undisturbed, photos, tmp_path):
    """Nothing in a process survives `os._exit`; what was stored does, and another run goes on from there."""
    status, _, _ = run("exits", tmp_path)
    assert status == 0
    status, _, err = run("", tmp_path)
    assert status == 0, err
    assert rows(tmp_path) == undisturbed
