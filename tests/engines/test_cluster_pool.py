"""Workers on the nodes of a cluster that is made up: proofs, deaths, nodes that come and go."""

from __future__ import annotations

import re
from collections import deque
from types import SimpleNamespace

import pytest

from harness.engines.cluster import Gone, Refused, Unreachable
from harness.engines.cluster_pool import ClusterPool
from harness.engines.placement import Demand, Node
from harness.engines.pool import Died, Received
from harness.engines.proof import Machine, Proof
from harness.engines.slots import Terms
from harness.engines.units import Unit
from harness.engines.worker import Arrival
from harness.errors import BenchError, SeveralErrors, UserError
from harness.running.predict import Work
from harness.running.remote import Account, CellError

FACTS = {"torch": "2", "the data of shapes test": "abc"}


class Worker:
    def __init__(self, node, process):
        self.node, self.process, self.is_ended = node, process, False


class Ticket:
    def __init__(self, worker, answers):
        self.worker, self.answers = worker, deque(answers)


class Cluster:
    """Answers at once, as it was told to."""

    def __init__(self, *nodes):
        self.listed = list(nodes)
        self.workers = []
        self.proofs = {}
        self.processes = iter(range(1, 1000))
        self.hardware = {}
        self.facts = {}
        self.work = lambda worker: [Account(Work("now"))]
        self.beginning = lambda worker: []

    def nodes(self):
        return self.listed

    def start(self, node, cpus, gpus):
        self.workers.append(Worker(node, next(self.processes)))
        return self.workers[-1]

    def end(self, worker):
        worker.is_ended = True

    def share(self, content):
        return content

    def ask(self, worker, question, *arguments):
        if worker.node is None:
            return Ticket(worker, [])
        if question == "prove":
            return Ticket(worker, [self.proofs.get(worker.node.name, Proof(FACTS))])
        hardware = self.hardware.get(worker.node.name, {"processor": "x"})
        machine = Machine(worker.node.name, worker.process, "/tmp/log", hardware)
        return Ticket(
            worker,
            [*self.beginning(worker), Arrival(machine, self.facts.get(worker.node.name, {"torch": "2"}))],
        )

    def stream(self, worker, key, content, wanted):
        return Ticket(worker, self.work(worker))

    def wait(self, tickets, seconds):
        return [ticket for ticket in tickets if ticket.answers]

    def answer(self, ticket):
        answer = ticket.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    """A second for each look."""

    now = 0.0

    def __call__(self):
        self.now += 1
        return self.now


@pytest.fixture
def lines():
    return []


@pytest.fixture
def pool_of(lines, monkeypatch):
    monkeypatch.setattr("harness.engines.cluster_pool.time.sleep", lambda seconds: None)
    monkeypatch.setattr("harness.engines.cluster_pool.pickle.dumps", lambda resolved: b"")
    monkeypatch.setattr("harness.engines.cluster_pool.replace", lambda value, **changes: value)

    def make(cluster, demand=Demand(1, 0.0, 1), limit=30.0, **terms):  # noqa: B008 - frozen
        return ClusterPool(cluster, Terms(demand, None, FACTS, limit, **terms), lines.append, clock=Clock())

    return make


RESOLVED = SimpleNamespace(id="cell", options=None)


def submit(pool, *pairs):
    unit = Unit(1, {pair: ["argmax"] for pair in pairs or ("a",)})
    pool.submit(unit, RESOLVED)
    return unit


def events(pool, number=1):
    happened = []
    for _ in range(50):
        happened += pool.wait(0.1)
        if len(happened) >= number:
            break
    return happened


def two_nodes():
    return Node("1", "first", cpus=2), Node("2", "second", cpus=2)


