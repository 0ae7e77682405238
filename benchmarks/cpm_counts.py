"""Counts the operations of `sd4match-cpm` by shape, for its options and the published way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from measuring import flops_of
from shape_counts import ShapesOnly

from baselines.stable_diffusion.sparing import START
from harness.specs import Scalar

LEVEL = "up-block 1"

DRAWS = 8

GIGA = 1e9


@dataclass(frozen=True)
class Counted:
    """Operations in GFLOP.

    Attributes:
        picture: computed once for each picture.
        pair: computed for each pair.
    """

    picture: float
    pair: float

    def of_pair(self, pairs: int) -> float:
        """Operations of a pair where each picture is in so many: two pictures, of each that share."""
        return self.pair + 2 * self.picture / pairs


def count(configs: Path, params: Mapping[str, Scalar] | None) -> Counted:
    """Counts an option; DINOv2 is left out.

    Args:
        configs: a Stable Diffusion pipeline, whose weights are not read.
        params: values of `--set`; None for the published way, which encodes both pictures of each pair and
            runs the whole U-Net.
    """
    network = ShapesOnly(configs, "fp32")
    encoder = flops_of(lambda: network.encode(1, network.card.native))
    prompt = flops_of(network.encode_prompt)
    if params is None:
        unet = DRAWS * flops_of(network.run_whole)
        return Counted(0.0, (2 * (encoder + unet) + prompt) / GIGA)
    draws = int(str(params.get("ensemble", DRAWS)))
    name = str(params.get("prompt_from", START))
    first = None if name == START else network.card.first_prompted(name, LEVEL)
    begun = flops_of(lambda: network.begin(1, draws, first))
    rows = 1 if params.get("draws_averaged") == "prompt" else draws
    # The prefix is computed in both, and is at hand for the pair's own pass.
    whole = flops_of(lambda: network.read_level(LEVEL, 1, rows, keeps_prefix=True, first=first))
    rest = whole - flops_of(lambda: network.begin(1, rows, first))
    own = prompt if first else 0
    return Counted((encoder + begun + own) / GIGA, (2 * rest + prompt) / GIGA)
