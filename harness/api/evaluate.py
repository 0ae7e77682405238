"""`harness.evaluate`: an extractor that is an object of the session, without packaging a plugin."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from harness.api.handing_over import FunctionExtractor, Maker, SessionPlugin, hand_over
from harness.api.object_content import content_of
from harness.api.run import read_run_arguments, run_to_frame
from harness.api.values import FilePath, Integers, Numbers, Texts
from harness.errors import UserError
from harness.frames import GridConvention
from harness.plugins.loading import load_plugins
from harness.plugins.registry import SESSION
from harness.specs import NO_PROMPT, ExtractorSpec, ImageExtractor, MethodSpec, PairExtractor

if TYPE_CHECKING:
    import pandas as pd

    from harness.plugins.host import Host

Extractor = ExtractorSpec | ImageExtractor | PairExtractor | type | Callable[[Any], Any]
"""What `evaluate` takes."""

NOTES = (
    "An object of a Python session: its code is not kept, and its cells are computed anew each time. The "
    "hash behind 'an object' in the record covers its code and values as far as they can be read."
)


def evaluate(
    extractor: Extractor,
    datasets: Texts = "shapes",
    *,
    name: str | None = None,
    image_size: int | tuple[int, int] | None = None,
    grid: GridConvention | None = None,
    scope: Literal["image", "category", "pair"] | None = None,
    prompt: str | None = None,
    localizers: Texts = "argmax",
    protocols: Texts = "sd4match",
    alphas: Numbers | None = None,
    params: Mapping[str, Any] | None = None,
    seeds: Integers = 0,
    split: str | None = None,
    categories: Texts | None = None,
    limit: int | None = None,
    weights: Texts = (),
    weights_root: FilePath | None = None,
    device: str = "auto",
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    batch_size: int = 8,
    cache_gb: float = 4.0,
    workers: int | None = None,
    out: FilePath = "results",
    data_root: FilePath | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Evaluates a feature extractor that is an object of this session, as if it were a plugin.

    Its cells stand in the results folder and in the same leaderboards as all others. They are computed anew
    with every call, and nothing that an interrupted call left is used: no number of an earlier state of the
    object can pass for one of the present. Where its code or its values have changed, so far as they can be
    read, it has a cell of its own beside the earlier one.

    Args:
        extractor: one of

            - a function of one picture: RGB (PIL) -> (C, h, w) floating-point tensor or array;
            - a network, as `harness.preprocess.StretchedExtractor(network, size, grid)`;
            - an object with `extract(requests)`, or with `extract_pairs(pairs)`, as a plugin makes it
              (`harness.specs.ImageExtractor` and `PairExtractor`);
            - a class of such objects, which is called with a `MakeContext` where it takes an argument;
            - a `harness.specs.ExtractorSpec`, which says all else by itself.
        datasets: names of `bench list datasets`, or `NAME=PATH`.
        name: the method's name in tables; None for that of the class or function, `MeanColours` becoming
            `mean-colours`.
        image_size: width and height, or one side, of the image the extractor is fed, in which the protocol
            sd4match measures; None for 768 x 768. Pictures are stretched to it for a function, which is fed
            them as they are where it is None; an object stretches them by itself.
        grid: how the cells of a function's map lie on the image's pixels, `corner`, `half-pixel` or
            `patch-centre`; None leaves it to the localizer.
        scope: all that features depend on besides a prompt: the `image`, the `category` or the `pair`. None
            for `pair` where the object has `extract_pairs` alone, else `image`.
        prompt: a prompt type of `bench list prompts`, whose value the requests bring; None for none, or for a
            spec's own kinds the empty one.
        localizers, protocols, alphas, params, seeds, split, categories, limit: as in `harness.run`.
        weights, weights_root, device, precision: likewise; a function or an object is on its device already.
        batch_size: requests in one call of `extract`.
        cache_gb, workers, out, data_root, progress: as in `harness.run`.

    Returns:
        Their leaderboard, as `harness.run` returns it. An extractor that fails, or returns what is no feature
        map, keeps its row, with the reason in the note and in a `harness.errors.BenchWarning`.

    Raises:
        UserError: the object is no extractor, its name is taken, or an argument is wrong; in one line.
    """
    host = load_plugins()
    size = None if image_size is None else _read_size(image_size)
    spec = _spec_of(extractor, name or _name_of(extractor), size=size, grid=grid, scope=scope, prompt=prompt)
    _load(host, spec, content_of((extractor, size, grid)).digest, prompt)
    arguments = read_run_arguments(
        methods=[spec.name],
        datasets=datasets,
        split=split,
        categories=categories,
        localizers=localizers,
        protocols=protocols,
        alphas=alphas,
        params=params,
        seeds=seeds,
        limit=limit,
        weights=weights,
        weights_root=weights_root,
        device=device,
        precision=precision,
        batch_size=batch_size,
        cache_gb=cache_gb,
        workers=workers,
        fresh=True,
        out=out,
        data_root=data_root,
    )
    return run_to_frame(host, arguments, has_progress=progress, resumes=False)


