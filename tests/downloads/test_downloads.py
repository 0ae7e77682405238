"""`bench data fetch` against a server on this machine that behaves well, and badly."""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from support.local_server import LocalServer
from support.paths import ROOT

import harness.downloads.http as http_module
from harness.datasets import pf_willow
from harness.downloads.download import download, finish_download, part_of
from harness.downloads.http import DownloadFailed
from harness.specs import RemoteFile

CONTENT = os.urandom(3_000_000)

LIST, ARCHIVE = "/lists/test_pairs.csv", "/data/PF-dataset.zip"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with LocalServer({"/file.bin": CONTENT}) as server:
        yield server


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "data" / "file.bin"


def get(server: LocalServer, path: Path) -> bytes:
    finish_download(download(f"{server.url}/file.bin", path, lambda *_: None), path)
    return path.read_bytes()


def break_off(server: LocalServer, path: Path, after: int = 1_000_000) -> None:
    """A download of which so many bytes arrive."""
    server.cut_after = after
    with pytest.raises(DownloadFailed, match=f"broke off after {after:,} of 3,000,000 bytes"):
        get(server, path)
    server.cut_after = None
    assert not path.exists()
    assert part_of(path).stat().st_size == after


def test_a_file_arrives_whole_and_leaves_nothing_else(server, path):
    seen = []
    finish_download(download(f"{server.url}/file.bin", path, lambda *progress: seen.append(progress)), path)
    assert path.read_bytes() == CONTENT
    assert [one.name for one in path.parent.iterdir()] == ["file.bin"]
    assert server.ranges == [None]
    assert seen[0] == ("file.bin", 0, 3_000_000)
    assert seen[-1] == ("file.bin", 3_000_000, 3_000_000)


def test_a_broken_download_transfers_only_the_rest(server, path):
    break_off(server, path, 1_000_000)
    assert get(server, path) == CONTENT
    assert server.ranges == [None, "bytes=1000000-"]
    assert server.log[1].if_range == '"one"'
    assert [request.sent for request in server.log] == [1_000_000, 2_000_000]


def test_a_download_may_break_off_again_and_again(server, path):
    break_off(server, path, 1_000_000)
    server.cut_after = 700_000
    with pytest.raises(DownloadFailed, match="broke off after 1,700,000 of 3,000,000 bytes"):
        get(server, path)
    server.cut_after = None
    assert get(server, path) == CONTENT
    assert server.ranges == [None, "bytes=1000000-", "bytes=1700000-"]


