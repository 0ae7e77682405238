"""`docs/reference/record.md`: fields of a record, columns of predictions, from the code that reads them."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
import pydantic

from harness.records import schema
from harness.records.predictions import KEY_COLUMNS, NUMBER_COLUMNS, PREDICTIONS
from harness.records.truth_columns import truth_types
from harness.specs import Scalar
from tools.reference.markdown import NOTE, code, plain, table

_INTRODUCTION = """# A record and its predictions, field by field

Each cell of a [results folder](results-folder.md) has a `record.json` and a `predictions.parquet`. Numbers
are finite. A field that a record of an earlier version lacks has the value in the column *otherwise*; one
without such a value is in every record. An unknown field is refused.
"""

_PREDICTIONS = f"""## The columns of `{PREDICTIONS}`

One row for each pair, keypoint and localizer, sorted by these three. `pandas.read_parquet` reads it. The
columns after `score` are the *truth*, which predictions are scored with; files of earlier versions have none
of them.
"""

_COLUMNS: Mapping[str, str] = {
    "pair_id": "the pair, by a name that is unique in its split",
    "keypoint_id": "the keypoint, by a name that is unique in its pair",
    "localizer": "the localizer that predicted the point",
    "x": "the predicted point, in original pixels of the target image, (0, 0) its top left corner",
    "y": "as `x`, downwards",
    "score": "the localizer's own measure of how sure it is; comparable within one localizer alone",
    "source_image": "hash of the source picture's content, the same for its mirror image",
    "target_image": "the same of the target picture",
    "category": "the pair's category",
    "labels": "its difficulty labels as JSON, in order of name",
    "true_x": "the true point, in original pixels of the target image",
    "true_y": "as `true_x`, downwards",
    "target_width": "width of the target image in pixels",
    "target_height": "height of the target image in pixels",
    "box_x1": "left side of the target object's box, in original pixels; null where it has none",
    "box_y1": "its upper side",
    "box_x2": "its right side",
    "box_y2": "its lower side",
    "point_slice": "the slice of points that it counts in, `geometry-aware`, or empty; no such column where "
    "the dataset has none, and in earlier versions",
}
"""Column -> its meaning."""


def record_page() -> str:
    """Text of the page. Raises ValueError where a field or a column has no description."""
    models = list(_models())
    parts = [NOTE, _INTRODUCTION]
    for model in models:
        about = inspect.cleandoc(model.__doc__ or "")
        rows = [_field_row(model, name, field, models) for name, field in model.model_fields.items()]
        parts += [f"## {_heading(model)}\n", plain(about) + "\n"]
        parts.append(table(["field", "kind", "meaning", "otherwise"], rows))
    rows = [[code(name), kind, plain(_COLUMNS[name])] for name, kind in _column_kinds().items()]
    parts += [_PREDICTIONS, table(["column", "type", "meaning"], rows)]
    return "\n".join(parts)


def _models() -> Iterator[type[pydantic.BaseModel]]:
    """Yields the record and the objects in it, in the order in which fields name them."""
    waiting: list[type[pydantic.BaseModel]] = [schema.Record]
    seen = set(waiting)
    while waiting:
        model = waiting.pop(0)
        yield model
        for field in model.model_fields.values():
            for inner in _classes(field.annotation):
                if inner not in seen:
                    seen.add(inner)
                    waiting.append(inner)


def _classes(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _classes(part)


def _heading(model: type[pydantic.BaseModel]) -> str:
    return "`record.json`" if model is schema.Record else f"`{model.__name__}`"


def _field_row(
    model: type[pydantic.BaseModel],
    name: str,
    field: pydantic.fields.FieldInfo,
    models: list[type[pydantic.BaseModel]],
) -> list[str]:
    meaning = _descriptions(model).get(name)
    if not meaning:
        raise ValueError(f"{model.__name__}.{name} has no description; write one below it")
    otherwise = "" if field.is_required() else code(_json(field.get_default(call_default_factory=True)))
    annotation = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return [code(field.alias or name), _kind(annotation), plain(meaning), otherwise]


def _descriptions(model: type[pydantic.BaseModel]) -> dict[str, str]:
    """Field -> the text below it in the source."""
    (definition,) = ast.parse(inspect.getsource(model)).body
    texts: dict[str, str] = {}
    for statement, after in itertools.pairwise(getattr(definition, "body", [])):
        target, text = getattr(statement, "target", None), getattr(after, "value", None)
        if isinstance(target, ast.Name) and isinstance(after, ast.Expr) and isinstance(text, ast.Constant):
            texts[target.id] = inspect.cleandoc(str(text.value))
    return texts


_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    types.NoneType: "null",
    Scalar: "text, number, true, false or null",
}


def _kind(annotation: Any) -> str:
    """What a field's values are, in words."""
    parts = get_args(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation]
    if parts:
        return _compound_kind(get_origin(annotation), parts)
    if inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    raise ValueError(f"{annotation}: no word for this kind; add one")


def _compound_kind(origin: Any, parts: tuple[Any, ...]) -> str:
    """The same of a type with parameters."""
    if origin is Annotated:
        return _kind(parts[0]) + _bounds(parts[1:])
    if origin is Literal:
        return ", ".join(code(str(value)) for value in parts)
    if origin is dict:
        return f"object: text → {_kind(parts[1])}"
    if origin in (list, tuple):
        is_fixed = origin is tuple and Ellipsis not in parts
        return f"list of {len(parts)}, each a {_kind(parts[0])}" if is_fixed else f"list of {_kind(parts[0])}"
    # What is left are unions.
    return " or ".join(_kind(part) for part in parts)


def _bounds(metadata: tuple[Any, ...]) -> str:
    """The bounds of a number, from what pydantic was told."""
    texts = []
    for mark in metadata:
        if isinstance(mark, annotated_types.Gt):
            texts.append(f" above {mark.gt}")
        if isinstance(mark, annotated_types.Ge):
            texts.append(f", {mark.ge} or more")
        if isinstance(mark, pydantic.fields.FieldInfo):
            texts.append(_bounds(tuple(mark.metadata)))
    return "".join(texts)


def _json(value: object) -> str:
    return json.dumps(value)


def _column_kinds() -> dict[str, str]:
    """Column -> its type. Raises ValueError where descriptions and columns do not agree."""
    kinds = dict.fromkeys(KEY_COLUMNS, "text") | dict.fromkeys(NUMBER_COLUMNS, "float64")
    for name, kind in truth_types().items():
        kinds[name] = "text" if str(kind) == "string" else str(kind).replace("double", "float64")
    if kinds.keys() != _COLUMNS.keys():
        raise ValueError(f"describe each column: {sorted(kinds.keys() ^ _COLUMNS.keys())}")
    return kinds
