"""Supervision and training data follow what was tuned: the prompt and the network, not the method's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plugins.loading import load_plugins
from harness.running.training import training_of
from harness.specs import LearnedFile, MethodSpec


@pytest.fixture(scope="module")
def host():
    return load_plugins()


def file_of(dataset):
    return LearnedFile(Path("prompt"), dataset)


@pytest.mark.parametrize(
    ("method", "prompt", "dataset", "expected"),
    [
        ("dift", "empty", None, ("Z", None)),
        ("dift", "sd4match-single", "shapes", ("K", "shapes")),
        ("dift", "sd4match-single", "", ("K", "?")),
        ("sd4match-single", "sd4match-single", "spair-71k", ("K", "spair-71k")),
        ("sd4match-single", "sd4match-class", "shapes", ("K", "shapes")),
        ("sd4match-single", "category", None, ("Z", None)),
        ("dinov2", None, None, ("Z", None)),
    ],
)
def test_built_in_methods(host, method, prompt, dataset, expected):
    learned = None if dataset is None else file_of(dataset)
    spec = host.prompts.get(prompt) if prompt else None
    assert tuple(training_of(host, host.methods[method], spec, learned)[:2]) == expected


@pytest.mark.parametrize(
    ("supervision", "trained_on", "prompt", "dataset", "expected"),
    [
        ("K", "spair-71k", "category", None, ("K", "spair-71k")),
        ("K", None, "category", None, ("K", None)),
        ("I", "imagenet", "sd4match-class", "shapes", ("K", "imagenet+shapes")),
        ("K", "shapes", "sd4match-class", "shapes", ("K", "shapes")),
        ("K", "shapes", "sd4match-class", "", ("K", "shapes+?")),
        ("I", None, "sd4match-class", "shapes", ("K", "shapes")),
    ],
)
def test_a_network_that_was_tuned_counts_beside_its_prompt(
    host, supervision, trained_on, prompt, dataset, expected
):
    method = MethodSpec(
        name="tuned",
        extractor="stable-diffusion",
        prompt="category",
        supervision=supervision,
        trained_on=trained_on,
    )
    learned = None if dataset is None else file_of(dataset)
    assert tuple(training_of(host, method, host.prompts.get(prompt), learned)[:2]) == expected