def test_a_killed_download_goes_on(server, path):
    server.stall_after = 1_000_000
    code = (
        "import sys; from pathlib import Path; from harness.downloads.download import download\n"
        "download(sys.argv[1], Path(sys.argv[2]), lambda name, done, total: print(done, flush=True))"
    )
    command = [sys.executable, "-c", code, f"{server.url}/file.bin", path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert any(int(done) > 100_000 for done in process.stdout)
        finally:
            process.send_signal(signal.SIGKILL)
    server.stall_after = None
    kept = part_of(path).stat().st_size
    assert get(server, path) == CONTENT
    assert server.ranges == [None, f"bytes={kept}-"]


def test_a_server_that_dates_its_files_is_asked_by_date(server, path):
    server.etag, server.last_modified = "", "Mon, 01 Jan 2024 00:00:00 GMT"
    break_off(server, path)
    assert get(server, path) == CONTENT
    assert server.log[1].if_range == server.last_modified
    assert server.log[1].sent == 2_000_000


def test_a_weak_etag_is_no_promise_of_equal_bytes(server, path):
    server.etag = 'W/"one"'
    break_off(server, path)
    assert get(server, path) == CONTENT
    assert server.ranges == [None, None]


@pytest.mark.parametrize("ignores", [False, True])
def test_a_file_that_changed_in_between_is_fetched_from_the_start(server, path, ignores):
    """Also from a server that does not know If-Range, and sends the rest of the new file."""
    break_off(server, path)
    server.files["/file.bin"], server.etag = CONTENT[::-1], '"two"'
    server.ignore_if_range = ignores
    assert get(server, path) == CONTENT[::-1]
    assert server.ranges == [None, "bytes=1000000-", None]


def test_a_file_that_became_shorter_is_fetched_from_the_start(server, path):
    """What we have is more than there is: the server has no such range (416)."""
    break_off(server, path)
    server.files["/file.bin"], server.etag, server.ignore_if_range = CONTENT[:1000], '"two"', True
    assert get(server, path) == CONTENT[:1000]
    assert [request.status for request in server.log] == [200, 416, 200]


def test_a_file_of_another_length_under_the_same_etag_is_fetched_from_the_start(server, path):
    break_off(server, path)
    server.files["/file.bin"] = CONTENT[::-1] + b"more"
    assert get(server, path) == CONTENT[::-1] + b"more"


def test_a_server_without_ranges_sends_everything_again(server, path):
    break_off(server, path)
    server.ignore_ranges = True
    assert get(server, path) == CONTENT


def test_a_range_from_elsewhere_is_not_appended(server, path):
    break_off(server, path)
    server.range_shift = 10
    assert get(server, path) == CONTENT


def test_a_range_that_ends_early_is_not_the_end_of_the_file(server, path):
    break_off(server, path)
    server.range_limit = 500_000
    with pytest.raises(DownloadFailed, match="broke off after 1,500,000 of 3,000,000 bytes"):
        get(server, path)
    server.range_limit = None
    assert get(server, path) == CONTENT
    assert server.ranges[-1] == "bytes=1500000-"


@pytest.mark.parametrize("notes", [None, b"", b"{", b'{"url": 1, "colour": 2}', b"[]", b"\xff"])
def test_a_part_of_unknown_origin_is_not_used(server, path, notes):
    path.parent.mkdir()
    part_of(path).write_bytes(b"x" * 1000)
    if notes is not None:
        part_of(path).with_name("file.bin.part.json").write_bytes(notes)
    assert get(server, path) == CONTENT
    assert server.ranges == [None]


def test_a_part_from_another_address_is_not_used(server, path):
    break_off(server, path)
    server.files["/other.bin"] = CONTENT[::-1]
    download(f"{server.url}/other.bin", path, lambda *_: None)
    assert part_of(path).read_bytes() == CONTENT[::-1]


def test_a_complete_part_needs_no_network(server, path):
    """A kill between the last byte and the renaming."""
    download(f"{server.url}/file.bin", path, lambda *_: None)
    assert get(server, path) == CONTENT
    assert len(server.log) == 1


def test_a_body_shorter_than_promised_is_not_taken_for_the_file(server, path):
    server.declared_extra = 10
    with pytest.raises(DownloadFailed, match="broke off after 3,000,000 of 3,000,010 bytes"):
        get(server, path)
    assert not path.exists()


def test_bytes_are_kept_as_they_are_sent(server, path):
    """Old servers call a .tar.gz 'compressed in transit', which would have it unpacked on arrival."""
    server.files["/file.tar.gz"], server.content_encoding = gzip.compress(CONTENT), "x-gzip"
    part = download(f"{server.url}/file.tar.gz", path, lambda *_: None)
    assert part.read_bytes() == server.files["/file.tar.gz"]


def test_a_file_that_arrives_compressed_is_not_the_file(server, path):
    server.files["/file.bin"], server.content_encoding = gzip.compress(CONTENT), "gzip"
    with pytest.raises(DownloadFailed, match="sends it compressed, against what it was asked for"):
        get(server, path)
    assert not list(path.parent.iterdir())


def test_a_web_page_is_not_the_file(server, path):
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadFailed, match="a web page instead of the file"):
        get(server, path)
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_an_error_answer_is_told_and_costs_nothing_that_is_there(server, path, status):
    break_off(server, path)
    server.status = status
    with pytest.raises(DownloadFailed, match=f"the server answers {status} "):
        get(server, path)
    server.status = 200
    assert get(server, path) == CONTENT
    assert server.log[-1].range == "bytes=1000000-"


