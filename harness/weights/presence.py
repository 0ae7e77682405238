"""Whether weight sources are on this machine, where, and how large they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.messages import bytes_text, one_line
from harness.specs import WeightSource
from harness.weights.content import files_at, select_files_in
from harness.weights.places import find_weights, weights_folder

PresenceState = Literal["bundled", "fetched", "hub-cache", "partly", "absent"]


@dataclass(frozen=True)
class WeightPresence:
    """Presence of a source on this machine.

    Attributes:
        state: `bundled` with a package, `fetched` by this program, in Hugging Face's `hub-cache`,
            `partly` there or `absent`.
        path: file or folder; None where a plugin's own function found none.
        size: bytes of its files.
        download: about how many bytes a fetch brings; None where it is there, or nobody says it.
        origin: repository or address that it came from.
        reason: why it cannot be used.
    """

    state: PresenceState
    path: Path | None
    size: int | None = None
    download: int | None = None
    origin: str = ""
    reason: str = ""

    @property
    def is_there(self) -> bool:
        """Says whether the source can be used."""
        return self.state not in ("partly", "absent")

    @property
    def size_text(self) -> str:
        """`335 MB`; `about 5.16 GB to fetch` of one that is not there; a dash where neither is known."""
        if self.download is not None:
            return f"about {bytes_text(self.download)} to fetch"
        return bytes_text(self.size)


def weight_presence(source: WeightSource, root: Path | None = None) -> WeightPresence:
    """Looks for a source, without the network.

    Args:
        root: folder of fetched weights; None for the usual one.
    """
    try:
        location = find_weights(source, root)
        files = files_at(source, location.path)
        size = sum(file.stat().st_size for file in files.values())
    except Exception as error:  # noqa: BLE001 - one plugin's own locate must not hide the other sources
        reason = one_line(error)
        if source.locate:
            # A plugin looks for its weights in its own way, not in a folder that could be named here.
            return WeightPresence("absent", None, download=source.download_bytes, reason=reason)
        folder = weights_folder(source, root)
        is_begun = bool(select_files_in(source, folder).files)
        state: PresenceState = "partly" if is_begun else "absent"
        path = folder / source.file
        return WeightPresence(state, path, download=source.download_bytes, reason=reason)
    # A user's own files are named with --weights, and not looked for here.
    kind: PresenceState = "bundled" if location.kind == "package" else location.kind  # type: ignore[assignment]
    return WeightPresence(kind, location.path, size, origin=location.origin)
