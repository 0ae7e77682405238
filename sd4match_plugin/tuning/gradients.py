"""One step's gradients: prompts are made once, maps a few pairs at a time, and gradients go through both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from harness.specs import ImagePair
from harness.training.order import PairOrder
from sd4match_plugin.tuning.loss import matching_loss
from sd4match_plugin.tuning.maps import Maps
from sd4match_plugin.tuning.pairs import points_of
from sd4match_plugin.tuning.processes import Processes
from sd4match_plugin.tuning.prompting import PromptEncoder, Prompting
from sd4match_plugin.tuning.settings import Settings


class StepGradients:
    """Gradients of a prompt module, summed over the pairs of one step.

    Args:
        pairs: all pairs of the training, of which a step takes `settings.pairs_per_step`.
        pairs_at_once: pairs that pass through the U-Net together.
        scaler: multiplies the loss before it goes back, so that half precision does not lose small gradients.
    """

    def __init__(
        self,
        settings: Settings,
        prompting: Prompting,
        encoder: PromptEncoder,
        maps: Maps,
        pairs: Sequence[ImagePair],
        processes: Processes,
        pairs_at_once: int,
        scaler: torch.amp.GradScaler,
    ) -> None:
        self._settings, self._prompting, self._encoder, self._maps = settings, prompting, encoder, maps
        self._pairs, self._processes, self._scaler = pairs, processes, scaler
        self._pairs_at_once = pairs_at_once
        self._order = PairOrder(len(pairs), settings.seed)
        # Processes average gradients in the wrapper's `forward`: a call of the module inside would leave each
        # process with its own.
        self._wrapped_module = processes.wrap(prompting.module, find_unused=prompting.partial)

    def accumulate(self, step: int) -> float:
        """Adds the gradients of this process's share of a step's pairs, averaged over processes.

        Args:
            step: steps done before this one.

        Returns:
            The share's part of the loss, the mean over all pairs of the step: parts of all processes add up
            to it.
        """
        pair_count = self._settings.pairs_per_step
        numbers = self._order.numbers(step * self._settings.batch, pair_count)
        share = self._processes.share(pair_count)
        pairs = list(enumerate(self._pairs[number] for number in numbers))[share]
        keys = list(dict.fromkeys(key for _, pair in pairs for key in self._prompting.keys(pair)))
        rows = self._prompting.rows(self._wrapped_module, keys)
        # A slice of the whole prompts' gradient, which buckets of gradients want packed.
        rows.register_hook(lambda gradient: gradient.clone(memory_format=torch.contiguous_format))
        states = self._encoder(rows)
        # Prompts are made once. The gradients of all passes through the U-Net are summed in this leaf and go
        # back through their making together.
        leaf = states.detach().float().requires_grad_()
        total = 0.0
        for start in range(0, len(pairs), self._pairs_at_once):
            chunk = pairs[start : start + self._pairs_at_once]
            loss = self._loss(chunk, keys, leaf, step) * (len(chunk) / pair_count)
            # Processes are averaged, and each has a part of the pairs.
            self._scaler.scale(loss * self._processes.count).backward()
            total += float(loss.detach())
        gradient = torch.zeros_like(states) if leaf.grad is None else leaf.grad.to(states.dtype)
        states.backward(gradient)
        return total

    def _loss(
        self, pairs: Sequence[tuple[int, ImagePair]], keys: Sequence[Any], states: torch.Tensor, step: int
    ) -> torch.Tensor:
        """Mean loss of a few pairs, each with its position in the whole batch."""
        maps, settings = self._maps, self._settings
        sources = [pair.source for _, pair in pairs]
        targets = [pair.target for _, pair in pairs]
        # Noise belongs to the position in the batch, so that it does not depend on how many pairs pass at
        # once.
        noise_names = [f"{position} {side}" for side in ("source", "target") for position, _ in pairs]
        noisy = maps.draw([image.identity() for image in [*sources, *targets]], step, noise_names)
        pair_keys = [self._prompting.keys(pair) for _, pair in pairs]
        source_rows = [keys.index(source) for source, _ in pair_keys]
        target_rows = [keys.index(target) for _, target in pair_keys]
        source_maps, target_maps = maps(noisy, states[source_rows + target_rows]).split(len(pairs))
        points = points_of([pair for _, pair in pairs], maps.frame)
        return matching_loss(
            source_maps,
            target_maps,
            points.source,
            points.target,
            points.counts,
            maps.frame,
            maps.frame,
            settings.temperature,
            settings.kernel,
        )