def test_a_unit_comes_to_its_end(pool_of, lines):
    cluster = Cluster(*two_nodes())
    pool = pool_of(cluster)
    assert (pool.size, pool.room()) == (2, 1)
    assert cluster.workers == []
    unit = submit(pool)
    assert pool.describe() == "2 workers on 2 nodes"
    assert pool.room() == 1
    (event,) = events(pool)
    assert isinstance(event, Received) and event.unit is unit
    assert pool.room() == 2
    pool.close()
    assert all(worker.is_ended for worker in cluster.workers)
    assert lines == []


def test_nodes_that_differ_are_all_named(pool_of):
    cluster = Cluster(*two_nodes(), Node("3", "third", cpus=2), Node("4", "fourth", cpus=2))
    cluster.facts["first"] = {"torch": "1"}
    cluster.proofs["second"] = Proof({**FACTS, "the data of shapes test": "abd"})
    cluster.proofs["third"] = Proof(problem="weights dino: not there")
    with pytest.raises(SeveralErrors) as error:
        submit(pool_of(cluster))
    assert sorted(error.value.lines) == [
        "node first: torch is 1 there and 2 here; give all nodes the same packages, plugins, data and "
        "weights",
        "node second: the data of shapes test is abd there and abc here; give all nodes the same packages, "
        "plugins, data and weights",
        "node third: weights dino: not there (nodes need data and weights at the same paths as here)",
    ]


@pytest.mark.parametrize("is_allowed", [False, True])
def test_different_gpus(pool_of, is_allowed):
    cluster = Cluster(*two_nodes())
    cluster.hardware = {
        "first": {"gpu": "A100", "processor": "x"},
        "second": {"gpu": "H100", "processor": "x"},
    }
    pool = pool_of(cluster, allows_mixed_devices=is_allowed)
    if is_allowed:
        submit(pool)
        return
    with pytest.raises(
        SeveralErrors, match=r"node second: computes on H100, node first on A100, .*--allow-mixed"
    ):
        submit(pool)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_worker_that_does_not_answer(pool_of, is_new):
    cluster = Cluster(two_nodes()[0])
    cluster.work = lambda worker: [Unreachable("socket closed")]
    pool = pool_of(cluster)
    unit = submit(pool)
    if is_new:
        cluster.workers[0].process = 77
    (event,) = events(pool)
    assert isinstance(event, Died) and event.unit is unit
    # A process that is still the same was not killed by anything.
    assert event.is_fault == is_new
    if is_new:
        assert event.reason == "its worker, process 1 on node first, ended; its output is in /tmp/log there"
    assert pool.room() == 1


def test_a_worker_that_does_not_come_back(pool_of):
    cluster = Cluster(*two_nodes())
    cluster.work = lambda worker: [Unreachable("socket closed")]
    pool = pool_of(cluster)
    unit = submit(pool)
    # Its process starts, ends and starts again, without end.
    cluster.beginning = lambda worker: [Unreachable("socket closed")]
    (event,) = events(pool)
    assert isinstance(event, Died) and event.unit is unit
    assert pool.room() == 1


def test_workers_that_die_as_soon_as_they_start(pool_of):
    cluster = Cluster(two_nodes()[0])
    cluster.beginning = lambda worker: [Unreachable("socket closed")]
    with pytest.raises(UserError, match="no worker has started in 30 s"):
        submit(pool_of(cluster))


def test_a_worker_that_is_gone_for_good_is_replaced(pool_of):
    cluster = Cluster(two_nodes()[0])
    cluster.work = lambda worker: [Gone("killed")]
    pool = pool_of(cluster)
    submit(pool)
    (event,) = events(pool)
    assert isinstance(event, Died) and event.is_fault
    for _ in range(5):
        pool.wait(0.1)
    assert pool.room() == 1
    assert len(cluster.workers) == 2


