"""`bench run --engine ray` before any cluster is there: options, addresses, and Ray that is not installed."""

from __future__ import annotations

import socket
import threading

import pytest

from harness.engines.address import find_address
from harness.engines.cluster_options import ClusterOptions, gpus_of
from harness.errors import UserError

RUN = ("run", "--methods", "position", "--engine", "ray")


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No cluster of this machine is found by chance."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))


def test_ray_is_not_installed(bench, monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    outcome = bench(*RUN, "--out", tmp_path / "out")
    assert outcome.status == 2
    assert (
        outcome.complaint
        == "bench: --engine ray: Ray is not installed; pip install 'correspondence-bench[cluster]'"
    )


@pytest.fixture
def server():
    """Answer -> address of a server that gives it to whoever connects."""
    servers = []

    def serve(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        servers.append(listener)

        def run():
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    for listener in servers:
        listener.close()


SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    "address", ["foo", "host:", ":6379", "host:0", "host:99999", "host:-1", "a b:1:2:3:x"]
)
def test_texts_that_are_no_address(address):
    with pytest.raises(UserError, match=r"^--address .*: is not HOST:PORT, auto or local$"):
        find_address(address)


def test_addresses_of_other_things(server):
    with pytest.raises(UserError, match="what answers there is no Ray cluster"):
        find_address(server(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    with pytest.raises(UserError, match="what answers there is no Ray cluster"):
        find_address(server(b""))
    with pytest.raises(UserError, match="Ray's client and dashboard"):
        find_address("ray://head:10001")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        # Bound and not listening: nothing answers.
        with pytest.raises(UserError, match="no Ray cluster answers there"):
            find_address(f"127.0.0.1:{free.getsockname()[1]}")


def test_where_an_address_comes_from(server, monkeypatch, tmp_path):
    assert find_address(None).text == "local"
    assert find_address("auto").text == "auto"
    here = server(SETTINGS)
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(f"{here}\n")
    assert find_address(None).text == here
    # What a crash has left: nothing answers there any more.
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    assert find_address(None).text == "local"
    named = server(SETTINGS)
    monkeypatch.setenv("RAY_ADDRESS", named)
    assert find_address(None) == (named, "RAY_ADDRESS")
    assert find_address("local").text == "local"
    named = server(SETTINGS)
    monkeypatch.setenv("RAY_ADDRESS", named)
    assert find_address("auto").text == named
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    with pytest.raises(UserError, match=r"^RAY_ADDRESS=nowhere: is not HOST:PORT"):
        find_address(None)


@pytest.mark.parametrize(
    ("options", "device", "most", "expected"),
    [
        ({}, "auto", 0, 0.0),
        ({}, "auto", 4, 1.0),
        ({}, "cpu", 4, 0.0),
        ({}, "cuda", 0, 1.0),
        ({"gpus_per_worker": 0.5}, "auto", 0, 0.5),
        ({"gpus_per_worker": 0.0}, "auto", 4, 0.0),
        ({"gpus_per_worker": 2.0}, "cuda", 4, 2.0),
    ],
)
def test_gpus_of_a_worker(options, device, most, expected):
    assert gpus_of(ClusterOptions(**options), device, most) == expected


@pytest.mark.parametrize(
    ("gpus", "device", "complaint"),
    [
        (1.0, "cpu", "--gpus-per-worker 1: .* --device cpu"),
        (0.0, "cuda", "--gpus-per-worker 0: .* --device cuda"),
        (1.5, "auto", "--gpus-per-worker 1.5: a whole number"),
        (None, "cuda:1", "--device cuda:1: with --engine ray"),
        (None, "mps", "--device mps: with --engine ray"),
    ],
)
def test_options_that_contradict_each_other(gpus, device, complaint):
    with pytest.raises(UserError, match=complaint):
        gpus_of(ClusterOptions(gpus_per_worker=gpus), device, 4)


@pytest.mark.parametrize(
    "option",
    [
        ("--address", "local"),
        ("--gpus-per-worker", "1"),
        ("--workers-per-node", "2"),
        ("--start-timeout", "5"),
        ("--allow-mixed-devices",),
    ],
)
def test_options_of_a_cluster_need_one(bench, option, tmp_path):
    outcome = bench("run", "--methods", "position", "--out", tmp_path / "out", *option)
    assert outcome.status == 2
    assert outcome.complaint == (
        f"bench: {option[0]}: says how a cluster is used; add --engine ray, or leave {option[0]} out"
    )


@pytest.mark.parametrize(
    "option", [("--gpus-per-worker", "nan"), ("--gpus-per-worker", "-1"), ("--start-timeout", "inf")]
)
def test_numbers_that_are_none(bench, option):
    assert bench(*RUN, *option).status == 2


def test_a_dry_run_asks_no_cluster(bench, tmp_path):
    outcome = bench(*RUN, "--dry-run", "--limit", 5, "--out", tmp_path / "out", "--gpus-per-worker", 1)
    assert outcome.status == 0, outcome.err
    assert "position" in outcome.out
    assert "--engine ray: times and memory are those of one worker" in outcome.err
