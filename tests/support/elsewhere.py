"""The work of a cell, in a process of its own: imported by that process."""

from __future__ import annotations

import pickle

from harness.running.predict import predict

Predictions = dict[tuple[str, str], tuple[bytes, bytes]]
"""Pair and localizer -> bytes of points and scores."""


def predict_pickled(content: bytes) -> Predictions:
    """Predicts the first two pairs of a pickled `ResolvedCell`."""
    resolved = pickle.loads(content)
    predictions: Predictions = {}

    def hand_over(finished) -> None:
        for prediction in finished:
            points, score = prediction.located
            key = prediction.pair_id, prediction.localizer
            predictions[key] = points.numpy().tobytes(), score.numpy().tobytes()

    wanted = {pair_id: list(resolved.localizers) for pair_id in resolved.index.pair_ids[:2]}
    work = predict(resolved, wanted, hand_over)
    assert work.computed == 2
    assert not work.failures
    return predictions
