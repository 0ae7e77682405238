"""What a cell says of its work before the first pair is done."""

from __future__ import annotations

import pytest

from harness.running.steps import EncodingSteps
from harness.specs import Scope


@pytest.mark.parametrize(
    ("scope", "pairs", "needed", "text"),
    [
        ("image", 4, 8, "encoding images 1 to 8 of 8"),
        ("image", 3, 16, "encoding images 1 to 8 of 16 in whole batches"),
        ("pair", 20, 20, "encoding pairs 1 to 8 of 20"),
        ("pair", 20, 152, "encoding pairs 1 to 8 of 152 in whole batches"),
        ("pair", 20, None, "encoding pairs again"),
    ],
)
def test_more_than_the_wanted_pairs_have_is_explained(scope: Scope, pairs, needed, text):
    said: list[str] = []
    EncodingSteps(scope, said.append, pairs).begin_batch(8, needed)
    assert said == [text]
