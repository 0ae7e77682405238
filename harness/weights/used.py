"""The weight sources that a method's networks read."""

from __future__ import annotations

from harness.plugins.host import Host
from harness.specs import NO_MATCHER


def network_weights(host: Host, extractor: str, matcher: str) -> list[str]:
    """Names of the weight sources that networks read: the extractor's, then the matcher's, each once.

    Args:
        extractor, matcher: their names.

    Raises:
        UserError: one of them is unknown.
    """
    names = list(host.extractors[extractor].weights)
    if matcher != NO_MATCHER:
        names += host.matchers[matcher].weights
    return list(dict.fromkeys(names))
