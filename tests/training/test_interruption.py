import signal
import threading

import pytest
from accelerate import Accelerator

from zoo.training.session import Interruption


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def number(request):
    return request.param


@pytest.fixture
def alone():
    return Accelerator(cpu=True)


def test_a_signal_is_recorded_and_handlers_are_restored(number, alone):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert signal.getsignal(number) != before
        assert not interruption.agreed(alone, synchronize=True)
        signal.raise_signal(number)
        assert interruption.signal == number
        assert interruption.agreed(alone, synchronize=False), "one process needs no synchronization"
    assert signal.getsignal(number) == before


def test_a_second_signal_is_for_the_handlers_from_before(number):
    seen = []
    before = signal.signal(number, lambda *arguments: seen.append(arguments[0]))
    try:
        with Interruption() as interruption:
            signal.raise_signal(number)
            assert seen == [] and interruption.signal == number
            signal.raise_signal(number)
            assert seen == [number]
    finally:
        signal.signal(number, before)


def test_handlers_are_restored_after_an_error_as_well(number):
    before = signal.getsignal(number)
    with pytest.raises(RuntimeError), Interruption():
        raise RuntimeError
    assert signal.getsignal(number) == before


def test_a_thread_other_than_the_main_one_trains_without_handlers(alone):
    before = signal.getsignal(signal.SIGINT)
    found = []

    def work():
        with Interruption() as interruption:
            found.append((signal.getsignal(signal.SIGINT), interruption.agreed(alone, synchronize=True)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(before, False)]


def test_an_interrupted_run_writes_a_checkpoint_of_the_current_step(number, run_training, tmp_path, look):
    def progress(step, figures):
        if step == 2:
            signal.raise_signal(number)

    report = run_training(tmp_path, "vae", progress=progress)
    assert (report.status, report.step, report.signal) == ("interrupted", 2, number)
    assert look.steps(tmp_path) == [2] and [row["step"] for row in look.rows(tmp_path)] == [1, 2]


def test_a_signal_during_the_last_step_comes_too_late(number, run_training, tmp_path):
    def progress(step, figures):
        if step == 4:
            signal.raise_signal(number)

    report = run_training(tmp_path, "vae", progress=progress)
    assert (report.status, report.step, report.signal) == ("finished", 4, None)
