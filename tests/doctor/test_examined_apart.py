"""`bench doctor NAME` examines in a process of its own: what a plugin does to it is a finding."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.extractors import small_map

CHECK = "feature maps are (C, h, w), finite, of the request's image"


def hang(requests):
    while True:
        time.sleep(60)


def crash(requests):
    ctypes.string_at(0)


def leave(requests):
    os._exit(0)


def run_out_of_memory(requests):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("extract", "detail"),
    [
        (hang, "no result after 3 s (--time-limit)"),
        (crash, "the process was killed by SIGSEGV (a fault in C code)"),
        (leave, "it ended the process with exit status 0 (os._exit, or the like)"),
        (run_out_of_memory, "the process was killed by SIGKILL (for want of memory, perhaps)"),
    ],
)
def test_the_check_that_ends_the_process_is_named(with_extractor, bench, extract, detail):
    with_extractor(extract)
    limit = ("--time-limit", 3) if extract is hang else ()
    done = bench("doctor", "mine", "--json", *limit)
    assert done.status == 1
    *others, last = json.loads(done.out)
    assert last["check"] == CHECK
    assert last["detail"] == f"{detail}; the checks after it were not made"
    assert (others[-1]["check"], others[-1]["result"]) == ("the extractor can be made", "ok")


def test_what_a_plugin_prints_is_no_finding(with_extractor, bench):
    def extract(requests):
        print("a line of mine")
        os.write(1, b"and bytes \xff\n")
        os.write(2, b"to stderr\n")
        return [small_map(request) for request in requests]

    with_extractor(extract)
    done = bench("doctor", "mine", "--json")
    assert {finding["check"] for finding in json.loads(done.out)} > {CHECK}


def test_processes_that_it_began_end_with_it(with_extractor, bench, tmp_path):
    def leave_a_process(requests):
        child = subprocess.Popen(["sleep", "1000"])
        (tmp_path / "child").write_text(str(child.pid))
        os._exit(7)

    with_extractor(leave_a_process)
    assert "exit status 7" in bench("doctor", "mine").out
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 60
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # Ended, and nobody has asked for its status.
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_name_that_nobody_has_is_the_users_mistake(bench):
    done = bench("doctor", "positon")
    assert (done.status, done.out) == (2, "")
    assert "did you mean position?" in done.complaint


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_limit_is_a_number_of_seconds(bench, value):
    done = bench("doctor", "position", "--time-limit", value)
    assert done.status == 2
    assert "--time-limit" in done.complaint
