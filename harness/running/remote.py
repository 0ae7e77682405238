"""The work on some pairs of a cell in another process, as a stream of messages that pickle.

Predictions travel as Arrow bytes and errors as texts: what receives them needs no class of a plugin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import NotApplicable
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


def predict_elsewhere(
    resolved: ResolvedCell, wanted: WantedPairs, shared: SharedObjects | None = None
) -> Iterator[Message]:
    """Predicts pairs as `predict` does, and yields a shard every few dozen pairs, then the account.

    Errors of the cell are yielded and not raised.

    Args:
        shared: keeps loaded networks for the next work of this process.
    """
    try:
        predictor = Predictor(resolved, shared)
        for predictions in predictor.predict(wanted):
            if predictions:
                yield FinishedPairs(_as_stream(shard_table(resolved, predictions)))
        if predictions := predictor.fetch():
            yield FinishedPairs(_as_stream(shard_table(resolved, predictions)))
        yield Account(predictor.account())
    except NotApplicable as error:
        yield CellError(describe_error(error), str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's error fails its cell alone
        yield CellError(describe_error(error))


def _as_stream(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content
