"""Nothing that matching, in inference mode, leaves behind in a process stands in the way of training."""

from __future__ import annotations

import functools
import sys

import pytest
import torch

from baselines.sources import IBOT, TINY_DINO
from baselines.weights import SOURCES
from matchers.training.objective import Batch
from matchers.training.objectives import MODULES, find_objective
from matchers.weights import locate_bundled

STARTS = {
    "resnet101": locate_bundled("resnet"),
    "cats": locate_bundled("cats"),
    IBOT: next(source.locate for source in SOURCES if source.name == TINY_DINO),
}


def forget_kept_results():
    """Empties the caches of functions, which a process that trains at once would fill while training."""
    for name, module in list(sys.modules.items()):
        for value in vars(module).values() if name.startswith("matchers.") else ():
            if isinstance(value, functools._lru_cache_wrapper):
                value.cache_clear()


def batch_of(settings):
    generator = torch.Generator().manual_seed(1)
    side = settings.image_size
    points = [torch.rand(count, 2, generator=generator) * (side - 1) for count in (5, 4)]
    mask = torch.zeros(2, 1, side, side)
    mask[:, :, side // 4 : -side // 4, side // 4 : -side // 4] = 1
    return Batch(
        source=torch.randn(2, 3, side, side, generator=generator),
        target=torch.randn(2, 3, side, side, generator=generator),
        source_points=points,
        target_points=[side - 1 - each for each in points],
        source_mask=mask if settings.supervision == "masks" else None,
        target_mask=mask if settings.supervision == "masks" else None,
        categories=("cat", "dog"),
    )


@pytest.mark.parametrize("method", MODULES)
def test_a_network_trains_in_a_process_that_has_matched(method):
    objective = find_objective(method)
    settings = objective.small
    torch.manual_seed(0)
    start = objective.read_start(STARTS[objective.start]())
    batch = batch_of(settings)
    forget_kept_results()
    with torch.inference_mode():
        matched = objective.make_network(start, settings).train()
        objective.loss(matched, batch, settings, torch.Generator().manual_seed(2))
    network = objective.make_network(start, settings).train()
    objective.loss(network, batch, settings, torch.Generator().manual_seed(2))["loss"].backward()
    trained = objective.groups(network)
    gradients = [each.grad for each in trained.head + trained.backbone if each.grad is not None]
    assert any(gradient.abs().sum() > 0 for gradient in gradients)
