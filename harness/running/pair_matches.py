"""Matches of pairs: a matcher called with one pair after the other, and its results checked."""

from __future__ import annotations

from harness.errors import BenchError, ExtractionError
from harness.features.extraction import check_finite_output, is_out_of_memory, release_memory
from harness.isolation.origin import remember_origin
from harness.isolation.time_limit import NO_LIMIT, CallLimit, reason_to_avoid
from harness.messages import one_line
from harness.specs import FeatureMap, Lattice, Matcher, Matches, MatchesKind

_EXPECTED = {
    "volume": "a volume is a floating-point tensor of shape (h, w, h', w'), cells of source and target",
    "flow": "a flow is a floating-point tensor of shape (2, h, w), cells of the source",
}


class PairMatcher:
    """Calls a matcher.

    It sees one pair at a time: in a batch, the rounding of a pair's numbers would depend on the other pairs
    that a run asks for.

    Args:
        gives: the kind of matches that its spec declares.
        limit: the time that one call may take.
    """

    def __init__(self, matcher: Matcher, gives: MatchesKind, limit: CallLimit = NO_LIMIT) -> None:
        self._matcher, self._gives, self._limit = matcher, gives, limit

    def __call__(self, pair_id: str, source: FeatureMap, target: FeatureMap) -> Matches:
        """Returns the matches of a pair.

        Raises:
            ExtractionError: the matcher raised, or its result is not what its spec says.
        """
        import torch

        call = ("match", pair_id)
        if reason := reason_to_avoid(call):
            # It ended the process that made it.
            raise ExtractionError(reason)
        try:
            with torch.inference_mode(), self._limit.call(call):
                results = self._matcher.match([(source, target)])
            if len(results) != 1:
                raise ExtractionError(f"the matcher returned {len(results)} results for 1 pair")
            check_matches(results[0], source, target, self._gives)
        except Exception as error:  # noqa: BLE001 - a plugin's code, and its error fails its pair alone
            remember_origin(error)
            # The frames of the error hold the tensors that filled the memory.
            failure = error.with_traceback(None)
        else:
            return results[0]
        raise _described(pair_id, failure) from failure


def _described(pair_id: str, failure: Exception) -> BenchError:
    hint = ""
    if is_out_of_memory(failure):
        release_memory()
        hint = "; one pair is too much, try --precision bf16"
    return ExtractionError(f"matcher failed on {pair_id}: {one_line(failure)}{hint}")


def check_matches(result: object, source: FeatureMap, target: FeatureMap, gives: MatchesKind) -> None:
    """Checks that `result` is finite `Matches` of these maps' images, of the declared kind.

    Raises:
        ExtractionError: it is not.
    """
    if not isinstance(result, Matches):
        raise ExtractionError(f"the matcher returned a {type(result).__name__}, expected Matches")
    for side, lattice, feature_map in (("source", result.source, source), ("target", result.target, target)):
        if not isinstance(lattice, Lattice):
            raise ExtractionError(f"{side} of the matches is a {type(lattice).__name__}, expected a Lattice")
        if lattice.frame.original != feature_map.frame.original:
            raise ExtractionError(
                f"the {side}'s frame is of an image of {tuple(lattice.frame.original)} pixels, "
                f"the image has {tuple(feature_map.frame.original)}"
            )
    if (result.volume is None) == (result.flow is None):
        raise ExtractionError("matches hold either a volume or a flow")
    if result.kind != gives:
        raise ExtractionError(
            f"the matcher returned a {result.kind}, and its spec says that it gives {gives}"
        )
    start = (result.source.cells.height, result.source.cells.width)
    if result.volume is not None:
        end = (result.target.cells.height, result.target.cells.width)
        _check_tensor("volume", result.volume, (*start, *end))
    else:
        _check_tensor("flow", result.flow, (2, *start))
    if result.confidence is not None:
        _check_tensor("confidence", result.confidence, start)


def _check_tensor(name: str, tensor: object, shape: tuple[int, ...]) -> None:
    import torch

    expected = _EXPECTED.get(name, "a confidence is a floating-point tensor of shape (h, w)")
    if not isinstance(tensor, torch.Tensor):
        raise ExtractionError(f"{expected}; the matcher returned {type(tensor).__name__}")
    if tuple(tensor.shape) != shape or not tensor.is_floating_point():
        raise ExtractionError(
            f"{expected}: {shape} by the lattices; the matcher returned {tensor.dtype} of shape "
            f"{tuple(tensor.shape)}"
        )
    check_finite_output(tensor, f"the {name}")
