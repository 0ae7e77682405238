"""`bench run --timeout`: a call that hangs fails its pairs by name, and all else is as if it did not."""

from __future__ import annotations

import signal
import sys
import threading
import time

import pytest
from support.hanging import CULPRIT, MODE, hanging_pairs, install, rows
from support.results import the_record

from harness.datasets.images import ImageFile
from harness.errors import ExtractionError, UserError
from harness.isolation.guard import running_code_of
from harness.isolation.owner import Owner
from harness.isolation.time_limit import CallLimit


@pytest.fixture
def hanging_bench(bench_with, tmp_path):
    """`bench ...` with a plugin that is really installed, and hangs on one picture if it is told to."""
    yield bench_with(install(tmp_path / "site"))
    sys.modules.pop("bench_hanging", None)


def test_a_call_that_sleeps_for_ever_fails_its_pairs_alone(hanging_bench, photos, tmp_path, monkeypatch):
    run = ("run", "--methods", "hanging", "--datasets", f"folder={photos}")
    undisturbed = hanging_bench(*run, "--out", tmp_path / "undisturbed")
    assert undisturbed.status == 0, undisturbed.err
    monkeypatch.setenv(MODE, "sleeps")
    monkeypatch.setenv(CULPRIT, ImageFile("photo1.png", photos / "photo1.png").identity())
    done = hanging_bench(*run, "--timeout", 1, "--out", tmp_path / "hanging")
    assert done.status == 1
    assert "no result after 1 s (--timeout)" in done.complaint
    failures = {
        failure["pair_id"]: failure["error"] for failure in the_record(tmp_path / "hanging")["failures"]
    }
    assert failures == dict.fromkeys(hanging_pairs(photos), "no result after 1 s (--timeout)")
    expected = rows(tmp_path / "undisturbed")
    assert rows(tmp_path / "hanging") == {key: row for key, row in expected.items() if key[0] not in failures}


def test_no_except_of_the_code_keeps_it_going():
    def stubborn():
        while True:
            try:
                time.sleep(60)
            except Exception:  # noqa: BLE001 - as code of others has it
                continue

    with (
        pytest.raises(ExtractionError, match=r"^no result after 0.05 s \(--timeout\)$"),
        CallLimit(0.05).call(),
    ):
        stubborn()


def test_settings_are_put_back_and_the_timer_of_others_goes_on():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(ExtractionError), CallLimit(0.05).call(), running_code_of(Owner("mine")):
            signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGALRM))
            time.sleep(60)
        deadline = time.monotonic() + 60
        while not rung:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_call_within_another_has_its_own_time():
    with pytest.raises(ExtractionError, match="after 60 s"), CallLimit(60).call():
        with pytest.raises(ExtractionError, match=r"after 0.05 s"), CallLimit(0.05).call():
            time.sleep(60)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 30
        raise ExtractionError("after 60 s")
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_alarm_waits_while_settings_are_put_back(monkeypatch):
    """An interruption in the guard's own work would leave the process with a plugin's settings."""
    import harness.isolation.guard as guard

    slow = guard.read_values

    def read_slowly():
        time.sleep(0.2)
        return slow()

    # As a function of the guard's own room.
    read_slowly.__code__ = read_slowly.__code__.replace(co_filename=guard.__file__)
    with pytest.raises(ExtractionError), CallLimit(0.1).call():
        monkeypatch.setattr(guard, "read_values", read_slowly)
        with running_code_of(Owner("mine")):
            time.sleep(60)
    assert not guard._visits


def test_another_thread_has_no_limit():
    ends = []

    def work():
        with CallLimit(0.01).call():
            time.sleep(0.1)
        ends.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ends


@pytest.mark.parametrize("value", ["0", "-3", "nan", "inf", "soon", "1e300"])
def test_a_timeout_is_a_number_of_seconds(bench, value, tmp_path):
    done = bench("run", "--methods", "position", "--timeout", value, "--out", tmp_path / "r")
    assert done.status == 2
    assert "--timeout" in done.complaint
    assert not (tmp_path / "r").exists()
    with pytest.raises(UserError, match="timeout="):
        harness_run("position", timeout=float(value) if value != "soon" else value, out=tmp_path / "r")


def harness_run(*arguments, **options):
    import harness

    return harness.run(*arguments, **options)
