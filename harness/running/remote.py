"""The work on some pairs of a cell in another process, as a stream of messages that pickle.

Predictions travel as Arrow bytes and errors as texts: what receives them needs no class of a plugin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import NotApplicable
from harness.messages import one_line
from harness.records.schema import Error
from harness.running.predict import Predictor, WantedPairs, Work
from harness.running.recording import describe_error
from harness.running.resolve import ResolvedCell
from harness.running.shards import shard_table
from harness.specs import SharedObjects

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class FinishedPairs:
    """Predictions of some pairs.

    Attributes:
        content: the table of `shard_table` as an Arrow stream.
    """

    content: bytes

    def table(self) -> pa.Table:
        """The rows."""
        import pyarrow as pa

        with pa.ipc.open_stream(self.content) as reader:
            return reader.read_all()


@dataclass(frozen=True)
class Account:
    """The end of the work: all pairs are predicted, or have failed by name."""

    work: Work


@dataclass(frozen=True)
class CellError:
    """The end of all work on the cell: method and prompt could not be made, or do not fit together.

    Attributes:
        reason: why the cell is not applicable; empty where it failed.
    """

    error: Error
    reason: str = ""


Message = FinishedPairs | Account | CellError


class RemoteWork:
    """The work of a process that predicts pairs for another one.

    Networks stay from one cell to the next, and feature maps from one unit of a cell to the next.
    """

    def __init__(self) -> None:
        self._shared = SharedObjects()
        self._resolved: ResolvedCell | None = None
        self._predictor: Predictor | None = None

    def predict(self, resolved: ResolvedCell, wanted: WantedPairs) -> Iterator[Message]:
        """Predicts pairs as `harness.running.predict.predict` does, and yields predictions every few dozen
        pairs, then the account.

        Errors of the cell are yielded and not raised.

        Args:
            resolved: the very same object where it is the cell of the unit before.
        """
        try:
            predictor = self._predictor_of(resolved)
            for predictions in predictor.predict(wanted):
                if predictions:
                    yield FinishedPairs(_as_stream(shard_table(resolved, predictions)))
            if predictions := predictor.fetch():
                yield FinishedPairs(_as_stream(shard_table(resolved, predictions)))
            yield Account(predictor.account())
        except NotApplicable as error:
            self._predictor = None
            yield CellError(describe_error(error), one_line(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's error fails its cell alone
            self._predictor = None
            yield CellError(describe_error(error))

    def _predictor_of(self, resolved: ResolvedCell) -> Predictor:
        if self._predictor is None or self._resolved is not resolved:
            # The maps of the former cell make room first.
            self._predictor = None
            self._predictor, self._resolved = Predictor(resolved, self._shared), resolved
        return self._predictor


def _as_stream(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content
