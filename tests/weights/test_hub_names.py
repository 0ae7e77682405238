"""A hub, or a mirror of one, that lists files which must not be written, or answers what a hub does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hub_server import Hub, commit_of

from harness.downloads.holding import FETCHING
from harness.errors import UserError
from harness.files import parse_json
from harness.messages import printable
from harness.specs import WeightSource
from harness.weights.fetch import FetchedWeights, fetch_weights
from harness.weights.listing import git_hash, listed_files, names_problem
from harness.weights.places import find_weights

NAME = "owner/name"


class ListingHub(Hub):
    """A hub whose listing is given as it is."""

    listing: bytes | None = None

    def _describe(self, handler, repository, revision):
        if self.listing is None:
            return super()._describe(handler, repository, revision)
        return self._reply(handler, 200, self.listing, {"Content-Type": "application/json"})


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with ListingHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def source(*patterns: str) -> WeightSource:
    return WeightSource(name="mine", mirrors=(NAME,), files=patterns)


def fetch(root: Path, *patterns: str) -> FetchedWeights:
    return fetch_weights(source(*patterns), root / "deep" / "weights", lambda *_: None)


def refusal(root: Path, *patterns: str) -> str:
    with pytest.raises(UserError) as caught:
        fetch(root, *patterns)
    assert [path for path in root.rglob("*") if path.is_file()] == []
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../../x", "leads out of the folder"),
        ("/tmp/x", "leads out of the folder"),
        ("a/../../../x", "leads out of the folder"),
        ("..", "leads out of the folder"),
        ("/", "leads out of the folder"),
        ("C:x", "leads out of the folder"),
        ("a\\..\\..\\x", "leads out of the folder"),
        ("", "is no file's name"),
        (".", "is no file's name"),
        ("a//b", "is no file's name"),
        ("a/./b", "is no file's name"),
        ("a/", "is no file's name"),
        ("a\0b", "characters that no file should have"),
        ("\x1b[31m", "characters that no file should have"),
        ("a\nb", "characters that no file should have"),
        ("\u202egnp.exe", "characters that no file should have"),
        ("x" * 300, "name is too long"),
        ("\u4e2d" * 100, "name is too long"),
        ("a/" * 70 + "b", "lies in too many folders"),
        (".Bench-fetching", "this program uses itself"),
    ],
)
def test_a_name_that_must_not_be_written(hub, tmp_path, name, problem):
    hub.repositories[NAME] = {"good": b"x", name: b"evil"}
    line = refusal(tmp_path)
    assert line.startswith(f"weights mine: {NAME} lists a file '")
    assert problem in line
    assert not hub.downloads


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("model", "Model"), "both 'Model' and 'model', which are one file on some machines"),
        (("a", "a/b"), "'a' as a file, and 'a/b' in it"),
        (("A/b/c", "a/B"), "'a/B' as a file, and 'A/b/c' in it"),
    ],
)
def test_names_that_stand_in_each_others_way(hub, tmp_path, names, problem):
    hub.repositories[NAME] = dict.fromkeys(names, b"x")
    assert f"{NAME} lists {problem}; refused" in refusal(tmp_path)


def test_a_star_is_no_way_out(hub, tmp_path):
    hub.repositories[NAME] = {"../model.bin": b"evil"}
    assert "'../model.bin', which leads out of the folder" in refusal(tmp_path, "*/model.bin")


def test_a_name_that_nobody_wants_is_in_nobodys_way(hub, tmp_path):
    hub.repositories[NAME] = {"model.bin": b"good", "../evil": b"evil", "back\\slash": b"odd"}
    assert list(fetch(tmp_path, "model.bin").record.files) == ["model.bin"]


def listing(*siblings: object, **fields: object) -> bytes:
    return json.dumps({"sha": commit_of(NAME), "siblings": siblings, **fields}).encode()


@pytest.mark.parametrize(
    "content",
    [
        listing({"rfilename": 5}),
        listing({"size": 1}),
        listing("x"),
        listing(siblings=5),
        listing(siblings={"rfilename": "x"}),
        listing({"rfilename": "x", "size": "1"}),
        listing({"rfilename": "x", "size": -1}),
        listing({"rfilename": "x", "size": True}),
        listing({"rfilename": "x", "lfs": 5}),
        listing({"rfilename": "x", "lfs": {"sha256": 5}}),
        listing({"rfilename": "x", "lfs": {"sha256": "0" * 63}}),
        listing({"rfilename": "x", "blobId": 5}),
        listing(sha=5),
        b"[" * 100_000,
        b'{"siblings": [{"rfilename": "x", "size": ' + b"9" * 5000 + b"}]}",
        b"<html>please log in</html>",
        b"\xff\xfe",
        b"null",
        b"",
    ],
)
def test_an_answer_that_is_none_of_a_hub(hub, tmp_path, content):
    hub.listing = content
    assert "does not answer as a Hugging Face hub does (" in refusal(tmp_path)


def test_a_listing_without_end(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.weights.hub._LONGEST_LISTING", 1_000_000)
    hub.listing = b" " * 1_000_001
    assert "more than 1 MB for a list of files" in refusal(tmp_path)


def test_a_folder_is_no_source_while_files_of_it_are_still_to_come(hub, tmp_path):
    """Some files of a pattern do not show that others are missing."""
    hub.repositories[NAME] = {"a.bin": b"a" * 1000, "b.bin": b"b" * 1000}
    hub.cut_after = 400
    for _ in range(3):
        with pytest.raises(UserError, match="broke off"):
            fetch(tmp_path, "*.bin")
    folder = tmp_path / "deep" / "weights" / "mine"
    assert sorted(path.name for path in folder.iterdir()) == [
        FETCHING,
        "a.bin",
        "b.bin.part",
        "b.bin.part.json",
    ]
    with pytest.raises(UserError, match=f"broke off or still goes on \\(delete {folder}/{FETCHING} if you"):
        find_weights(source("*.bin"), folder.parent)
    hub.cut_after = None
    assert fetch(tmp_path, "*.bin").new
    assert sorted(path.name for path in folder.iterdir()) == ["a.bin", "b.bin", "bench-weights.json"]
    assert find_weights(source("*.bin"), folder.parent).kind == "fetched"


def test_a_first_fetch_that_brings_nothing_leaves_nothing(hub, tmp_path):
    refusal(tmp_path)
    assert not (tmp_path / "deep" / "weights" / "mine").exists()


def test_git_s_hash_of_a_large_file_is_not_made_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read whole"))
    (tmp_path / "x").write_bytes(b"content\n")
    assert git_hash(tmp_path / "x") == "d95f3ad14dee633a758d2e331151e950dd13e4ed"


texts = st.text(st.sampled_from("aAz09 ./\\:\0\n\x1b\x7f\x85\u202e\u4e2d\ud800\udfff\U0001f600"), max_size=8)

path_parts = (
    st.sampled_from(["", ".", "..", "a", "A", "b", "~", "C:", "\\", "\0", "\ud800", "x" * 201]) | texts
)

paths = st.lists(path_parts, max_size=5).map("/".join)


@settings(max_examples=100)
@given(st.lists(paths, max_size=6))
def test_names_that_are_taken_lie_in_the_folder_and_apart(names):
    if problem := names_problem(names):
        assert printable(problem) == problem
        return
    folder = Path("/somewhere/folder")
    for name in names:
        path = folder / name
        assert path.is_relative_to(folder)
        assert ".." not in path.parts
        assert path.relative_to(folder).as_posix() == name
        name.encode()
    folded = {name.casefold() for name in names}
    assert len(folded) == len(set(names))
    assert not any(str(above) in folded for name in folded for above in Path(name).parents)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["rfilename", "size", "lfs", "sha256", "blobId", "sha"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=100)
@given(
    st.dictionaries(st.sampled_from(["sha", "siblings", "id"]), st.lists(values, max_size=3) | values)
    | values
)
def test_a_listing_is_read_or_refused_in_one_line(content):
    try:
        commit, files = listed_files(content)
    except ValueError as error:
        assert "\n" not in str(error)
        return
    assert isinstance(commit, str)
    for name, file in files.items():
        assert isinstance(name, str)
        assert file.size is None or file.size >= 0


@settings(max_examples=100)
@given(st.binary(max_size=60) | texts.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_json_or_refused_in_one_line(content):
    try:
        parse_json(content)
    except ValueError as error:
        assert "\n" not in str(error)
