"""What tells two versions of a protocol apart."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from functools import partial

from harness.scoring.criteria import Criterion
from harness.scoring.measure_hash import _code_hash, measure_hash
from harness.specs import ProtocolSpec

SPEC = ProtocolSpec(name="mine", frame="original", strict=False)


def hash_of(**changes):
    return measure_hash(Criterion(replace(SPEC, **changes), (0.1,)))


def test_all_that_decides_a_point_is_hashed_and_nothing_else():
    assert hash_of(name="other", alphas=(0.3,), averaging="point", description="Other words.") == hash_of()
    changes = (
        *({}, {"frame": "stretched"}, {"strict": True}, {"clamp": 1.0}, {"side": 5}),
        *({"threshold": "box"}, {"threshold": 10.0}, {"threshold": 20.0}),
        *({"threshold": len, "length": "one length"}, {"threshold": len, "length": "another"}),
    )
    assert len({hash_of(**change) for change in changes}) == len(changes)
    assert hash_of(threshold=10) == hash_of(threshold=10.0)
    assert measure_hash(Criterion(SPEC, (0.1,), "box")) == hash_of(threshold="box")


def test_a_function_is_known_by_its_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    hashes = []
    for text in ("10", "20", "10"):
        (tmp_path / "own_length.py").write_text(f"def length(target, factor=1):\n    return {text}\n")
        sys.modules.pop("own_length", None)
        importlib.invalidate_caches()
        _code_hash.cache_clear()
        function = importlib.import_module("own_length").length
        hashes.append(hash_of(threshold=function, length="ten pixels"))
    sys.modules.pop("own_length", None)
    assert hashes[0] == hashes[2] != hashes[1]
    halves = {hash_of(threshold=partial(function, factor=factor), length="ten") for factor in (0.5, 2)}
    assert len(halves) == 2
