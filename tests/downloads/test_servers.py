"""Servers that answer what they should not, and what lies beside a download that broke off."""

from __future__ import annotations

import json
import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest
from support.raw_server import RawServer, answer

import harness.downloads.http as http_module
from harness.downloads.download import download, part_of
from harness.downloads.files import FetchedFile, fetch_files
from harness.downloads.http import DownloadFailed
from harness.errors import NotWritten, UserError
from harness.specs import RemoteFile


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def fetch(server: RawServer, folder: Path, **changes: object) -> FetchedFile:
    file = RemoteFile(f"{server.url}/list.csv", "list.csv", provides="list.csv", **changes)
    return next(iter(fetch_files("dataset d", [file], folder, lambda *_: None)))


def refusal(server: RawServer, folder: Path) -> str:
    """The line that a fetch ends with; nothing is left of it."""
    with pytest.raises(UserError) as caught:
        fetch(server, folder)
    assert list(folder.iterdir()) == []
    assert str(caught.value).isprintable()
    assert str(caught.value).startswith(f"dataset d: {server.url}/list.csv: ")
    return str(caught.value)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("http://[::bad", "leads to an address that is none (Invalid IPv6 URL)"),
        ("http://\xe9..", "leads to an address that is none"),
        ("http://" + "a" * 70 + ".invalid/", "leads to an address that is none"),
        ("http://127.0.0.1:99999/", "leads to an address that is none (Port out of range 0-65535)"),
        ("http://127.0.0.1:x/", "leads to an address that is none"),
        ("http://:8/", "is redirected to http://:8/, which is no web server"),
        ("file:///etc/passwd", "is redirected to file:///etc/passwd, which is no web server"),
        ("ftp://127.0.0.1/x", "is redirected to ftp://127.0.0.1/x, which is no web server"),
        ("data:text/plain,x", "is redirected to data:text/plain,x, which is no web server"),
        ("/list.csv", "is redirected more than 20 times"),
        ("\x00", "is redirected more than 20 times"),
    ],
)
def test_a_redirect_that_leads_nowhere(tmp_path, target, problem):
    with RawServer(answer(b"", "302 Found", Location=target)) as server:
        assert problem in refusal(server, tmp_path)


def test_the_body_of_a_redirect_is_not_read(tmp_path):
    endless = answer(b"", "302 Found", length=False, Location="/elsewhere")

    def send_without_end(connection):
        connection.sendall(endless)
        for _ in range(10_000):
            connection.sendall(bytes(100_000))

    with RawServer(send_without_end, answer(b"content")) as server:
        assert fetch(server, tmp_path).size == 7


def test_a_token_is_not_sent_to_another_host(tmp_path):
    with RawServer(answer(b"content")) as other:
        target = other.url.replace("127.0.0.1", "localhost")
        with RawServer(answer(b"", "302 Found", Location=target)) as server:
            download(f"{server.url}/x", tmp_path / "x", lambda *_: None, {"Authorization": "Bearer secret"})
        assert b"secret" in server.requests[0]
        assert b"secret" not in other.requests[0]


@pytest.mark.parametrize(
    "notes",
    [
        '{"url": "URL", "etag": 5}',
        '{"url": "URL", "etag": "\u4e2d"}',
        '{"url": "URL", "etag": "a\\r\\nEvil: b"}',
        '{"url": "URL", "etag": " x"}',
        '{"url": "URL", "total": "3"}',
        '{"url": "URL", "total": -3}',
        '{"url": "URL", "total": true}',
        '{"url": "URL", "total": ' + "9" * 5000 + "}",
        '{"url": 5}',
        "{}",
        "[" * 100_000,
        '{"url": "\ud800"',
    ],
)
def test_damaged_notes_are_told_and_the_file_begun_anew(tmp_path, notes):
    with RawServer(answer(b"content")) as server:
        (tmp_path / "list.csv.part").write_bytes(b"half")
        text = notes.replace("URL", f"{server.url}/list.csv")
        (tmp_path / "list.csv.part.json").write_bytes(text.encode("utf-8", "surrogatepass"))
        file = fetch(server, tmp_path)
    (note,) = file.notes
    assert note.startswith(
        f"{tmp_path}/list.csv.part: is begun anew, since list.csv.part.json beside it is damaged"
    )
    assert (tmp_path / "list.csv").read_bytes() == b"content"
    assert len(server.requests) == 1
    assert b"Range" not in server.requests[0]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"no hash\n", b"\xe4\xb8\xad", b"0" * 63, b"g" * 64])
def test_a_damaged_hash_of_an_earlier_fetch_is_told(tmp_path, content):
    (tmp_path / "list.csv.sha256").write_bytes(content)
    with RawServer(answer(b"content")) as server:
        file = fetch(server, tmp_path)
    assert not file.changed
    assert [note for note in file.notes if note.startswith(f"{tmp_path}/list.csv.sha256: was damaged")]
    assert (tmp_path / "list.csv.sha256").read_text() == f"{file.sha256}  list.csv\n"


def test_a_file_that_nothing_verifies_is_said_to_be(tmp_path, bench, monkeypatch):
    with RawServer(answer(b"con", length=False)) as server:
        (note,) = fetch(server, tmp_path).notes
        assert note.startswith(
            f"{tmp_path}/list.csv: is not verified: the server does not say how long it is"
        )
        (tmp_path / "list.csv").unlink()
        digest = "7c4a8d09ca3762af61e59520943dc26494f8941b" + "0" * 24
        with pytest.raises(UserError, match="its sha256 is"):
            fetch(server, tmp_path, sha256=digest)


