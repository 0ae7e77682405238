"""Values in bounded memory."""

from __future__ import annotations

from harness.caching.lru import ByteLRU


def lru(limit: int, at_least: int = 1) -> ByteLRU[str]:
    """An LRU of texts, one byte a letter."""
    return ByteLRU(limit, len, at_least)


def test_the_least_recently_used_value_goes_first():
    values = lru(6)
    for key, value in (("a", "aa"), ("b", "bb"), ("c", "cc")):
        values.put(key, value)
    assert values.get("a") == "aa"
    values.put("d", "dd")
    assert list(values) == ["c", "a", "d"]
    assert values.get("b") is None


def test_a_value_in_place_of_another_counts_once():
    values = lru(4)
    values.put("a", "aaa")
    values.put("a", "a")
    values.put("b", "bbb")
    assert list(values) == ["a", "b"]
    assert values.largest == 3


def test_the_last_values_stay_whatever_their_size():
    assert [list(fill(lru(1, at_least))) for at_least in (1, 2)] == [["c"], ["b", "c"]]


def fill(values: ByteLRU[str]) -> ByteLRU[str]:
    """Puts three values of three bytes each."""
    for key in "abc":
        values.put(key, 3 * key)
    return values


def test_what_is_dropped_makes_room():
    values = fill(lru(9))
    values.drop("b")
    values.drop("b")
    values.put("d", "ddd")
    assert list(values) == ["a", "c", "d"]
    assert len(values) == 3


def test_once_computes_what_is_not_held():
    values, computed = lru(6), []

    def value(key: str) -> str:
        return values.once(key, lambda: (computed.append(key), 3 * key)[1])

    assert [value(key) for key in "abacb"] == ["aaa", "bbb", "aaa", "ccc", "bbb"]
    assert computed == ["a", "b", "c", "b"]


def test_a_lower_limit_counts_at_the_next_use():
    values = fill(lru(9))
    values.limit = 3
    assert len(values) == 3
    values.once("c", str)
    assert list(values) == ["c"]
