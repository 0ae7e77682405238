"""Localizers made by the names of their module and class.

A module of its own: a localizer's version has a hash of the code that makes it, and a new localizer in the
catalogue must not make the others new.
"""

from __future__ import annotations

from importlib import import_module

from harness.specs import Localizer


def make_localizer(module: str, class_name: str, **options: object) -> Localizer:
    """Imports a class and makes the localizer."""
    localizer: Localizer = getattr(import_module(module), class_name)(**options)
    return localizer
