"""Archives made to harm: what they may take of memory, disk and time, and what their members may be."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import os
import shutil
import stat
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

import harness.downloads.archives as module
from harness.downloads.archives import unpack
from harness.downloads.bounds import BadArchive, LargeArchive


def make_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as out:
        for info, content in members:
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return path


def make_zip(path: Path, *members: tuple[zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        for info, content in members:
            out.writestr(info, content)
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def zip_link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


def refusal(archive: Path, error: type[BadArchive | LargeArchive] = BadArchive, **options: object) -> str:
    """The line that an archive is refused with; nothing of it is left."""
    out = archive.parent / "out"
    with pytest.raises(error) as caught:
        unpack(archive, out, **options)
    assert list(out.iterdir()) == []
    assert str(caught.value).startswith(f"{archive}: ")
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_member_without_a_name(tmp_path):
    info = zipfile.ZipInfo("x")
    info.filename = ""
    assert "a member has no name" in refusal(make_zip(tmp_path / "a.zip", (info, b"x")))
    assert "a member has no name" in refusal(make_tar(tmp_path / "a.tar", (tarfile.TarInfo("."), b"x")))


@pytest.mark.parametrize("name", ["C:/evil", "c:\\evil", "\\\\host\\evil"])
def test_a_name_of_windows_that_leads_elsewhere(tmp_path, name):
    assert "lies outside" in refusal(make_zip(tmp_path / "a.zip", (zipfile.ZipInfo(name), b"x")))


def test_a_name_with_line_breaks_is_one_line(tmp_path):
    assert "member '../a b'" in refusal(make_tar(tmp_path / "a.tar", (tarfile.TarInfo("../a\nb"), b"x")))


def test_a_name_without_end_is_cut_in_the_message(tmp_path):
    info = tarfile.TarInfo("../" + "x" * 100_000)
    assert len(refusal(make_tar(tmp_path / "a.tar", (info, b"x")))) < 400


def test_a_name_that_no_disk_can_hold(tmp_path):
    info = tarfile.TarInfo("x" * 300)
    assert "cannot be written (File name too long)" in refusal(make_tar(tmp_path / "a.tar", (info, b"x")))


def test_a_link_to_a_name_that_no_disk_can_hold(tmp_path):
    archive = make_tar(tmp_path / "a.tar", link("door", "x" * 300))
    assert "'door' cannot be written (File name too long)" in refusal(archive)


def test_folders_in_folders_in_folders(tmp_path):
    """Python makes and removes each in a call inside the call for the one above."""
    info = tarfile.TarInfo("a/" * 1500 + "b")
    assert "lies in more than 64 folders" in refusal(make_tar(tmp_path / "a.tar", (info, b"x")))


def test_the_target_of_a_link_is_not_read_whole(tmp_path, monkeypatch):
    read: list[int] = []
    plain = zipfile.ZipExtFile.read

    def watched(self, size=-1):
        read.append(size)
        return plain(self, size)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", watched)
    archive = make_zip(tmp_path / "a.zip", (zip_link("door"), b"a" * 100_000))
    assert "'door' is a link to a path that is too long" in refusal(archive)
    assert read
    assert all(0 < size < 5000 for size in read)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_header_of_the_wrong_length(tmp_path, compressed):
    """`tarfile` would hold it in memory; of a compressed archive it is as long as somebody likes."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 300 << 20
    content = info.tobuf(tarfile.GNU_FORMAT) + b"a" * 3_000_000
    (tmp_path / "a").write_bytes(gzip.compress(content, 1) if compressed else content)
    assert "a header that is longer than any" in refusal(tmp_path / "a")


@pytest.mark.parametrize("size", [-512, -1, -(10**15)])
def test_a_size_below_zero(tmp_path, size):
    """From it `tarfile` goes back, to read the same header for ever."""
    header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    header[148:156] = b" " * 8
    header[148:155] = b"%06o\0" % sum(header)
    (tmp_path / "a.tar").write_bytes(bytes(header) * 3 + bytes(1024))
    assert "damaged" in refusal(tmp_path / "a.tar")


def test_links_in_the_worst_order_are_each_looked_at_once(tmp_path, monkeypatch):
    links = [link(f"l{number:04}", f"l{number + 1:04}") for number in range(1000)]
    asked: list[Path] = []
    plain = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda self: asked.append(self) or plain(self))
    archive = make_tar(tmp_path / "a.tar", *links, (tarfile.TarInfo("l1000"), b"x"))
    unpack(archive, tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 1001
    assert len(asked) < 2000


def test_copies_of_links_count(tmp_path):
    links = [link(f"l{number}", "big", tarfile.LNKTYPE) for number in range(10)]
    archive = make_tar(tmp_path / "a.tar", (tarfile.TarInfo("big"), bytes(100_000)), *links)
    assert "unpacks to more than 500 kB" in refusal(archive, LargeArchive, most=500_000)
    unpack(archive, tmp_path / "out", most=2_000_000)


def test_a_zip_says_its_size_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "copyfileobj", lambda *_: pytest.fail("written"))
    members = [(zipfile.ZipInfo(f"{number}"), bytes(100_000)) for number in range(10)]
    assert "unpacks to more than" in refusal(
        make_zip(tmp_path / "a.zip", *members), LargeArchive, most=500_000
    )


def test_many_empty_files_are_as_many_blocks(tmp_path):
    members = [(tarfile.TarInfo(f"{number}"), b"") for number in range(300)]
    archive = make_tar(tmp_path / "a.tar.gz", *members, mode="w:gz")
    assert "unpacks to more than 1 MB" in refusal(archive, LargeArchive, most=1_000_000)
    unpack(archive, tmp_path / "out", most=2_000_000)


