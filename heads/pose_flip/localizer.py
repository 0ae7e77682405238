"""The window soft-argmax of GeoAware-SC, with its pose flip."""

from __future__ import annotations

import torch

from harness.errors import ExtractionError
from harness.localizers.on_grid import WindowSoftmax
from harness.specs import FeatureMap, Located, PairAnnotations
from harness.specs.lengths import unit_features
from heads.pose_flip.formulas import merge_predictions, mirror_points, mutual_distance


class PoseFlip:
    """Predicts points from the source, or from its mirror image where that is nearer to the target.

    It reads the mirrored source's features in the last of the source map's `levels`
    (`heads.pose_flip.extractor`).

    Args:
        window, temperature: those of `WindowSoftmax`.
    """

    def __init__(self, window: int, temperature: float) -> None:
        self._plain = WindowSoftmax(window=window, temperature=temperature)

    def __call__(self, source: FeatureMap, target: FeatureMap, points: torch.Tensor) -> Located:
        """Predicts points from the source as it is: nothing says which points have partners."""
        return self._plain(source, target, points)

    def locate_annotated(
        self, source: FeatureMap, target: FeatureMap, points: torch.Tensor, annotations: PairAnnotations
    ) -> Located:
        """Predicts points (N, 2) of the target; those whose partner is visible perhaps from the mirror image.

        Raises:
            ExtractionError: the source's map has none of its mirror image.
        """
        plain = self._plain(source, target, points)
        is_replaced = torch.tensor([partner >= 0 for partner in annotations.partners], dtype=torch.bool)
        mirrored = _mirrored_map(source)
        if not is_replaced.any() or not _is_nearer(mirrored, source, target):
            return plain
        # A point without a visible partner stays what it was, wherever it is looked up.
        own = torch.arange(len(points))
        swapped = torch.where(is_replaced, torch.tensor(annotations.partners), own)
        queries = mirror_points(points[swapped.to(points.device)], source.frame.original.width)
        flipped = self._plain(mirrored, target, queries)
        is_replaced = is_replaced.to(plain.points.device)
        return Located(
            merge_predictions(plain.points, flipped.points, is_replaced),
            torch.where(is_replaced, flipped.score, plain.score),
        )


def _mirrored_map(source: FeatureMap) -> FeatureMap:
    """The map of a source's mirror image, which lies in its frame as the source does."""
    if not source.levels or source.levels[-1].shape != source.data.shape:
        raise ExtractionError("the source's map has no level with the features of its mirror image")
    return FeatureMap(source.levels[-1], source.frame, source.grid)


def _is_nearer(mirrored: FeatureMap, source: FeatureMap, target: FeatureMap) -> bool:
    """Says whether the mirrored source is nearer to the target; no masks are known."""
    features = [unit_features(each.data.float(), 0) for each in (mirrored, source, target)]
    of_mirrored, of_source = (mutual_distance(each, features[2]) for each in features[:2])
    return bool(of_mirrored < of_source)
