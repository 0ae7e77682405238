"""Bytes of others, whatever they are: archives, notes beside a download, headers, targets of redirects."""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hostile_archives import check_archive, contents, draw_archive
from support.raw_server import RawServer, answer

from harness.downloads.download import download, part_of
from harness.downloads.files import _record_sha256
from harness.downloads.http import DownloadFailed
from harness.downloads.notes import content_length, content_range, notes_path, read_notes
from harness.errors import BenchError


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr(os, "sync", lambda: None)


@pytest.fixture(scope="module")
def place():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@settings(max_examples=50)
@given(st.randoms(use_true_random=True), st.integers(0, 2))
def test_an_archive_is_unpacked_inside_or_refused(random, strip):
    with tempfile.TemporaryDirectory() as folder:
        victim, deep = Path(folder, "victim"), Path(folder, "deep")
        victim.mkdir()
        deep.mkdir()
        (victim / "secret").write_bytes(b"secret")
        draw_archive(random, deep / "a", victim)
        check_archive(deep / "a", deep / "out", strip=strip)
        assert contents(victim) == {str(victim / "secret"): b"secret"}
        assert {path.name for path in Path(folder).iterdir()} == {"victim", "deep"}
        assert {path.name for path in deep.iterdir()} == {"a", "out"}


@settings(max_examples=40)
@given(
    st.binary(max_size=600),
    st.sampled_from([b"", b"PK\3\4", b"PK\5\6", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"]\0\0"]),
)
def test_any_bytes_are_no_archive(content, start):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a").write_bytes(start + content)
        check_archive(Path(folder, "a"), Path(folder, "out"))


@pytest.mark.parametrize("kind", ["a.zip", "a.tar", "a.tar.gz"])
def test_an_archive_that_is_cut_anywhere_is_refused(tmp_path, kind):
    whole = io.BytesIO()
    if kind == "a.zip":
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as out:
            out.writestr("top/1", b"content")
    else:
        with tarfile.open(fileobj=whole, mode="w:gz" if kind.endswith("gz") else "w") as out:
            info = tarfile.TarInfo("top/1")
            info.size = 7
            out.addfile(info, io.BytesIO(b"content"))
    content = whole.getvalue()
    archive = tmp_path / kind
    # A .tar ends with two blocks of zeros and is filled up with more: the first of them suffices.
    end = 1024 + 512 if kind == "a.tar" else len(content)
    for length in range(0, end, 1 if end < 400 else 37):
        archive.write_bytes(content[:length])
        assert not check_archive(archive, tmp_path / "out"), length
    archive.write_bytes(content)
    assert check_archive(archive, tmp_path / "out")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text('aé\u4e2d\0\r\n\x85 "', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["url", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)

notes_objects = st.fixed_dictionaries(
    {"url": st.just("http://127.0.0.1/x") | json_values},
    optional={"etag": json_values, "last_modified": json_values, "total": json_values, "other": json_values},
)


@settings(max_examples=60)
@given(notes_objects.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40))
def test_notes_are_read_or_refused_in_one_line(place, content):
    part = place / "x.part"
    notes_path(part).write_bytes(content)
    try:
        version = read_notes(part, "http://127.0.0.1/x")
    except ValueError as error:
        assert str(error)
        assert "\n" not in str(error)
        return
    if version is not None:
        validator = version.validator.encode("latin-1")
        assert b"\r" not in validator
        assert b"\n" not in validator
        assert version.total is None or version.total >= 0


@settings(max_examples=60)
@given(st.binary(max_size=80) | st.text("0123456789abcdefABCDEF", min_size=60, max_size=66).map(str.encode))
def test_a_hash_of_an_earlier_fetch_is_read_or_told(place, content):
    (place / "y.sha256").write_bytes(content)
    notes: list[str] = []
    changed = _record_sha256(place / "y", "0" * 64, notes.append)
    assert not (changed and notes)
    assert (place / "y.sha256").read_text() == f"{'0' * 64}  y\n"


@settings(max_examples=60)
@given(
    st.text("bytes 0123456789-/*\u0662x", max_size=40)
    | st.from_regex(r"bytes [0-9]{1,20}-[0-9]{1,20}/[0-9]{1,20}", fullmatch=True)
)
def test_headers_are_numbers_or_nothing(text):
    length = content_length({"Content-Length": text})
    assert length is None or 0 <= length < 10**18
    sent = content_range({"Content-Range": text})
    assert sent is None or 0 <= sent.start < sent.end <= sent.total < 10**18


targets = st.text("htp:/[]@#?%.0a19\\ \x00\x85\xe9é-", max_size=16).map(
    lambda text: text.replace("\xe9", "e")
)

addresses = (
    targets.map(lambda text: f"http://{text}")
    | targets
    | st.sampled_from(["gopher://x", "HTTP://", "http:///x", "//"])
)


@settings(max_examples=20)
@given(addresses)
def test_a_redirect_leads_to_the_file_or_to_one_line(place, target):
    sent = target.encode("utf-8", "replace").decode("latin-1")
    with RawServer(answer(b"", "302 Found", Location=sent), answer(b"content")) as server:
        try:
            part = download(f"{server.url}/z", place / "z", lambda *_: None)
            assert part.read_bytes() == b"content"
            part.unlink()
        except DownloadFailed as error:
            assert "\n" not in str(error)
        except BenchError as error:
            raise AssertionError(repr(error)) from error
    assert not part_of(place / "z").exists() or part_of(place / "z").stat().st_size == 0