@pytest.mark.parametrize(
    "length",
    ["9" * 5000, "-3", "x", "\u00b2", "3.5", "0x7"],
    ids=["digits", "below", "text", "squared", "point", "hex"],
)
def test_a_length_that_is_none(tmp_path, length):
    with RawServer(answer(b"content", length=False, Content_Length=length)) as server:
        try:
            assert fetch(server, tmp_path).notes
        except UserError as error:
            assert str(error).isprintable()


@pytest.mark.parametrize(
    "content_range",
    ["bytes 4-6/" + "9" * 5000, "bytes 4-2/7", "bytes 4-9/7", "bytes \u0664-6/7", "bytes 4-6/*", "x"],
    ids=["digits", "backwards", "beyond", "arabic", "unknown", "text"],
)
def test_a_range_that_lies_is_not_appended(tmp_path, content_range):
    part_of(tmp_path / "list.csv").write_bytes(b"cont")
    sent = content_range.encode("utf-8").decode("latin-1")
    partial = answer(b"ent", "206 Partial Content", Content_Range=sent, ETag='"x"')
    with RawServer(partial, answer(b"another", ETag='"y"')) as server:
        notes = {"url": f"{server.url}/list.csv", "etag": '"x"', "last_modified": "", "total": None}
        (tmp_path / "list.csv.part.json").write_text(json.dumps(notes))
        fetch(server, tmp_path)
    assert (tmp_path / "list.csv").read_bytes() == b"another"


def test_more_than_was_announced_is_not_taken(tmp_path):
    """In chunks, which a length does not end."""
    part_of(tmp_path / "list.csv").write_bytes(b"cont")
    chunks = b"3\r\nent\r\n4\r\nmore\r\n0\r\n\r\n"
    headers = {"Content_Range": "bytes 4-6/7", "ETag": '"x"', "Transfer_Encoding": "chunked"}
    with RawServer(answer(chunks, "206 Partial Content", length=False, **headers)) as server:
        notes = {"url": f"{server.url}/list.csv", "etag": '"x"', "last_modified": "", "total": 7}
        (tmp_path / "list.csv.part.json").write_text(json.dumps(notes))
        with pytest.raises(UserError, match="the server sends more than that"):
            fetch(server, tmp_path)


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", ""])
def test_a_web_page_by_another_name(tmp_path, kind):
    page = answer(b"<!DOCTYPE html><html>log in</html>", Content_Type=kind)
    with RawServer(page) as server:
        assert "the server sends a web page instead of the file" in refusal(server, tmp_path)


def test_a_reason_in_colours_is_plain(tmp_path):
    with RawServer(answer(b"", "404 \x1b[31mred\x07")) as server:
        assert "the server answers 404 red;" in refusal(server, tmp_path)


@pytest.mark.parametrize(
    "junk", [b"SSH-2.0 hello\r\n", b"", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300 + b"\r\n"]
)
def test_what_is_no_answer(tmp_path, junk):
    with RawServer(junk) as server:
        refusal(server, tmp_path)


def drip(head: bytes):
    """Sends a byte now and then."""

    def send(connection):
        connection.sendall(head)
        while True:
            connection.sendall(b"x")
            time.sleep(0.02)

    return send


def test_a_body_of_a_byte_a_minute(tmp_path, monkeypatch):
    monkeypatch.setattr(http_module, "WINDOW", 0.1)
    head = answer(b"", length=False, Content_Length="1000000", ETag='"x"')
    whole = answer(b"x" * 1_000_000, ETag='"x"')
    with RawServer(drip(head), whole) as server:
        with pytest.raises(
            UserError, match=r"broke off after \d+ of 1,000,000 bytes \(less than 30 kB in"
        ) as caught:
            fetch(server, tmp_path)
        assert "the same command goes on from there" in str(caught.value)
        assert part_of(tmp_path / "list.csv").stat().st_size > 0
        fetch(server, tmp_path)
    assert b"Range: bytes=" in server.requests[1]


def test_a_header_of_a_byte_a_minute(tmp_path, monkeypatch):
    monkeypatch.setattr(http_module, "ANSWER_LIMIT", 0.1)
    with (
        RawServer(drip(b"HTTP/1.1 200 OK\r\nA: ")) as server,
        pytest.raises(DownloadFailed, match="no whole answer"),
    ):
        download(f"{server.url}/x", tmp_path / "x", lambda *_: None)


def test_room_on_the_disk_is_looked_at_before(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(5))
    with RawServer(answer(b"content")) as server, pytest.raises(NotWritten) as caught:
        fetch(server, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/list.csv.part: No space left on device (7 B needed, 5 B free); "
        "make room or choose another folder"
    )
    assert list(tmp_path.iterdir()) == []


def test_certificates_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing.pem"))
    with pytest.raises(DownloadFailed, match=r"nothing\.pem"):
        download("https://127.0.0.1:9/x", tmp_path / "x", lambda *_: None)


def test_an_address_of_an_archive_without_a_name(tmp_path):
    for url in ("http://127.0.0.1:9/", "http://127.0.0.1:9/a%2F..", "http://127.0.0.1:9/%00"):
        file = RemoteFile(url, ".", unpack=True)
        with pytest.raises(UserError, match="ends in its name"):
            list(fetch_files("dataset d", [file], tmp_path / "d", lambda *_: None))
