"""Where a Ray cluster is, found out and checked before Ray itself waits minutes for an answer."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import NamedTuple

from harness.errors import UserError

PATIENCE = 5.0
"""Seconds for a cluster to answer."""

LOCAL = "local"
"""The address of a cluster that is started for this run, on this machine."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""What a client of HTTP/2 sends first, as gRPC and so Ray do: the preface and an empty frame of settings."""

_SETTINGS = 4
"""Kind of the frame that is answered."""


class Address(NamedTuple):
    """A cluster's address and who named it.

    Attributes:
        text: `HOST:PORT`, or `LOCAL`.
        source: `--address`, `RAY_ADDRESS`, or empty for one that was found.
    """

    text: str
    source: str = ""

    @property
    def subject(self) -> str:
        """What messages call it."""
        if not self.source:
            return f"the Ray cluster at {self.text}"
        return f"{self.source}{' ' if self.source.startswith('--') else '='}{self.text}"


def find_address(given: str | None) -> Address:
    """The address of a cluster that answers, or `LOCAL` where none was named and none runs here.

    `auto` is left as it is where nothing is found in the usual place.

    Args:
        given: value of --address.

    Raises:
        UserError: the address that was named is no address of a cluster, or nothing answers there.
    """
    named = Address(os.environ.get("RAY_ADDRESS", ""), "RAY_ADDRESS")
    # As Ray does: jobs of a cluster are told its address by the variable.
    if given and not (given == "auto" and named.text):
        named = Address(given, "--address")
    if named.text == LOCAL:
        return Address(LOCAL)
    if named.text and named.text != "auto":
        if trouble := _trouble(named.text):
            raise UserError(f"{named.subject}: {trouble}")
        return named
    # 'ray start' leaves it there, and 'ray stop' removes it; after a crash nothing answers.
    path = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster"
    try:
        found = path.read_text(encoding="utf-8").strip()
    except OSError:
        found = ""
    if found and not _trouble(found):
        return Address(found)
    # Ray knows more ways to find one that was asked for, and says so when there is none.
    return named if named.text else Address(LOCAL)


def _trouble(text: str) -> str:
    """Says why there is no cluster at an address; empty where one answers."""
    if "://" in text:
        return (
            "addresses with :// are those of Ray's client and dashboard; run bench on a machine of the "
            "cluster (or by 'ray job submit') with its own address, HOST:6379"
        )
    place = re.fullmatch(r"\[?(?P<host>[^\[\]]+?)\]?:(?P<port>\d{1,5})", text)
    if place is None or not 0 < int(place["port"]) < 1 << 16:
        return "is not HOST:PORT, auto or local"
    try:
        with socket.create_connection((place["host"], int(place["port"])), PATIENCE) as connection:
            connection.settimeout(PATIENCE)
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return ""
            connection.sendall(_PREFACE)
            frame = connection.recv(9)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"no Ray cluster answers there ({reason}); 'ray start --head' on that machine starts one"
    if len(frame) < 4 or frame[3] != _SETTINGS:
        return "what answers there is no Ray cluster; its port is that of 'ray start --head', 6379 by default"
    return ""