def test_what_is_no_member_counts_as_well(tmp_path):
    """Zeros behind the end, of which compression makes nothing."""
    make_tar(tmp_path / "a.tar", (tarfile.TarInfo("x"), b"x"))
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress((tmp_path / "a.tar").read_bytes() + bytes(3_000_000)))
    assert "unpacks to more than 2 MB" in refusal(tmp_path / "a.tar.gz", LargeArchive, most=2_000_000)


def test_the_bound_follows_from_the_archives_size(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.downloads.bounds.FREE_OF_RATIO", 10_000)
    small = make_tar(tmp_path / "a.tar.gz", (tarfile.TarInfo("x"), bytes(1_000_000)), mode="w:gz")
    assert "unpack it by hand where it lies" in refusal(small, LargeArchive)
    large = make_tar(tmp_path / "b.tar.gz", (tarfile.TarInfo("x"), os.urandom(50_000)), mode="w:gz")
    unpack(large, tmp_path / "out")


def test_room_on_the_disk_is_looked_at_before(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(50_000))
    monkeypatch.setattr(module.shutil, "copyfileobj", lambda *_: pytest.fail("written"))
    for archive in (
        make_zip(tmp_path / "a.zip", (zipfile.ZipInfo("x"), bytes(60_000))),
        make_tar(tmp_path / "a.tar", (tarfile.TarInfo("x"), bytes(60_000))),
    ):
        with pytest.raises(
            OSError, match=r"No space left on device \(61\.4 kB needed, 50 kB free\)"
        ) as caught:
            unpack(archive, tmp_path / "out")
        assert caught.value.errno == errno.ENOSPC
        assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("number", [errno.EFBIG, errno.ENFILE, errno.ESTALE, errno.ENOMEM, errno.EIO])
def test_an_error_of_the_machine_is_not_the_archives_fault(tmp_path, monkeypatch, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.shutil, "copyfileobj", fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        unpack(make_tar(tmp_path / "a.tar", (tarfile.TarInfo("x"), b"x")), tmp_path / "out")


def test_an_encrypted_member(tmp_path):
    content = bytearray(make_zip(tmp_path / "a.zip", (zipfile.ZipInfo("x"), b"secret")).read_bytes())
    content[6] |= 1
    content[content.find(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    assert "member 'x' is encrypted" in refusal(tmp_path / "a.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_are_unpacked_in_blocks_of_any_size(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as out:
        out.writestr("x", bytes(1000))
    assert f"'x' is compressed by method {method}, which is not read" in refusal(tmp_path / "a.zip")


def test_a_compressed_tar_is_read_in_small_pieces(tmp_path):
    """A hundred bytes of bzip2 may stand for megabytes."""
    make_tar(tmp_path / "a.tar", (tarfile.TarInfo("x"), bytes(3_000_000)))
    (tmp_path / "a.tar.bz2").write_bytes(bz2.compress((tmp_path / "a.tar").read_bytes()))
    unpack(tmp_path / "a.tar.bz2", tmp_path / "out")
    assert (tmp_path / "out" / "x").stat().st_size == 3_000_000


def test_rights_of_members_are_not_taken_over(tmp_path):
    info = tarfile.TarInfo("x")
    info.mode = 0o6777
    unpack(make_tar(tmp_path / "a.tar", (info, b"x")), tmp_path / "out")
    assert (tmp_path / "out" / "x").stat().st_mode & 0o7111 == 0


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices(tmp_path, kind):
    info = tarfile.TarInfo("x")
    info.type = kind
    assert "'x' is neither file nor folder" in refusal(make_tar(tmp_path / "a.tar", (info, b"")))


def test_the_last_of_several_members_of_one_name_counts(tmp_path):
    members = [(tarfile.TarInfo("x"), content) for content in (b"one", b"two", b"three")]
    unpack(make_tar(tmp_path / "a.tar", *members), tmp_path / "out")
    assert (tmp_path / "out" / "x").read_bytes() == b"three"


def test_archives_in_an_archive_are_files(tmp_path):
    inner = make_tar(tmp_path / "inner.tar", (tarfile.TarInfo("../evil"), b"x")).read_bytes()
    unpack(make_tar(tmp_path / "a.tar", (tarfile.TarInfo("inner.tar"), inner)), tmp_path / "out")
    assert (tmp_path / "out" / "inner.tar").read_bytes() == inner


def test_a_zip_of_the_large_kind(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out, out.open("x", "w", force_zip64=True) as file:
        file.write(b"content")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out" / "x").read_bytes() == b"content"


def test_a_file_with_holes_counts_whole(tmp_path):
    """A few bytes that say to be followed by zeros (GNU's sparse files)."""
    header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[483:495] = tarfile.itn(10**12, 12, tarfile.GNU_FORMAT)
    header[148:156] = b" " * 8
    header[148:155] = b"%06o\0" % sum(header)
    (tmp_path / "a.tar").write_bytes(bytes(header) + bytes(1024))
    assert "unpacks to more than" in refusal(tmp_path / "a.tar", LargeArchive)


@pytest.mark.parametrize(
    "start", [b"<!DOCTYPE html>", b"\xef\xbb\xbf\n<HTML lang=en>", b"<!-- hi --> <head>"]
)
def test_a_web_page_is_called_one(tmp_path, start):
    (tmp_path / "a.zip").write_bytes(start + b"please log in" * 100)
    assert "it is a web page" in refusal(tmp_path / "a.zip")
