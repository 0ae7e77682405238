"""Files that a spec names: part of a cell's identity, wherever they lie."""

from __future__ import annotations

import json

import pytest

from harness.errors import UserError
from harness.running.content import content_hashes, named_file_hashes
from harness.specs import LocalizerSpec, Located


def run(bench, photos, out, *more):
    return bench(
        "run", "--methods", "mine", "--datasets", f"folder={photos}", "--limit", "2", "--out", out, *more
    )


def ids(out):
    return sorted(path.parent.name for path in out.glob("*/record.json"))


def test_an_extractors_file(bench, photos, tmp_path, with_extractor):
    weights = tmp_path / "my.pt"
    weights.write_text("1")
    with_extractor(files=(weights,))
    out = tmp_path / "r"
    assert run(bench, photos, out).status == 0
    (first,) = ids(out)
    record = json.loads((out / first / "record.json").read_text())
    assert list(record["provenance"]["weights"]["files of mine"]) == ["my.pt"]
    assert "found" in run(bench, photos, out).err
    weights.write_text("2")
    assert "found" not in run(bench, photos, out).err
    assert len(ids(out)) == 2
    weights.unlink()
    missing = run(bench, photos, out)
    assert missing.status == 2
    assert f"extractor 'mine': {weights} is not there" in missing.complaint
    assert len(ids(out)) == 2


def test_files_that_follow_from_parameters(bench, photos, tmp_path, with_extractor):
    for size in ("small", "large"):
        (tmp_path / f"{size}.pt").write_text(size)
    with_extractor(files=lambda params: [tmp_path / f"{params['size']}.pt"], params={"size": "small"})
    out = tmp_path / "r"
    run(bench, photos, out, "--set", "size=small,large")
    before = ids(out)
    (tmp_path / "large.pt").write_text("changed")
    run(bench, photos, out, "--set", "size=small,large")
    assert len(before) == 2
    assert len(ids(out)) == 3


def test_a_localizers_file(bench, photos, tmp_path, with_extractor):
    table = tmp_path / "table.npy"
    table.write_text("1")
    calls = []

    def locate(source, target, points):
        import torch

        calls.append(len(points))
        return Located(points, torch.zeros(len(points)))

    spec = LocalizerSpec(name="looked-up", make=lambda: locate, files=(str(table),))
    with_extractor(localizers=[spec])
    out = tmp_path / "r"
    for text, count in (("1", 2), ("1", 2), ("2", 4)):
        table.write_text(text)
        run(bench, photos, out, "--localizers", "looked-up")
        assert len(calls) == count
    # The features are the same ones, so is the cell.
    assert len(ids(out)) == 1
    table.unlink()
    assert "localizer 'looked-up'" in run(bench, photos, out, "--localizers", "looked-up").complaint


def test_folders_and_files_of_one_name(tmp_path):
    for place in ("a", "b"):
        (tmp_path / place / "sub").mkdir(parents=True)
        (tmp_path / place / "sub" / "net.pt").write_text(place)
    (tmp_path / "a" / "linked").symlink_to(tmp_path / "b")
    (tmp_path / "a" / "circle").symlink_to(tmp_path / "a")
    assert list(content_hashes(tmp_path / "a")) == ["a/linked/sub/net.pt", "a/sub/net.pt"]
    paths = (tmp_path / "a" / "sub" / "net.pt", tmp_path / "b" / "sub" / "net.pt")
    assert len(named_file_hashes("x", paths, {})) == 2
    assert named_file_hashes("x", str(paths[0]), {}) == named_file_hashes("x", (paths[0],), {})
    with pytest.raises(UserError, match=r"extractor 'x': .*gone is not there"):
        named_file_hashes("extractor 'x'", (tmp_path / "gone",), {})
