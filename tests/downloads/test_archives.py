"""Archives: what comes out, what is refused, and what a kill leaves."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.paths import ROOT

import harness.downloads.archives as module
from harness.downloads.archives import unpack
from harness.downloads.bounds import BadArchive
from harness.errors import UserError

FORMATS = ("a.zip", "a.tar", "a.tar.gz", "a.tar.xz")

GOOD = {
    "top/Layout/test.txt": b"pairs",
    "top/JPEGImages/cat/1.jpg": bytes(range(256)) * 40,
    "top/empty.txt": b"",
}


def make(
    path: Path,
    files: dict[str, bytes],
    links: dict[str, str] | None = None,
    hard: dict[str, str] | None = None,
) -> Path:
    """An archive of the format that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for name, content in files.items():
                out.writestr(name, content)
            for name, target in (links or {}).items():
                info = zipfile.ZipInfo(name)
                info.create_system = 3
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                out.writestr(info, target)
        return path
    compression = path.suffix.removeprefix(".").replace("tar", "")
    with tarfile.open(path, f"w:{compression}") as out:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
        for kind, some in ((tarfile.SYMTYPE, links or {}), (tarfile.LNKTYPE, hard or {})):
            for name, target in some.items():
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, target
                out.addfile(info)
    return path


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", FORMATS)
def test_files_come_out_as_they_went_in(tmp_path, name):
    unpack(make(tmp_path / name, GOOD), tmp_path / "out", provides="top/Layout/test.txt")
    assert everything(tmp_path / "out") == GOOD


@pytest.mark.parametrize("name", FORMATS)
def test_leading_folders_are_dropped_and_a_file_keeps_its_name(tmp_path, name):
    unpack(make(tmp_path / name, {**GOOD, "README": b"hello"}), tmp_path / "out", strip=1)
    assert everything(tmp_path / "out") == {
        **{path.removeprefix("top/"): content for path, content in GOOD.items()},
        "README": b"hello",
    }


@pytest.mark.parametrize("name", FORMATS)
def test_what_macs_add_is_left_out(tmp_path, name):
    junk = {"__MACOSX/top/._1.jpg": b"x", "top/.DS_Store": b"x", "top/._empty.txt": b"x"}
    unpack(make(tmp_path / name, {**junk, **GOOD}), tmp_path / "out")
    assert everything(tmp_path / "out") == GOOD


def test_zip_names_from_windows(tmp_path):
    unpack(
        make(tmp_path / "a.zip", {"top\\Layout\\test.txt": b"pairs"}),
        tmp_path / "out",
        provides="top/Layout/test.txt",
    )
    assert everything(tmp_path / "out") == {"top/Layout/test.txt": b"pairs"}
    with pytest.raises(BadArchive, match="lies outside"):
        unpack(make(tmp_path / "b.zip", {"..\\evil": b"evil"}), tmp_path / "out")


def test_other_files_in_the_folder_stay(tmp_path):
    mine, stale = tmp_path / "out" / "top" / "notes.txt", tmp_path / "out" / "top" / "empty.txt"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    stale.write_bytes(b"stale")
    unpack(make(tmp_path / "a.zip", GOOD), tmp_path / "out")
    assert everything(tmp_path / "out") == {**GOOD, "top/notes.txt": b"mine"}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("member", ["../evil", "top/../../evil", "{outside}/evil"])
def test_a_member_outside_the_folder_is_refused_by_name(tmp_path, name, member):
    member = member.format(outside=tmp_path)
    archive = make(tmp_path / name, {**GOOD, member: b"evil"})
    before = everything(tmp_path)
    with pytest.raises(BadArchive) as told:
        unpack(archive, tmp_path / "data" / "out")
    assert str(archive) in str(told.value)
    assert f"'{member}'" in str(told.value)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("target", ["../../outside", "{outside}/secret", "..", "."])
def test_a_symbolic_link_out_of_the_folder_or_to_a_folder_is_refused(tmp_path, name, target):
    (tmp_path / "secret").write_bytes(b"secret")
    archive = make(tmp_path / name, GOOD, {"top/link": target.format(outside=tmp_path)})
    with pytest.raises(BadArchive, match="'top/link'"):
        unpack(archive, tmp_path / "data" / "out")
    assert everything(tmp_path / "data") == {}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
@pytest.mark.parametrize("target", ["../secret", "{outside}/secret"])
def test_a_hard_link_out_of_the_folder_is_refused(tmp_path, name, target):
    (tmp_path / "secret").write_bytes(b"secret")
    archive = make(tmp_path / name, GOOD, hard={"top/link": target.format(outside=tmp_path)})
    with pytest.raises(BadArchive, match="'top/link'"):
        unpack(archive, tmp_path / "out")
    assert everything(tmp_path / "out") == {}