def _spec_of(
    extractor: Extractor,
    name: str,
    *,
    size: tuple[int, int] | None,
    grid: GridConvention | None,
    scope: Literal["image", "category", "pair"] | None,
    prompt: str | None,
) -> ExtractorSpec:
    """The spec that a plugin would bring. Raises `UserError` for what is no extractor."""
    if isinstance(extractor, ExtractorSpec):
        _refuse("an ExtractorSpec says that by itself", image_size=size, grid=grid, scope=scope)
        return replace(extractor, name=name, make=Maker(extractor.make))
    if has_method(extractor, "extract") or has_method(extractor, "extract_pairs"):
        _refuse("the feature maps of an object bring their own", grid=grid)
        default: Literal["image", "pair"] = "image" if has_method(extractor, "extract") else "pair"
        made: Any = extractor
    elif isinstance(extractor, type) or not callable(extractor) or _is_network(extractor):
        raise UserError(f"extractor: {_describe(extractor)}")
    else:
        own_scope = None if scope == "image" else scope
        _refuse("a function is given a picture and nothing else", scope=own_scope, prompt=prompt)
        default, made = "image", FunctionExtractor(extractor, size, grid)
    return ExtractorSpec(
        name=name,
        make=Maker(partial(hand_over, made)),
        scope=scope or default,
        image_size=size or (768, 768),
    )


def has_method(extractor: object, name: str) -> bool:
    """Says whether an object, or objects of a class, have a method."""
    return callable(getattr(extractor, name, None))


def _describe(extractor: object) -> str:
    """Says why something is no extractor, and what is one."""
    if isinstance(extractor, str):
        return f"{extractor!r} is a text; harness.run({extractor!r}) runs a method by its name"
    kind = extractor if isinstance(extractor, type) else type(extractor)
    if _is_network(extractor):
        return (
            f"{kind.__name__} is a network, which knows no pictures; "
            "harness.preprocess.StretchedExtractor(network, (width, height)) feeds them to it"
        )
    return (
        f"{kind.__name__} has neither extract nor extract_pairs; give a function of a picture, an object "
        "with extract(requests), or a harness.specs.ExtractorSpec"
    )


def _is_network(extractor: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(extractor, torch.nn.Module)


def _refuse(reason: str, **arguments: object) -> None:
    """Raises `UserError` for an argument that means nothing here."""
    for name, value in arguments.items():
        if value is not None:
            raise UserError(f"{name}: {reason}; leave it out")


def _read_size(value: Any) -> tuple[int, int]:
    """`(width, height)`, or one number for both. Raises `UserError` for anything else."""
    sides = (value, value) if isinstance(value, int) else value
    is_pair = isinstance(sides, tuple | list) and len(sides) == 2
    if not is_pair or not all(isinstance(side, int) and side > 0 for side in sides):
        raise UserError(f"image_size={value!r}: expected (width, height) in pixels, or one number for both")
    return tuple(sides)


def _name_of(extractor: Any) -> str:
    """The name of a spec, class, function or object's class as methods have it: `MeanColours` is
    `mean-colours`.
    """
    if isinstance(extractor, ExtractorSpec):
        return extractor.name
    source = getattr(extractor, "func", extractor)
    name = getattr(source, "__name__", None) or type(source).__name__
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "extractor"


def _load(host: Host, spec: ExtractorSpec, digest: str, prompt: str | None) -> None:
    """Loads an extractor as the plugin that it stands for.

    Args:
        digest: of its content, in place of a plugin's version.

    Raises:
        UserError: its name is taken or cannot be typed, or it takes no such prompt.
    """
    taken = host.methods.same_name(spec.name) or host.extractors.same_name(spec.name)
    if taken:
        raise UserError(f"name: a method '{taken}' is installed; give another one, name='my-{spec.name}'")
    kinds = spec.prompt_kinds
    if prompt is not None and not kinds:
        kinds = frozenset({host.prompts[prompt].kind})
    method = MethodSpec(
        name=spec.name,
        extractor=spec.name,
        prompt=prompt or ("empty" if kinds else NO_PROMPT),
        notes=NOTES,
        description=spec.description,
    )
    plugin = SessionPlugin(replace(spec, prompt_kinds=kinds), method)
    host.load(SESSION, "an object", digest, lambda: plugin)
    loaded = host.plugins[-1]
    if loaded.status != "loaded":
        raise UserError(f"extractor: {loaded.reason.replace('bench_extractors returned', 'has')}")
