"""`bench train`: the method is found among the words, and its plugin's command gets all others."""

from __future__ import annotations

from types import SimpleNamespace

import click
import pytest

from harness import hookimpl
from harness.cli import bench
from harness.cli.train import train
from harness.plugins.loading import load_plugins
from harness.specs import MethodSpec, TrainerSpec

CALLS = []


def make(method):
    @click.command()
    @click.option("--steps", type=int, default=7, show_default=True, help="Steps in all.")
    @click.option("--fast", is_flag=True, help="Fewer.")
    @click.option("-o", "--out")
    @click.option("--glue", help="Its kind.")
    def command(**options):
        """Fit it."""
        CALLS.append((method, options))

    return command


def broken(method):
    raise ValueError(f"no {method} today")


@pytest.fixture
def host():
    plugin = SimpleNamespace(
        bench_trainers=hookimpl(
            lambda: [
                TrainerSpec(name="glues", methods=("hog", "position"), make=make, description="Fit a glue."),
                TrainerSpec(name="jokes", methods=("dinov1",), make=broken),
            ]
        ),
        bench_methods=hookimpl(
            lambda: [MethodSpec(name="no-glue", extractor="hog", tuned_on=(), description="a copy")]
        ),
    )
    host = load_plugins(points=[])
    host.load("gluer", "", "", lambda: plugin)
    assert host.plugins[-1].status == "loaded", host.plugins[-1].reason
    CALLS.clear()
    return host


def call(host, *words):
    return train(host).main(
        list(words), prog_name="bench train", standalone_mode=False, obj=host, parent=click.Context(bench)
    )


@pytest.mark.parametrize(
    "words",
    [
        ("hog", "--steps", "3"),
        ("--steps", "3", "hog"),
        ("--steps=3", "hog"),
        ("--out", "position", "hog", "--steps", "3"),
        ("-o", "position", "--steps", "3", "hog"),
        ("-oposition", "hog", "--steps", "3"),
        ("--fast", "hog", "--steps", "3"),
    ],
)
def test_the_method_may_stand_anywhere(host, words):
    call(host, *words)
    ((method, options),) = CALLS
    assert (method, options["steps"]) == ("hog", 3)
    assert options["out"] == ("position" if "position" in "".join(words) else None)
    assert options["fast"] == ("--fast" in words)


def test_help_lists_what_can_be_trained_and_whose_each_option_is(host, capsys):
    call(host, "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "glues: Fit a glue. For hog and position." in text and "prompts: Tune a prompt" in text
    assert "Its kind. [glues]" in text and "Diffusion timestep of the features. [prompts]" in text
    # Those that have a default of their own show it where the method is named.
    assert "Steps in all. [glues" not in text and "[default: 7]" not in text
    call(host, "hog", "--help")
    text = capsys.readouterr().out
    assert "bench train hog [OPTIONS]" in text and "[default: 7]" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Missing argument 'METHOD'"),
        (("hgo",), "did you mean hog"),
        (("no-glue",), "'no-glue' has nothing to train; those that have are"),
        (("hog", "--timestep", "3"), "No such option"),
        (("--stepz", "3", "hog"), "No such option"),
        (("dinov1",), "trainer 'jokes' cannot be made: ValueError: no dinov1 today"),
    ],
)
def test_a_mistake_is_one_line(host, words, message):
    with pytest.raises((click.UsageError, Exception)) as caught:
        call(host, *words)
    text = caught.value.format_message() if isinstance(caught.value, click.UsageError) else str(caught.value)
    assert message in text and "\n" not in text.strip()
    assert not CALLS
