"""Groups of processes compute a batch in turns."""

import pytest

from benchmarks.process_group import Group, threads_of
from benchmarks.speed.processes import PART, processes
from benchmarks.speed.record import Findings
from zoo.errors import OutOfMemoryError


@pytest.mark.parametrize(("number", "cores", "threads"), [(1, 2, 2), (2, 2, 1), (4, 2, 1), (2, 16, 8), (3, 16, 5)])
def test_the_threads_of_all_processes_are_at_most_the_cores(number, cores, threads):
    assert threads_of(number, cores=cores) == threads
    assert threads * number <= cores or threads == 1


class Connection:
    """A connection to a process that takes some seconds, ends (-1) or never answers (None)."""

    def __init__(self, seconds):
        self.seconds, self.sent = seconds, []

    def send(self, steps):
        self.sent.append(steps)

    def poll(self, timeout):
        return self.seconds is not None

    def recv(self):
        if self.seconds < 0:
            raise EOFError
        return self.seconds


def test_a_turn_takes_as_long_as_the_slowest_process():
    connections = [Connection(1.0), Connection(3.0), Connection(2.0)]
    assert Group(processes=[], connections=connections).turn(steps=4) == 3.0
    assert all(connection.sent == [4] for connection in connections)
    with pytest.raises(OutOfMemoryError, match="a process of the group ended"):
        Group(processes=[], connections=[Connection(-1.0)]).turn(steps=1)
    with pytest.raises(OutOfMemoryError, match="did not answer"):
        Group(processes=[], connections=[Connection(None)]).turn(steps=1)


@pytest.mark.slow
def test_one_and_two_processes_compute_the_same_batch():
    findings = Findings(PART, log=print)
    processes(findings, size="quick", repeats=1)
    speeds = [number.median for number in findings.measured if number.quantity == "speed"]
    assert len(speeds) == 2 and min(speeds) > 0
    alone, both = (number for number in findings.measured if number.quantity == "against one process")
    assert alone.median == 1.0 and both.median > 0
