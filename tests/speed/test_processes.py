"""Groups of processes train in turns."""

import pytest

from benchmarks.speed import processes
from benchmarks.speed.processes import Group, threads_of
from zoo.errors import OutOfMemoryError


@pytest.mark.parametrize(("number", "cores", "threads"), [(1, 2, 2), (2, 2, 1), (4, 2, 1), (2, 16, 8), (3, 16, 5)])
def test_the_threads_of_all_processes_are_at_most_the_cores(number, cores, threads):
    assert threads_of(number, cores=cores) == threads
    assert threads * number <= cores or threads == 1


def test_a_turn_takes_as_long_as_the_slowest_process():
    class Line:
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

    lines = [Line(1.0), Line(3.0), Line(2.0)]
    assert Group(processes=[], lines=lines).turn() == 3.0
    assert all(line.sent == [processes.STEPS_A_TURN] for line in lines)
    with pytest.raises(OutOfMemoryError, match="ended by itself"):
        Group(processes=[], lines=[Line(-1.0)]).turn()
    with pytest.raises(OutOfMemoryError, match="did not answer"):
        Group(processes=[], lines=[Line(None)]).turn()


@pytest.mark.slow
def test_one_and_two_processes_train_the_same_batch():
    found = processes.processes(size="quick", repeats=1, tell=lambda sentence: None)
    speeds = {number.subject: number.median for number in found.measured if number.quantity == "speed"}
    assert len(speeds) == 2 and all(speed > 0 for speed in speeds.values())
    alone, both = (number for number in found.measured if number.quantity == "against one process")
    assert alone.median == 1.0 and both.median > 0
