"""How much is measured on a GPU, in which order, and how long it is expected to take."""

from __future__ import annotations

from dataclasses import replace

import gpu_parts
import gpu_sweeps
from gpu_parts import (
    ENCODE,
    KNOWN_PAIR,
    NEW_PAIR,
    OUR_PICTURE,
    READ,
    THEIR_PAIR,
    THEIR_PICTURE,
    WHOLE,
    Bench,
    Part,
)
from report import TERA
from stages import QUICK, Scale
from workloads import SPAIR_SHAPED, Extent

FAST_RATE = 150 * TERA
"""FLOP/s of the ceiling from which on more is measured. Some 250 are usual for an A100, 70 for a 3090."""

LOAD = 5.0
"""Seconds that loading 2.6 GB of networks is expected to take."""

FAST = Scale(
    SPAIR_SHAPED,
    checked=1,
    images=8,
    point_pairs=4,
    dift_pairs=16,
    cpm_pairs=132,
    published_cpm_pairs=16,
    repeats=3,
    whole=1,
    steps=5,
    feature_pairs=4,
    training_pairs=18,
)

SLOW = replace(
    FAST,
    extent=Extent(1, 27, 680),
    images=4,
    dift_pairs=8,
    cpm_pairs=56,
    published_cpm_pairs=6,
    repeats=2,
    steps=3,
    training_pairs=9,
)
"""Half as many pictures, each in as many pairs."""


def amounts(rate: float, is_true_size: bool) -> tuple[Scale, Extent]:
    """Amounts, and the extent of the data of `sd4match-cpm`, by the FLOP/s of the ceiling.

    That is every ordered pair of a few pictures, since in SPair-71k, too, most pictures of a pair were in
    another one before.
    """
    if not is_true_size:
        return QUICK, QUICK.extent
    if rate >= FAST_RATE:
        return FAST, Extent(1, 12, 132)
    return SLOW, Extent(1, 8, 56)


def parts_of(bench: Bench) -> list[Part]:
    """All parts, the most important first."""
    scale = bench.scale
    pictures = scale.extent.categories * scale.extent.images
    # Once to warm up and to count operations.
    calls = scale.repeats + 1
    both = OUR_PICTURE + THEIR_PICTURE
    few = min(scale.feature_pairs, scale.published_cpm_pairs)
    # Of two pictures a pair; the way back takes as long as the way there.
    step = scale.step_pairs * 2 * (2 * READ + ENCODE + 2 * WHOLE)
    at_once = sum(gpu_sweeps.AT_ONCE)
    parts = [
        Part("agreement of dift", bench.agree_dift, 2 * both, 2 * LOAD + 10),
        Part("agreement of sd4match-cpm", bench.agree_cpm, NEW_PAIR + THEIR_PAIR, 5),
        Part("dift, features", bench.dift_features, calls * scale.images * both, 2),
        Part("dift, argmax-original", bench.dift_points, 2 * scale.point_pairs * OUR_PICTURE, 10),
        Part(gpu_parts.DIFT, bench.dift_whole, pictures * both, 20),
        Part(
            gpu_parts.CPM,
            bench.cpm_whole,
            scale.cpm_pairs * KNOWN_PAIR + scale.published_cpm_pairs * THEIR_PAIR,
            10,
        ),
        Part(gpu_parts.STEP, bench.training, (scale.steps + 2) * step, LOAD + 10),
        Part(gpu_parts.NETWORKS, bench.networks, calls * (10 * ENCODE + 16 * READ + 8 * WHOLE), 3),
        Part(
            "sd4match-cpm, features and points",
            bench.cpm_features,
            (calls + 1) * few * (NEW_PAIR + THEIR_PAIR) + 8 * NEW_PAIR,
            5,
        ),
        Part("peak memory", bench.memory, 2 * step + 2 * (both + NEW_PAIR + THEIR_PAIR), 8 * LOAD),
        # Single precision is some eight times slower.
        Part("agreement of dift in fp32", bench.agree_in_single_precision, 8 * 2 * both, 4 * LOAD),
    ]
    sweeps = {
        "pictures and draws at once": (
            gpu_sweeps.networks_at_once,
            calls * at_once * (READ + ENCODE / 2),
            LOAD,
        ),
        "precisions": (gpu_sweeps.precisions, 10 * calls * (8 * READ + ENCODE), 4 * LOAD),
        "workers": (gpu_sweeps.workers, 4 * pictures * (ENCODE + READ), 30),
        "pinned copies": (gpu_sweeps.pinned_copies, 0, 2),
        "compiled blocks": (gpu_sweeps.compiled, 2 * calls * 8 * READ, LOAD + 100),
    }
    for title, (sweep, tera, seconds) in sweeps.items():
        parts.append(Part(title, lambda sweep=sweep: sweep(bench), tera, seconds))
    return parts