def test_an_error_of_the_worker_ends_the_cell(pool_of):
    cluster = Cluster(two_nodes()[0])
    error = Refused()
    error.__cause__ = UserError("plugin 'mine': cannot be loaded")
    cluster.work = lambda worker: [error]
    pool = pool_of(cluster)
    submit(pool)
    (event,) = events(pool)
    assert isinstance(event.message, CellError)
    assert event.message.error.message == "plugin 'mine': cannot be loaded"
    assert pool.room() == 1


def test_a_node_that_leaves_and_one_that_joins(pool_of, lines):
    first, second = two_nodes()
    cluster = Cluster(first)
    cluster.work = lambda worker: []
    pool = pool_of(cluster)
    unit = submit(pool)
    cluster.listed = [Node("1", "first", is_alive=False), second]
    (event,) = events(pool)
    assert isinstance(event, Died) and event.unit is unit
    assert not event.is_fault
    for _ in range(5):
        pool.wait(0.1)
    assert pool.describe() == "1 worker on 1 node"
    assert lines == ["node first: has left the cluster; the others go on with its pairs"]
    # A third one is not like the others.
    cluster.proofs["third"] = Proof(problem="weights dino: not there")
    cluster.listed = [second, Node("3", "third", cpus=2)]
    for _ in range(10):
        pool.wait(0.1)
    assert pool.describe() == "1 worker on 1 node"
    assert re.fullmatch(r"node third: weights dino: not there .*; it is left out", lines[-1])


def test_no_node_has_what_is_asked_for(pool_of, lines):
    cluster = Cluster(*two_nodes())
    with pytest.raises(UserError) as error:
        submit(pool_of(cluster, Demand(8, 0.5)))
    lack = "each worker asks for 0.5 GPUs and 8 threads, and the cluster has 2 nodes with 4 CPUs and no GPU"
    assert lines == [f"{lack}; waiting up to 30 s for a node that has it"]
    assert str(error.value).startswith(f"no worker has started in 30 s: {lack}; ask for less (")
    # One was asked for all the while, for clusters that grow.
    assert [worker.node for worker in cluster.workers] == [None]


def test_a_cluster_that_cannot_grow_is_not_waited_for(pool_of, lines):
    with pytest.raises(UserError, match=r"4 CPUs and no GPU; ask for less, or name another cluster"):
        submit(pool_of(Cluster(*two_nodes()), Demand(8, 0.5), can_grow=False))
    assert lines == []


def test_workers_that_never_start(pool_of, lines):
    cluster = Cluster(*two_nodes())
    cluster.ask = lambda worker, question, *arguments: Ticket(worker, [])
    with pytest.raises(UserError, match="no worker has started in 30 s"):
        submit(pool_of(cluster))
    assert sum("the run goes on without it" in line for line in lines) == 2


def test_all_nodes_leave(pool_of, lines):
    cluster = Cluster(two_nodes()[0])
    cluster.work = lambda worker: []
    pool = pool_of(cluster)
    submit(pool)
    cluster.listed = []
    with pytest.raises(BenchError, match=r"no worker has started in 30 s: .* the cluster has 0 nodes"):
        for _ in range(200):
            pool.wait(0.1)


def test_numbers_of_workers():
    node = Node("1", "n", cpus=16, gpus=4)
    assert Demand(4, 0.0).workers_on(node) == 4
    assert Demand(64, 0.0).workers_on(node) == 1
    assert Demand(64, 0.0).cpus_on(node) == 16
    assert Demand(4, 0.0, 2).workers_on(node) == 2
    assert Demand(16, 1.0).workers_on(node) == 4
    # Eight workers with sixteen threads each start on sixteen cores.
    assert Demand(16, 0.5).workers_on(node) == 8
    assert Demand(16, 0.5).cpus_on(node) == 2
    assert Demand(16, 0.1).workers_on(node) == 40
    assert Demand(16, 2.0, 8).workers_on(node) == 2
    assert Demand(16, 8.0).workers_on(node) == 0
    # A head that is to do no work.
    assert Demand(1, 0.0).workers_on(Node("1", "head")) == 0
