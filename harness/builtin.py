"""The plugin that brings the harness's own datasets, localizers, protocols and text prompts.

It uses the hooks that every plugin uses.
"""

from __future__ import annotations

from pathlib import Path

from harness.datasets import folder, pf_pascal, pf_willow, soco, spair71k, spair_u
from harness.datasets.ap10k import dataset as ap10k
from harness.datasets.shapes.spec import SHAPES
from harness.features.text_prompts import TEXT_PROMPTS
from harness.hookspecs import hookimpl
from harness.localizers.catalogue import LOCALIZERS
from harness.scoring.protocols import BUILTIN
from harness.specs import DatasetSpec, LocalizerSpec, PromptSpec, ProtocolSpec, ReportedSpec


@hookimpl
def bench_datasets() -> list[DatasetSpec]:
    """The datasets, one file each."""
    return [
        *(spair71k.SPEC, spair_u.SPEC, soco.SPEC, pf_pascal.SPEC, pf_willow.SPEC, ap10k.SPEC),
        *(folder.SPEC, SHAPES),
    ]


@hookimpl
def bench_protocols() -> list[ProtocolSpec]:
    """The published protocols."""
    return list(BUILTIN)


@hookimpl
def bench_localizers() -> list[LocalizerSpec]:
    """The published localizers."""
    return list(LOCALIZERS)


@hookimpl
def bench_prompts() -> list[PromptSpec]:
    """Prompts that are plain text."""
    return list(TEXT_PROMPTS)


@hookimpl
def bench_reported() -> list[ReportedSpec]:
    """The numbers that SD4Match's tables print, and those of the leaders of 2026."""
    folder = Path(__file__).parent / "tables" / "reported_numbers"
    return [
        ReportedSpec(
            name="sd4match-tables",
            file=folder / "index.json",
            paper="SD4Match (CVPR 2024)",
            protocol="sd4match",
            averaging="image",
            description="Tables 1, 2 and 3 of SD4Match: 20 methods on SPair-71k, PF-PASCAL and PF-WILLOW",
        ),
        ReportedSpec(
            name="table-2026",
            file=folder / "table_2026.csv",
            description=(
                "12 methods on SPair-71k, its geometry-aware part, SPair-U and AP-10K, per image, mostly "
                "from Table C1 of Geometry Matters (arXiv 2605.30093)"
            ),
        ),
    ]
