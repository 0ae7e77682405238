"""Whose code runs: a plugin, or an object that it made, with the settings that hold for it alone."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import harness.isolation.settings as process_settings
from harness.isolation.reads import Reads

_PLAIN = (str, int, float, bool, bytes, type(None))


class Owner:
    """A plugin or an object that it made (an extractor, a dataset), and the settings that it gave itself.

    What a plugin sets while its modules are imported holds for all that it makes; what an object's code sets,
    for that object. So one of a plugin's methods does not depend on whether another one ran before.

    Args:
        name: the plugin's name.
        plugin: the plugin, for an object that it made.

    Attributes:
        own: label of a setting -> its value for this owner, where that is not the process's.
        search_path: `sys.path` as the plugin's module left it at its first import.
        told: labels of the settings, and files, that users have been told of; the plugin's, for an object.
        reads: files that the code opens; None for an object whose files are no part of a cell's identity.
        loading: files that the plugin's modules opened when they were imported.
    """

    def __init__(self, name: str, plugin: Owner | None = None) -> None:
        self.name = name
        self.plugin = plugin or self
        self.own: dict[str, Any] = {}
        self.search_path: tuple[str, ...] = ()
        self.told: set[str] = plugin.told if plugin else set()
        self.reads: Reads | None = None
        self.loading: Reads = plugin.loading if plugin else Reads()

    def child(self) -> Owner:
        """Returns the owner for an object that the plugin makes."""
        return Owner(self.name, self.plugin)

    def inherited(self) -> dict[str, Any]:
        """The settings of the plugin that hold for an object of it; none for the plugin itself."""
        return {} if self.plugin is self else dict(self.plugin.own)

    def __reduce__(self) -> tuple[object, ...]:
        # A worker process has settings of its own to put back; those of the plugin are needed there, too.
        values = {**self.inherited(), **self.own}
        own = {label: value for label, value in values.items() if is_plain(value)}
        return _owner_elsewhere, (self.name, own, set(self.told))


def _owner_elsewhere(name: str, own: dict[str, Any], told: set[str]) -> Owner:
    owner = Owner(name)
    owner.own, owner.told = own, told
    return owner


def is_plain(value: Any) -> bool:
    """Says whether a value means the same in another process, and something to a reader."""
    if value is process_settings.ABSENT:
        return False
    if isinstance(value, tuple):
        return all(map(is_plain, value))
    return isinstance(value, _PLAIN) or type(value).__module__ == "torch"


_OWNERS: WeakKeyDictionary[Any, Owner] = WeakKeyDictionary()


def owner_of(module: object, owner: Owner) -> Owner:
    """Returns the owner of a plugin's module: the earlier one where this process has loaded it before.

    A module sets what it sets when it is imported first; the next time that a host loads it, nothing happens.

    Args:
        owner: the owner to take where the module is new.
    """
    # What the process has, where the module left that alone.
    owner.search_path = owner.own.get("sys.path", ())
    try:
        return _OWNERS.setdefault(module, owner)
    except TypeError:
        # An object that no reference can be kept of; it is no module, and was made just now.
        return owner
