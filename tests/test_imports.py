"""What must stay cheap: naming things imports neither torch nor pandas."""

import gc
import json
import subprocess
import sys

import pytest

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
