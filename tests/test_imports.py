"""What must stay cheap: naming things imports neither torch nor pandas."""

import gc
import json
import subprocess
import sys

import pytest

from harness.cli import main
from harness.imports import uncollected

HEAVY = (
    "torch",
    "pandas",
    "diffusers",
    "transformers",
    "scipy",
    "skimage",
    "pyarrow",
    "matplotlib",
    "PIL.ImageFilter",
)


@pytest.mark.parametrize(
    "arguments",
    [["plugins"], ["plugins", "--json"], ["--help"], ["run", "--help"]]
    + [["list", kind] for kind in ("methods", "datasets", "prompts", "localizers", "protocols")],
)
def test_listing_imports_nothing_heavy(arguments):
    code = (
        "import sys, json, contextlib, io\n"
        "from harness.cli import status\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    code = status({arguments!r})\n"
        "print(json.dumps([code, sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stdout)
    assert code == 0
    assert not set(HEAVY) & set(modules)


@pytest.mark.parametrize("kind", ["methods", "datasets", "prompts", "localizers", "protocols"])
def test_json_lists_objects_with_names(bench, kind):
    rows = json.loads(bench("list", kind, "--json").out)
    assert rows
    assert all(row["name"] for row in rows)
    assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was_found(enabled):
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ImportError), uncollected():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


FREEZING = """
import atexit, gc, sys
# Begun before the process is claimed: it is called after what that leaves for the end.
atexit.register(lambda: print(gc.get_freeze_count() > frozen[-1]))
frozen = [0]
from harness import imports
if {claimed}:
    imports.claim_process()
for package in ("pandas", "pandas", "this_is_in_no_package"):
    try:
        with imports.uncollected():
            __import__(package)
    except ImportError:
        pass
    frozen.append(gc.get_freeze_count())
# Some of it is freed since.
kept = [[] for _ in range(10_000)]
print(frozen[1] > 10_000, frozen[1] >= frozen[2] >= frozen[3])
"""


@pytest.mark.parametrize("claimed", [True, False])
def test_what_is_imported_is_put_aside_once_in_a_process_of_our_own(claimed):
    command = [sys.executable, "-c", FREEZING.format(claimed=claimed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # And in the end all of it, whatever has been made meanwhile.
    assert done.stdout.splitlines() == [f"{claimed} True", str(claimed)]


@pytest.mark.parametrize("is_program", [True, False])
def test_only_the_program_bench_claims_its_process(monkeypatch, capsys, is_program):
    claims = []
    monkeypatch.setattr("harness.cli.claim_process", lambda: claims.append(1))
    for name in ("prepare_streams", "leave_on_signals"):
        monkeypatch.setattr(f"harness.cli.{name}", lambda: None)
    monkeypatch.setattr(sys, "argv", ["bench", "list", "protocols"])
    with pytest.raises(SystemExit):
        main(None if is_program else ["list", "protocols"])
    assert len(claims) == is_program