@pytest.mark.parametrize("stall_after", [0, 500_000])
def test_a_server_that_falls_silent(server, path, monkeypatch, stall_after):
    monkeypatch.setattr(http_module, "TIMEOUT", (5.0, 0.2))
    server.stall_after = stall_after
    with pytest.raises(DownloadFailed, match=r"no answer for 0\.2 s"):
        get(server, path)


def test_two_processes_do_not_write_one_file(server, path):
    path.parent.mkdir()
    with part_of(path).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Exception, match="is being downloaded by another process"):
            get(server, path)
    assert server.log == []


@pytest.fixture
def full_disk(monkeypatch) -> int:
    """The system has no room for files of more than so many bytes, and says so when they are made durable, as
    it may.
    """
    fsync, limit = os.fsync, 2_000_000

    def full(handle: int) -> None:
        if os.fstat(handle).st_size > limit:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    return limit


def test_a_full_disk_is_told_with_the_files_name_and_costs_nothing(server, path, full_disk):
    with pytest.raises(OSError, match="No space left") as told:
        get(server, path)
    assert told.value.filename == str(part_of(path))
    assert part_of(path).stat().st_size > full_disk


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name, content in files.items():
            out.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def willow(server, monkeypatch):
    """PF-WILLOW's files, moved to the local server. Returns a function that changes the archive's record."""
    server.files |= {
        ARCHIVE: archive({"PF-dataset/car(G)/a.png": b"a picture", "__MACOSX/x": b""}),
        LIST: b"imageA,imageB\n",
    }

    def change(base: str = server.url, **changes: object) -> None:
        files = (
            RemoteFile(url=base + ARCHIVE, path=".", unpack=True, provides="PF-dataset/car(G)", **changes),
            RemoteFile(url=base + LIST, path="test_pairs.csv", provides="test_pairs.csv"),
        )
        monkeypatch.setattr(pf_willow, "SPEC", replace(pf_willow.SPEC, files=files))

    change()
    return change


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_fetch_downloads_unpacks_records_and_tidies_up(bench, server, willow, tmp_path):
    done = bench("data", "fetch", "pf-willow", "--data-root", tmp_path)
    folder = tmp_path / "pf-willow"
    assert (done.status, done.warnings) == (0, [])
    assert names(folder) == ["PF-dataset", "PF-dataset.zip.sha256", "test_pairs.csv", "test_pairs.csv.sha256"]
    assert (folder / "PF-dataset" / "car(G)" / "a.png").read_bytes() == b"a picture"
    digest = hashlib.sha256(server.files[ARCHIVE]).hexdigest()
    assert (folder / "PF-dataset.zip.sha256").read_text() == f"{digest}  PF-dataset.zip\n"
    assert f"sha256 {digest}" in done.out


def test_what_is_there_is_not_fetched_again(bench, server, willow, tmp_path):
    bench("data", "fetch", "pf-willow", "--data-root", tmp_path)
    server.log.clear()
    done = bench("data", "fetch", "pf-willow", "--data-root", tmp_path)
    assert done.status == 0
    assert done.out.count("is already there") == 2
    assert server.log == []


def test_archives_can_be_kept(bench, server, willow, tmp_path):
    bench("data", "fetch", "pf-willow", "--keep-archives", "--data-root", tmp_path)
    assert (tmp_path / "pf-willow" / "PF-dataset.zip").read_bytes() == server.files[ARCHIVE]


def test_the_place_can_be_given(bench, willow, tmp_path):
    assert bench("data", "fetch", f"pf-willow={tmp_path / 'here'}").status == 0
    assert (tmp_path / "here" / "PF-dataset" / "car(G)").is_dir()


def test_another_file_than_at_the_last_fetch_is_told(bench, server, willow, tmp_path):
    (tmp_path / "pf-willow").mkdir()
    (tmp_path / "pf-willow" / "test_pairs.csv.sha256").write_text(f"{'0' * 64}  test_pairs.csv\n")
    done = bench("data", "fetch", "pf-willow", "--data-root", tmp_path)
    assert [
        line
        for line in done.out.splitlines()
        if "not the same file as at an earlier fetch" in line and "test_pairs.csv" in line
    ]
    assert done.out.count("not the same file") == 1


