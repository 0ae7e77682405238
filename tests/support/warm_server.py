"""A process that has imported everything and forks one `bench ...` after another: some milliseconds each.

The child is a process of its own, in a session of its own, with the signal handlers that Python begins with,
and ends as Python ends. It counts its steps (files opened in the test's folder, writes, renames, locks,
connections, processes begun) and can kill itself just before any of them, which takes no clock.

Requests and answers are lines of JSON, on the socket whose number is the argument.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import mmap
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from socket import socket

STEPS = frozenset(
    {
        "os.rename",
        "os.remove",
        "os.mkdir",
        "os.rmdir",
        "os.truncate",
        "os.chmod",
        "os.link",
        "os.symlink",
        "os.posix_spawn",
        "os.fork",
        "os.listdir",
        "os.scandir",
        "fcntl.flock",
        "tempfile.mkstemp",
        "tempfile.mkdtemp",
        "shutil.rmtree",
        "subprocess.Popen",
        "socket.connect",
        "socket.getaddrinfo",
    }
)
"""Audit events at which a command can be killed, besides `open` below the test's folder."""


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that end a command."""


def serve(channel: socket) -> None:
    """Answers requests until the other side closes."""
    counter = mmap.mmap(-1, 8)
    with channel.makefile("rw", encoding="utf-8") as lines:
        for line in iter(lines.readline, ""):
            request = json.loads(line)
            if request.get("warm_up"):
                lines.write(json.dumps(warm_up(request)) + "\n")
                lines.flush()
                continue
            counter[:] = struct.pack("q", 0)
            # A fork is what was asked for, with outputs of its own, before it hears a signal.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            parts, pids = request["together"], []
            for part in parts:
                pid = os.fork()
                if not pid:
                    # Left to the child as a whole: it returns from here, and ends as any program does.
                    become(part, counter, channel.fileno())
                    return
                pids.append(pid)
            answers = [wait(pid, part) for pid, part in zip(pids, parts, strict=True)]
            for answer in answers:
                answer["steps"] = struct.unpack("q", counter[:])[0]
            lines.write(json.dumps(answers) + "\n")
            lines.flush()


def wait(pid: int, request: dict) -> dict:
    """Waits for a child, which gets its signal in between where that is to come after some seconds."""
    start = time.monotonic()
    kill_after, limit = request.get("kill_after"), request["patience"]
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        seconds = time.monotonic() - start
        if done:
            return {"pid": pid, "status": os.waitstatus_to_exitcode(status), "seconds": seconds}
        if kill_after is not None and seconds >= kill_after:
            send(pid, request)
            kill_after = None
        if seconds > limit:
            # Where each of its threads is, on its stderr.
            os.kill(pid, signal.SIGUSR1)
            time.sleep(0.5)
            os.kill(pid, signal.SIGKILL)
            limit = float("inf")
        time.sleep(0.0005)


def send(pid: int, request: dict) -> None:
    """Sends the request's signal to a child, or to it and all of its processes."""
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if request.get("to_group") else os.kill)(pid, request["signal"])


def become(request: dict, counter: mmap.mmap, channel: int) -> None:
    """Makes this process, which was forked, the one that was asked for, and runs its command."""
    os.setsid()
    os.close(channel)
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    for number, key in ((1, "out"), (2, "err")):
        handle = os.open(request[key], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, value in request.get("limits", {}).items():
        number = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(number, (value, resource.getrlimit(number)[1]))
    import faulthandler

    # The test's own errors, such as a hang, are seen in what it printed.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    sys.addaudithook(counting(request, counter))
    if "setup" in request:
        module, _, name = request["setup"].partition(":")
        getattr(importlib.import_module(module), name)(*request.get("setup_arguments", ()))
    from harness.cli import main

    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        main(request["words"])
    except KeyboardInterrupt:
        # As Python ends the scripts that pip installs. Of a module, begun by `-m`, it makes status 1.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


def counting(request: dict, counter: mmap.mmap) -> Callable[[str, tuple], None]:
    """The audit hook that counts steps, and kills this process at the one that was asked for."""
    root, pid = request["root"], os.getpid()
    kill_at = request.get("kill_at", -1)
    steps = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal steps
        if event == "open":
            path = arguments[0]
            if not (isinstance(path, str) and path.startswith(root)):
                return
        elif event not in STEPS:
            return
        if os.getpid() != pid:
            return  # its children's steps are their own
        steps += 1
        counter[:] = struct.pack("q", steps)
        if steps == kill_at:
            send(pid, request)

    return hook


def warm_up(request: dict) -> dict:
    """Runs a command in this very process: what it imports and remembers, every fork has from then on."""
    from tqdm import tqdm

    from harness.cli import status

    # A thread of this process would be missing in the forks.
    tqdm.monitor_interval = 0
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    with Path(request["out"]).open("w") as out, contextlib.redirect_stdout(out):
        code = status(request["words"])
    gc.freeze()
    return {"status": code}


if __name__ == "__main__":
    serve(socket(fileno=int(sys.argv[1])))
