"""Copies of a cell that were scored under two versions of one protocol."""

from __future__ import annotations

from support.made_up_records import a_record, with_provenance

from harness.records.joining import join_copies
from harness.records.runs import StoredCell


def scored(method, pck, measure=None, **options):
    record = with_provenance(a_record(method, pck, **options), started=f"2026-01-0{len(method)}T00:00:00")
    return record.model_copy(update={"measures": {"sd4match": measure} if measure else {}})


def test_copies_scored_under_two_versions_are_not_put_together(tmp_path):
    """At alphas that one of them lacks, no number contradicts another."""
    first = scored("a", 90.0, "old", alphas=(0.05,)).model_copy(update={"predictions_sha256": "f"})
    second = scored("a", 90.0, "new", alphas=(0.1,)).model_copy(update={"predictions_sha256": "f"})
    copies = [StoredCell(tmp_path / name / "cell", record) for name, record in (("r", first), ("s", second))]
    (line,) = join_copies(copies).conflicts
    assert "have scores of two versions of protocol sd4match; 'bench rescore' makes them anew" in line
    assert len(join_copies(copies).chosen.record.scores) == len(first.scores)
    same = [copies[0], StoredCell(copies[1].folder, second.model_copy(update={"measures": first.measures}))]
    assert not join_copies(same).conflicts
    assert len(join_copies(same).chosen.record.scores) == 2 * len(first.scores)