def test_nothing_is_written_through_a_link(tmp_path):
    """A link to a folder outside, then a file 'in' it: the way around checks of names alone."""
    (tmp_path / "victim").mkdir()
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as out:
        link = tarfile.TarInfo("door")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "victim")
        out.addfile(link)
        file = tarfile.TarInfo("door/evil")
        file.size = 4
        out.addfile(file, io.BytesIO(b"evil"))
    with pytest.raises(BadArchive, match="'door'"):
        unpack(archive, tmp_path / "out")
    assert not list((tmp_path / "victim").iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_links_inside_become_copies(tmp_path, name):
    links = {"top/a-first": "z-second", "top/z-second": "JPEGImages/cat/1.jpg"}
    unpack(make(tmp_path / name, GOOD, links), tmp_path / "out", strip=1)
    found = everything(tmp_path / "out")
    assert found["a-first"] == found["z-second"] == GOOD["top/JPEGImages/cat/1.jpg"]
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_hard_links_inside_become_copies(tmp_path):
    unpack(
        make(tmp_path / "a.tar", GOOD, hard={"top/twin": "top/Layout/test.txt"}), tmp_path / "out", strip=1
    )
    assert (tmp_path / "out" / "twin").read_bytes() == b"pairs"


def test_links_in_a_circle_are_refused(tmp_path):
    with pytest.raises(BadArchive, match="'top/a'"):
        unpack(make(tmp_path / "a.tar", GOOD, {"top/a": "b", "top/b": "a"}), tmp_path / "out")


def test_a_device_is_refused(tmp_path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as out:
        info = tarfile.TarInfo("top/tty")
        info.type = tarfile.FIFOTYPE
        out.addfile(info)
    with pytest.raises(BadArchive, match="'top/tty' is neither file nor folder"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.9])
def test_a_cut_archive_is_named_and_leaves_nothing(tmp_path, name, kept):
    archive = make(tmp_path / name, {f"top/{i}": os.urandom(3000) for i in range(8)})
    content = archive.read_bytes()
    archive.write_bytes(content[: kept if kept in (0, 10) else int(len(content) * kept)])
    with pytest.raises(BadArchive) as told:
        unpack(archive, tmp_path / "out")
    assert str(archive) in str(told.value)
    assert "\n" not in str(told.value)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("members", range(1, 4))
def test_a_plain_tar_cut_between_two_members_is_noticed(tmp_path, members):
    archive = make(tmp_path / "a.tar", {f"top/{i}": b"x" * 512 for i in range(8)})
    archive.write_bytes(archive.read_bytes()[: members * 1024])
    with pytest.raises(BadArchive, match="unexpected end"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar.xz"])
def test_a_wrong_byte_is_noticed(tmp_path, name):
    archive = make(tmp_path / name, {"top/1": os.urandom(3000)})
    content = bytearray(archive.read_bytes())
    content[1500] ^= 1
    archive.write_bytes(content)
    with pytest.raises(BadArchive, match="damaged"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("name", FORMATS)
def test_a_web_page_is_no_archive(tmp_path, name):
    (tmp_path / name).write_text("<html>please log in</html>")
    with pytest.raises(BadArchive, match="damaged or not an archive"):
        unpack(tmp_path / name, tmp_path / "out")


def test_members_that_contradict_each_other(tmp_path):
    with pytest.raises(BadArchive, match="'top/1' lies where another member is a file or a folder"):
        unpack(make(tmp_path / "a.tar", {"top": b"a file", "top/1": b"in it"}), tmp_path / "out")


def test_the_wrong_archive(tmp_path):
    with pytest.raises(BadArchive, match=r"has no Layout/large/test\.txt"):
        unpack(make(tmp_path / "a.zip", GOOD), tmp_path / "out", provides="Layout/large/test.txt")
    assert everything(tmp_path / "out") == {}


def test_a_folder_in_the_way_of_a_file(tmp_path):
    (tmp_path / "out" / "top" / "empty.txt" / "full").mkdir(parents=True)
    with pytest.raises(UserError, match=r"empty\.txt is in the way"):
        unpack(make(tmp_path / "a.zip", GOOD), tmp_path / "out")


@pytest.mark.parametrize("exists", [False, True])
def test_what_shows_completeness_comes_last(tmp_path, monkeypatch, exists):
    """Also where some of the folders are there already."""
    if exists:
        (tmp_path / "out" / "Layout" / "large").mkdir(parents=True)
    files = {
        "top/Layout/large/test.txt": b"",
        "top/Layout/large/val.txt": b"",
        "top/Layout/x": b"",
        "top/Z/1": b"",
        "top/A/1": b"",
    }
    archive = make(tmp_path / "a.tar", files)
    left: list[bool] = []
    replace = Path.replace

    def watched(self, target):
        left.append((tmp_path / "out" / "Layout" / "large" / "test.txt").exists())
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    unpack(archive, tmp_path / "out", strip=1, provides="Layout/large/test.txt")
    assert len(left) > 2
    assert not any(left)
    assert everything(tmp_path / "out").keys() == {name.removeprefix("top/") for name in files}


def test_a_kill_leaves_nothing_that_looks_complete_and_the_next_run_succeeds(tmp_path):
    archive = make(tmp_path / "a.tar", {f"top/{i}.txt": b"x" * 2000 for i in range(200)})
    code = (
        "import os, signal, sys, harness.downloads.archives as module\n"
        "from pathlib import Path\n"
        "copy, seen = module.shutil.copyfileobj, []\n"
        "def killed(*arguments):\n"
        "    seen.append(1)\n"
        "    if len(seen) == 100: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return copy(*arguments)\n"
        "module.shutil.copyfileobj = killed\n"
        "module.unpack(Path(sys.argv[1]), Path(sys.argv[2]), provides='top/7.txt')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, archive, tmp_path / "out"], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "top").exists()
    unpack(archive, tmp_path / "out", provides="top/7.txt")
    assert len(everything(tmp_path / "out")) == 200
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["top"]


def test_a_full_disk_is_not_the_archives_fault(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    archive = make(tmp_path / "a.zip", GOOD)
    monkeypatch.setattr(module.shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
