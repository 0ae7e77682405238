"""The seal of a record: a hash of its content, by which an edited one is told from the one that was written.

Spaces, the order of fields and the spelling of numbers (`50` for `50.0`) are not part of it.
"""

from __future__ import annotations

import hashlib
import json

from harness.files import parse_json

SEAL = "sealed"
"""The field that holds it, which is no part of what is hashed."""


def seal_of(content: bytes | str) -> str:
    """The seal that belongs to a record.

    Args:
        content: of its file, with a seal or without.

    Raises:
        ValueError: the content is not the JSON of an object.
    """
    fields = parse_json(content)
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    fields.pop(SEAL, None)
    text = json.dumps(_with_plain_numbers(fields), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _with_plain_numbers(value: object) -> object:
    """The same values, with whole numbers as integers: other programs write `50.0` as `50`."""
    if isinstance(value, dict):
        return {key: _with_plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_plain_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