@pytest.fixture
def closed_port():
    """A port at which nobody listens, and that nobody else can be given meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_without_network_one_line_says_what_to_put_where(bench, willow, tmp_path, monkeypatch, closed_port):
    base = f"http://127.0.0.1:{closed_port}"
    willow(base)
    monkeypatch.chdir(tmp_path)
    done = bench("data", "fetch", "pf-willow", "--data-root", "my data")
    assert done.status == 2
    assert done.complaint.startswith(f"bench: dataset pf-willow: {base}{ARCHIVE}: ")
    assert "Connection refused" in done.complaint
    assert f"{base}{ARCHIVE} to my data/pf-willow/PF-dataset.zip" in done.complaint
    assert f"{base}{LIST} to my data/pf-willow/test_pairs.csv" in done.complaint
    assert not names(tmp_path / "my data" / "pf-willow")


def test_that_line_leaves_out_what_is_there(bench, willow, tmp_path, closed_port):
    bench("data", "fetch", "pf-willow", "--data-root", tmp_path)
    (tmp_path / "pf-willow" / "test_pairs.csv").unlink()
    willow(f"http://127.0.0.1:{closed_port}")
    complaint = bench("data", "fetch", "pf-willow", "--data-root", tmp_path).complaint
    assert "test_pairs.csv" in complaint
    assert "PF-dataset.zip" not in complaint


def test_an_error_answer_is_one_line_and_status_2(bench, server, willow, tmp_path):
    del server.files[LIST]
    done = bench("data", "fetch", "pf-willow", "--data-root", tmp_path)
    assert done.status == 2
    assert "404" in done.complaint
    assert f"{server.url}{LIST} to {tmp_path}/pf-willow/test_pairs.csv" in done.complaint


def test_files_put_in_place_by_hand_are_used_without_network(bench, server, willow, tmp_path, closed_port):
    willow(f"http://127.0.0.1:{closed_port}")
    folder = tmp_path / "pf-willow"
    folder.mkdir()
    (folder / "PF-dataset.zip").write_bytes(server.files[ARCHIVE])
    (folder / "test_pairs.csv").write_bytes(server.files[LIST])
    done = bench("data", "fetch", "pf-willow", "--data-root", tmp_path)
    assert (done.status, done.warnings) == (0, [])
    assert (folder / "PF-dataset" / "car(G)" / "a.png").read_bytes() == b"a picture"
    assert (folder / "PF-dataset.zip").exists(), "it is the user's own"
    assert server.log == []


def test_a_broken_download_of_a_dataset_goes_on(bench, server, willow, tmp_path):
    server.files[ARCHIVE] = archive({"PF-dataset/car(G)/a.png": CONTENT})
    server.cut_after = 1_000_000
    first = bench("data", "fetch", "pf-willow", "--data-root", tmp_path)
    assert first.status == 2
    assert "broke off after 1,000,000" in first.complaint
    server.cut_after = None
    assert bench("data", "fetch", "pf-willow", "--data-root", tmp_path).status == 0
    assert server.ranges == [None, "bytes=1000000-", None]
    assert (tmp_path / "pf-willow" / "PF-dataset" / "car(G)" / "a.png").read_bytes() == CONTENT


@pytest.mark.parametrize("by_hand", [False, True])
def test_another_checksum_than_the_expected_one(bench, server, willow, tmp_path, by_hand):
    good = server.files[ARCHIVE]
    willow(sha256=hashlib.sha256(good).hexdigest().upper())
    place = tmp_path / "pf-willow" / "PF-dataset.zip"
    if by_hand:
        place.parent.mkdir()
        place.write_bytes(good + b"more")
    else:
        server.files[ARCHIVE] = good + b"more"
    done = bench("data", "fetch", "pf-willow", "--data-root", tmp_path)
    assert done.status == 2
    assert f"{place}: its sha256 is {hashlib.sha256(good + b'more').hexdigest()}, expected" in done.complaint
    assert not (place.parent / "PF-dataset").exists()
    assert not place.exists()
    assert place.with_name("PF-dataset.zip.damaged").read_bytes() == good + b"more"
    server.files[ARCHIVE] = good
    assert bench("data", "fetch", "pf-willow", "--data-root", tmp_path).status == 0
    assert (place.parent / "PF-dataset" / "car(G)").is_dir()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK but no archive", "damaged"),
        (archive({"../evil": b"evil"}), "'../evil'"),
        (archive({"other": b""}), "has no PF-dataset/car(G)"),
    ],
)
def test_a_useless_archive_is_named_and_fetched_anew_by_the_next_run(
    bench, server, willow, tmp_path, content, why
):
    good, server.files[ARCHIVE] = server.files[ARCHIVE], content
    done = bench("data", "fetch", "pf-willow", "--data-root", tmp_path)
    assert done.status == 2
    assert why in done.complaint
    assert f"{tmp_path}/pf-willow/PF-dataset.zip: " in done.complaint
    assert not (tmp_path / "pf-willow" / "PF-dataset").exists()
    assert not (tmp_path / "evil").exists()
    server.files[ARCHIVE] = good
    assert bench("data", "fetch", "pf-willow", "--data-root", tmp_path).status == 0
    assert (tmp_path / "pf-willow" / "PF-dataset" / "car(G)").is_dir()


def test_a_full_disk_is_one_line(bench, server, willow, tmp_path, full_disk):
    server.files[ARCHIVE] = archive({"PF-dataset/car(G)/a.png": CONTENT})
    done = bench("data", "fetch", "pf-willow", "--data-root", tmp_path)
    assert done.status == 1
    part = tmp_path / "pf-willow" / "PF-dataset.zip.part"
    assert done.complaint == f"bench: {part}: No space left on device; make room or choose another folder"


def test_a_dataset_without_addresses(bench, tmp_path):
    done = bench("data", "fetch", "folder", "--data-root", tmp_path)
    assert done.status == 2
    assert "dataset folder has nothing to download" in done.complaint


def test_names_are_checked_before_anything_is_downloaded(bench, server, willow, tmp_path):
    done = bench("data", "fetch", "pf-willow", "pf-pascall", "--data-root", tmp_path)
    assert done.status == 2
    assert "did you mean pf-pascal" in done.complaint
    assert server.log == []


def test_list_tells_where_datasets_are_expected_and_whether_they_are_there(bench, willow, tmp_path):
    def state() -> dict:
        rows = json.loads(bench("data", "list", "--json", "--data-root", tmp_path).out)
        return {row["name"]: row for row in rows}

    before = state()
    assert before["pf-willow"]["state"] == "absent"
    assert before["pf-willow"]["place"] == str(tmp_path / "pf-willow")
    assert before["pf-willow"]["counts"]["test"] == {"pairs": 900, "images": 100, "keypoints": 9000}
    assert before["folder"]["place"] is None
    bench("data", "fetch", "pf-willow", "--data-root", tmp_path)
    # Its list is a short one, as that of a copy that broke off.
    assert state()["pf-willow"]["state"] == "not whole"
    (tmp_path / "pf-willow" / "test_pairs.csv").unlink()
    after = state()["pf-willow"]
    assert (after["state"], after["missing"]) == ("partly", [str(tmp_path / "pf-willow" / "test_pairs.csv")])


def test_list_has_a_row_for_each_split(bench, tmp_path):
    rows = [line.split() for line in bench("data", "list", "--data-root", tmp_path).out.splitlines()]
    names = ["dataset", "split", "pairs", "image", "names", "keypoints", "state", "size", "place"]
    assert rows[0] == names
    assert ["pf-willow", "test", "900", "100", "9,000", "absent", "–", str(tmp_path / "pf-willow")] in rows
    assert ["train", "53,340", "–", "–"] in rows


def test_list_imports_nothing_heavy():
    code = (
        "import sys\nfrom harness.cli import status\nassert status(['data', 'list']) == 0\n"
        "heavy = {'torch', 'pandas', 'scipy', 'requests', 'transformers'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
