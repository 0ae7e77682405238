"""The shell's completion: commands, options, and the names that plugins brought."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.shell_completion import BashComplete, FishComplete, ZshComplete
from support.commands import plugin_environment

from harness.cli import bench as root_command
from harness.plugins.loading import load_plugins


@pytest.fixture(scope="module")
def host():
    return load_plugins(points=[])


@pytest.fixture
def complete(host):
    """Words before the cursor -> what a shell offers for the last of them."""

    def completed(*words: str) -> list[str]:
        *before, incomplete = words
        shell = BashComplete(root_command, {"obj": host}, "bench", "_BENCH_COMPLETE")
        return [item.value for item in shell.get_completions(before, incomplete)]

    return completed


def test_commands_and_options(complete):
    assert complete("le") == ["leaderboard"]
    assert complete("data", "ve") == ["verify"]
    assert complete("run", "--loc") == ["--localizers"]
    # The names of before are read and not offered.
    assert complete("run", "--see") == ["--seeds"]
    assert complete("--ver") == ["--verbose", "--version"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "--methods", "dif"), ["dift"]),
        (("run", "--methods", "position,dif"), ["position,dift"]),
        (("run", "--methods", "dift,dif"), []),
        (("run", "--methods", "dift", "--datasets", "pf-w"), ["pf-willow"]),
        (("run", "--localizers", "argmax,bil"), ["argmax,bilinear"]),
        (("run", "--protocols", "pad"), ["padded"]),
        (("run", "--prompts", "cat"), ["category"]),
        (("run", "--weights", "pap"), ["paper"]),
        (("run", "--trained-on", "sha"), ["shapes"]),
        (("run", "--set", "timest"), ["timestep="]),
        (("match", "a.jpg", "b.jpg", "--method", "dif"), ["dift"]),
        (("doctor", "dif"), ["dift"]),
        (("train", "sd4match-s"), ["sd4match-single"]),
        (("weights", "fetch", "dinov2-b"), ["dinov2-base"]),
        (("data", "verify", "shapes", "pf-w"), ["pf-willow"]),
        (("prompt", "show", "sd4match-cl"), ["sd4match-class"]),
        (("leaderboard", "results", "--format", "cs"), ["csv"]),
        (("--no-plugin", "sd4"), ["sd4match"]),
    ],
)
def test_names(complete, words, expected):
    assert complete(*words) == expected


@pytest.mark.parametrize("shell_class", [BashComplete, ZshComplete, FishComplete])
def test_every_shell_is_given_a_script(host, shell_class):
    shell = shell_class(root_command, {"obj": host}, "bench", "_BENCH_COMPLETE")
    if shell_class is not BashComplete:  # asks bash for its version
        assert "_BENCH_COMPLETE" in shell.source()
    (item,) = shell.get_completions(["run", "--methods"], "dif")
    assert "dift" in shell.format_completion(item)


def test_the_program_completes_without_heavy_imports(plugin_site):
    """As the script that a shell loads calls it: names of an installed plugin, without heavy imports."""
    code = (
        "import sys\n"
        "from harness.cli import main\n"
        "try:\n"
        "    main([])\n"
        "finally:\n"
        "    heavy = {'torch', 'pandas', 'scipy', 'transformers'} & set(sys.modules)\n"
        "    sys.stderr.write(' '.join(sorted(heavy)))\n"
    )
    environment = plugin_environment(
        plugin_site, _BENCH_COMPLETE="bash_complete", COMP_WORDS="bench run --methods toy", COMP_CWORD="3"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].startswith("plain,toy")
    assert done.stderr == ""
