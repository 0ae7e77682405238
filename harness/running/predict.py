"""The work of a cell: feature maps, then points. Writes nothing."""

from __future__ import annotations

from dataclasses import replace

from harness.features.pair_features import PairFeatures
from harness.features.prefetch import start_server
from harness.features.requests import PromptUse
from harness.running.resolve import ResolvedCell
from harness.specs import NO_PROMPT, Localizer, MakeContext


def pair_features(prepared: ResolvedCell) -> PairFeatures:
    """Makes the cell's extractor and prompt. Raises `NotApplicable`, and whatever a plugin raises."""
    cell, options, host = prepared.cell, prepared.bench.options, prepared.bench.host
    if options.workers:
        start_server()
    extractor = host.extractors[cell.extractor]
    spec = host.prompts[cell.prompt] if cell.prompt != NO_PROMPT else None
    context = MakeContext(
        device=options.device,
        precision=options.precision,
        compiled=options.compiled,
        params=dict(cell.params),
        weights=prepared.weights,
        prompt_file=prepared.learned.path if prepared.learned else None,
        categories=prepared.index.categories,
        prompt_scope=spec.scope if spec else "image",
        cache_bytes=options.cache_bytes // 4,
        cache=prepared.cache,
        shared=prepared.bench.shared,
    )
    prompt = PromptUse(spec.make(context), spec.scope) if spec else None
    # Maps that follow from the pair are read once, and what the extractor keeps of pictures is read with every pair.
    maps, kept = (4, 2) if "pair" in (extractor.scope, context.prompt_scope) else (2, 4)
    made = extractor.make(replace(context, cache_bytes=options.cache_bytes // kept))
    return PairFeatures(
        prepared.index,
        made,
        extractor.scope,
        prompt,
        seed=cell.seed,
        batch_size=options.batch_size,
        cache_bytes=options.cache_bytes // maps,
        workers=options.workers,
        pin=options.device.startswith("cuda"),
    )


def make_localizer(prepared: ResolvedCell, name: str) -> Localizer:
    """A localizer, with the options that the method's recipe gives it."""
    return prepared.bench.host.localizers[name].make(**prepared.localizer_options(name))
