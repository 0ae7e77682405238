"""The published localizers, as specs. They need torch, which listing them must not import."""

from __future__ import annotations

from functools import partial

from harness.citations import DIFT, GEOAWARE, SD4MATCH, SOCO
from harness.localizers.make import make_localizer
from harness.specs import LocalizerSpec

VOLUME = frozenset({"volume"})

LOCALIZERS = (
    LocalizerSpec(
        name="argmax",
        make=partial(make_localizer, "harness.localizers.on_grid", "Argmax"),
        options={"normalize": True},
        grid="corner",
        matches=VOLUME,
        description="the most similar cell",
    ),
    LocalizerSpec(
        name="argmax-original",
        make=partial(make_localizer, "harness.localizers.original_resolution", "ArgmaxOriginal"),
        grid="half-pixel",
        reads="pixel",
        citation=DIFT,
        description="the most similar pixel at original resolution (DIFT)",
    ),
    LocalizerSpec(
        name="argmax-patch",
        make=partial(make_localizer, "harness.localizers.on_grid", "ArgmaxPatch"),
        options={"normalize": True},
        grid="patch-centre",
        reads="patch",
        matches=VOLUME,
        description="the cell most similar to the one the point falls into (SD+DINO, GeoAware-SC, DINO)",
    ),
    LocalizerSpec(
        name="argmax-corner",
        make=partial(make_localizer, "harness.localizers.on_grid", "ArgmaxCorner"),
        options={"normalize": True},
        grid="corner",
        citation=SOCO,
        matches=VOLUME,
        description="the top left corner of the most similar cell (OmniProbe)",
    ),
    LocalizerSpec(
        name="bilinear",
        make=partial(make_localizer, "harness.localizers.on_grid", "Bilinear"),
        options={"normalize": True},
        grid="corner",
        matches=VOLUME,
        description="most similar cells of the query's four neighbours, blended",
    ),
    LocalizerSpec(
        name="soft-argmax",
        make=partial(make_localizer, "harness.localizers.on_grid", "SoftArgmax"),
        options={"temperature": 0.04, "normalize": True},
        grid="corner",
        matches=VOLUME,
        description="mean position under softmax",
    ),
    LocalizerSpec(
        name="kernel-softmax",
        make=partial(make_localizer, "harness.localizers.on_grid", "KernelSoftmax"),
        options={"sigma": 7.0, "temperature": 0.04, "relative_to": None, "normalize": True},
        grid="corner",
        citation=SD4MATCH,
        matches=VOLUME,
        description="soft-argmax around the most similar cell (the SD4Match paper's)",
    ),
    LocalizerSpec(
        name="window-softmax",
        make=partial(make_localizer, "harness.localizers.on_grid", "WindowSoftmax"),
        options={"window": 7, "temperature": 0.02},
        grid="patch-centre",
        reads="patch",
        citation=GEOAWARE,
        matches=VOLUME,
        description="soft-argmax in a window (GeoAware-SC)",
    ),
    LocalizerSpec(
        name="flow",
        make=partial(make_localizer, "harness.localizers.of_flow", "OfFlow"),
        grid="half-pixel",
        matches=frozenset({"flow"}),
        maps=False,
        description="the position that a matcher's flow names, between four cells",
    ),
)
