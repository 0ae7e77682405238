"""The contract of a method, checked on the bundled pictures."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.doctor.comparing import TOLERANCE, compare
from harness.doctor.findings import CHEAP, Failed, Finding, Skipped, Warned, check_import, make_checks
from harness.doctor.layout import RIGHT
from harness.doctor.matcher_checks import MATCHER_CHECKS
from harness.doctor.subject import Subject
from harness.errors import UserError
from harness.features.extraction import check_feature_map
from harness.features.requests import PromptUse
from harness.frames import Size
from harness.isolation.guarded import without_guard
from harness.messages import one_line
from harness.plugins.host import Host
from harness.running.plan import misfit_of
from harness.specs import (
    NO_MATCHER,
    NO_PROMPT,
    ImagePair,
    MakeContext,
    MethodSpec,
    is_batch_localizer,
    is_matches_reader,
    is_preparing_extractor,
)

if TYPE_CHECKING:
    import torch

MADE = "the extractor can be made"

ITSELF = "an image matched with itself has PCK@0.1 of 100"

PEAK_TOLERANCE = 1.0
"""Original pixels by which a made-up peak may be missed: predictions may be whole pixels."""

BATCH_TOLERANCE = 0.01
"""Original pixels by which rounding moves predictions."""


def examine_method(
    host: Host, method: str, pairs: Sequence[ImagePair], context: MakeContext, localizer: str | None = None
) -> Iterator[Finding]:
    """Makes every check of a method in turn; without an extractor those that need one are skipped.

    Args:
        pairs: two pairs of pictures to try it on.
        context: given to the `make` of the extractor, of the matcher and of the prompt.
        localizer: name of the localizer to check; None for the method's own.

    Raises:
        UserError: the method or the localizer is unknown, or the two do not fit together.
    """
    recipe = host.methods[method]
    chosen = host.localizers[localizer or recipe.localizer]
    if reason := misfit_of(host, recipe, chosen.name):
        raise UserError(f"{reason}; name another localizer")
    matcher, origin = None, host.extractors.origin(host.extractors[recipe.extractor].name)
    if recipe.matcher != NO_MATCHER:
        matcher = host.matchers[recipe.matcher]
        # The extractor may be one that was there already.
        origin = host.matchers.origin(matcher.name)
    subject = Subject(
        host, recipe, host.extractors[recipe.extractor], chosen, origin, pairs, context, matcher
    )
    matcher_checks = MATCHER_CHECKS if subject.matcher_spec else {}
    yield from make_checks({**EXTRACTOR_CHECKS, **matcher_checks, **LOCALIZER_CHECKS}, subject)


def examine_matcher(
    host: Host, recipe: MethodSpec, pairs: Sequence[ImagePair], context: MakeContext
) -> Iterator[Finding]:
    """Makes every check of a matcher in turn.

    Args:
        recipe: a method that has it, with an extractor whose maps it reads.
        pairs, context: as those of `examine_method`.
    """
    spec = host.matchers[recipe.matcher]
    subject = Subject(
        host,
        recipe,
        host.extractors[recipe.extractor],
        host.localizers[recipe.localizer],
        host.matchers.origin(spec.name),
        pairs,
        context,
        spec,
    )
    yield from make_checks(
        {CHEAP: _check_import, MADE: _check_make, **MATCHER_CHECKS, ITSELF: _check_itself}, subject
    )


def _check_import(subject: Subject) -> str:
    return check_import(subject.host, subject.plugin)


def _check_make(subject: Subject) -> str:
    spec, method = subject.spec, subject.method
    subject.extractor = spec.make(subject.context)
    if spec.prompt_kinds and method.prompt != NO_PROMPT:
        prompt = subject.host.prompts[method.prompt]
        if prompt.kind not in spec.prompt_kinds:
            raise Failed(f"its own prompt '{prompt.name}' is of kind '{prompt.kind}', which it does not take")
        subject.prompt = PromptUse(prompt.make(subject.context), prompt.scope)
    name = "extract_pairs" if spec.scope == "pair" else "extract"
    if not callable(getattr(subject.extractor, name, None)):
        # The checks that need an extractor are skipped, instead of failing by the same fault once more.
        subject.extractor = None
        raise Failed(f"has scope '{spec.scope}' and no method '{name}'")
    detail = type(without_guard(subject.extractor)).__name__
    if subject.prompt:
        detail += f", with prompt '{method.prompt}'"
    return detail


def _check_maps(subject: Subject) -> str:
    for pair, (source_map, target_map) in zip(subject.pairs, subject.maps, strict=True):
        check_feature_map(source_map, pair.source_size)
        check_feature_map(target_map, pair.target_size)
    data = subject.maps[0][0].data
    if subject.layout.has_channels_last:
        raise Failed(
            f"{tuple(data.shape)}: PCK would be {subject.layout.best:.0f} if {subject.layout.remedy}"
        )
    return f"{tuple(data.shape)}, {str(data.dtype).removeprefix('torch.')}"


def _check_layout(subject: Subject) -> str:
    layout = subject.layout
    if layout.is_blind:
        raise Skipped("the features do not depend on the picture")
    if layout.remedy:
        raise Failed(
            f"a changed place is found with PCK@0.1 of {layout.pck:.0f}; "
            f"PCK would be {layout.best:.0f} if {layout.remedy}"
        )
    if layout.pck < RIGHT:
        raise Warned(
            f"weak: features do not change most where the picture is changed (PCK@0.1 of {layout.pck:.0f})"
        )
    return f"right way round: a changed place is found with PCK@0.1 of {layout.pck:.0f}"


def _check_frame(subject: Subject) -> str:
    size = subject.first_map.frame.size
    declared = subject.spec.fed(subject.context.weights, subject.context.params)
    if size != declared:
        raise Failed(
            f"frame of {size.width} x {size.height}, image_size says {declared.width} x {declared.height}"
        )
    return f"{size.width} x {size.height}"


def _check_determinism(subject: Subject) -> str:
    repeated = subject.extract(subject.pairs[:1])[0][0].data
    return compare(subject.first_map.data, repeated, 0.0)


def _check_batch(subject: Subject) -> str:
    # Not to the byte: kernels for another batch size add in another order.
    return compare(subject.maps[0][0].data, subject.first_map.data, TOLERANCE)


def _check_scope(subject: Subject) -> str:
    if subject.spec.scope != "image":
        raise Skipped(f"scope '{subject.spec.scope}'")
    # With the prompts left as they are: they depend on what the prompt's scope names, not the extractor's.
    source, target = subject.requests(subject.pairs[0])
    renamed = replace(source, category="something else")
    data = subject.call([(source, target)])[0][0].data
    renamed_data = subject.call([(renamed, target)])[0][0].data
    return compare(data, renamed_data, 0.0)


def _check_prepare(subject: Subject) -> str:
    if subject.extractor is None:
        raise Skipped("no extractor")
    if not is_preparing_extractor(subject.extractor):
        raise Skipped("no `prepare`")
    try:
        # As the processes that decode pictures ahead get it.
        prepare = pickle.loads(pickle.dumps(subject.extractor.prepare))
    except Exception as error:
        raise Failed(
            f"`prepare` cannot be pickled ({one_line(error)}); make it a function of the module or a "
            "functools.partial of one"
        ) from error
    source, target = subject.requests(subject.pairs[0])
    unprepared = subject.call([(source, target)])[0][0].data
    source = replace(source, prepared=prepare(source.image))
    target = replace(target, prepared=prepare(target.image))
    prepared = subject.call([(source, target)])[0][0].data
    return compare(unprepared, prepared, 0.0)


def _check_grid(subject: Subject) -> str:
    from harness.localizers import checks

    spec, localizer = subject.localizer_spec, subject.localizer()
    made_up = "maps"
    if subject.matcher_spec:
        made_up = "matches"
        if not is_matches_reader(localizer):
            raise Failed(f"'{spec.name}' declares matches and has no method 'read'")
        localizer = checks.ReaderOfMaps(localizer, subject.matcher_spec.gives)
    # The declared grid first: it wins where another one fits as well.
    grids = dict.fromkeys([spec.grid, *checks.GRIDS])
    errors = {}
    try:
        reads_pixels = checks.reads_whole_pixels(localizer)
        for grid in grids:
            errors[grid] = checks.peak_error(localizer, grid, spec.reads)
    except Exception as error:
        # A localizer may need features of its own kind.
        raise Skipped(f"'{spec.name}' cannot be tried on made-up {made_up}: {one_line(error)}") from error
    if reads_pixels is not None and reads_pixels != (spec.reads == "pixel"):
        behaviour = "reads whole pixels" if reads_pixels else "tells points within a pixel apart"
        raise Failed(f"'{spec.name}' declares reads='{spec.reads}', but {behaviour}")
    best = min(grids, key=lambda grid: errors[grid])
    if errors[best] > PEAK_TOLERANCE:
        raise Skipped(f"'{spec.name}' does not find a made-up peak under any known grid")
    if errors[spec.grid] > PEAK_TOLERANCE:
        raise Failed(f"'{spec.name}' declares grid '{spec.grid}', but finds a peak where '{best}' puts it")
    return f"'{spec.name}': {spec.grid}, {spec.reads}"


def _check_many(subject: Subject) -> str:
    from harness.localizers import checks

    name, localizer = subject.localizer_spec.name, subject.localizer()
    if subject.matcher_spec:
        raise Skipped(f"'{name}' reads matches, which are one pair's")
    batch_localizer: object = localizer
    if not is_batch_localizer(batch_localizer):
        raise Skipped(f"'{name}' takes one pair at a time")
    tasks = []
    for pair, (source, target) in zip(subject.pairs, subject.maps, strict=True):
        tasks.append((source, target, spread_points(pair.source_size)))
    are_equal, distance = checks.batch_differences(batch_localizer, localizer, tasks)
    if not are_equal:
        raise Failed(f"predictions of '{name}' for a pair depend on the other pairs of the batch")
    if distance > BATCH_TOLERANCE:
        raise Failed(f"predictions of '{name}' differ by {distance:.2g} px from those of a call")
    return f"apart by {distance:.0e} px" if distance else "equal"


def _check_itself(subject: Subject) -> str:
    import torch

    from harness.localizers.on_grid import Argmax

    pair = subject.pairs[0]
    twin = replace(pair, target=pair.source, target_size=pair.source_size)
    source, target = subject.extract([twin])[0]
    size, points = pair.source_size, spread_points(pair.source_size)
    predicted = subject.locate(subject.localizer(), source, target, points).points.double().cpu()
    pck, largest = _pck(predicted, points, size)
    if pck == 100:
        return f"largest error {largest:.3f} of the image's longer side"
    name = subject.localizer_spec.name
    sides = torch.tensor(size, dtype=torch.float64)
    x, y = (predicted / sides).unbind(1)
    for remedy, other in {
        "x and y were swapped": (y, x),
        "x were counted from the right": (1 - x, y),
        "y were counted from below": (x, 1 - y),
        "both were counted from the other side": (1 - x, 1 - y),
    }.items():
        better, _ = _pck(torch.stack(other, 1) * sides, points, size)
        if better >= max(80, pck + 30):
            raise Failed(
                f"PCK@0.1 of the image is {pck:.0f}; "
                f"PCK would be {better:.0f} if in predictions of '{name}' {remedy}"
            )
    by_argmax = 0.0
    if subject.matcher_spec is None or subject.matcher_spec.gives == "volume":
        predicted = subject.locate(Argmax(), source, target, points).points.double().cpu()
        by_argmax, _ = _pck(predicted, points, size)
    if by_argmax > pck:
        raise Warned(f"'{name}' finds its own points with PCK@0.1 of {pck:.0f}, argmax with {by_argmax:.0f}")
    raise Warned(f"weak: PCK@0.1 of the image is {pck:.0f}, so its features do not tell all places apart")


def _pck(predicted: torch.Tensor, points: torch.Tensor, size: Size) -> tuple[float, float]:
    """PCK@0.1 in percent, and the largest error, in shares of the longer side, of which alpha is one too."""
    import torch

    errors = torch.linalg.vector_norm(predicted - points, dim=1) / max(size)
    return 100 * float((errors <= 0.1).double().mean()), float(errors.max())


LOCALIZER_CHECKS: Mapping[str, Callable[[Subject], str]] = {
    "the localizer reads the grid that it declares": _check_grid,
    "the localizer predicts the same for one pair and for many": _check_many,
    ITSELF: _check_itself,
}
"""Checks of the localizer, which hold whatever the extractor is."""

EXTRACTOR_CHECKS: Mapping[str, Callable[[Subject], str]] = {
    CHEAP: _check_import,
    MADE: _check_make,
    "feature maps are (C, h, w), finite, of the request's image": _check_maps,
    "the feature map lies the right way round": _check_layout,
    "the frame is the declared image size": _check_frame,
    "the same request gives the same features": _check_determinism,
    "features do not depend on the batch": _check_batch,
    "features do not depend on the category, as the scope says": _check_scope,
    "features are the same whether `prepare` ran ahead or not": _check_prepare,
}
"""Checks in their order: each returns a detail, or raises with one."""


def spread_points(size: Size) -> torch.Tensor:
    """(25, 2) points spread over the middle of an image, in original pixels."""
    import torch

    shares = torch.linspace(0.2, 0.8, 5, dtype=torch.float64)
    return torch.cartesian_prod(shares * size.width, shares * size.height)
