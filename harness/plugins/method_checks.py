"""Descriptive fields of methods, checked as a plugin is loaded: they end up in records and tables."""

from __future__ import annotations

from harness.errors import UserError
from harness.messages import listed
from harness.specs import MethodSpec
from harness.specs.tuning import check_tuned_on

_SUPERVISIONS = ("Z", "I", "K")
"""Zero-shot, image-level labels or pairs, keypoints."""


def check_method(method: MethodSpec) -> None:
    """Raises `UserError` for a field that tables could not print: supervision, training and tuning data."""
    subject = f"method '{method.name}'"
    if method.supervision not in _SUPERVISIONS:
        known = listed(list(_SUPERVISIONS))
        raise UserError(f"{subject}: supervision is {method.supervision!r}; known are {known}")
    if method.trained_on is not None and not isinstance(method.trained_on, str):
        raise UserError(
            f"{subject}: trained_on is {method.trained_on!r}, not a text; write one dataset's name, or None"
        )
    check_tuned_on(subject, method.tuned_on)
