"""Work in several threads: results in order, errors where they belong, nobody left waiting."""

import signal
import threading
import time
from collections.abc import Generator

import pytest
import torch

from encodec_lab.models.ordered_workers import Turn, mapped

NUM_THREADS = [1, 2, 5]


def count(stop: int, log: list[str]) -> Generator[int, None, None]:
    try:
        for number in range(stop):
            log.append(f"make {number}")
            yield number
    finally:
        log.append("end")


def num_workers() -> int:
    return sum(thread.name == "worker" for thread in threading.enumerate())


@pytest.mark.parametrize("num_threads", NUM_THREADS)
def test_results_come_in_the_order_of_the_items_whatever_takes_longer(num_threads: int) -> None:
    def work(number: int, turn: Turn) -> int:
        time.sleep(0.002 if number % 3 == 0 else 0.0)
        return number * number

    log: list[str] = []
    assert list(mapped(count(60, log), work, num_threads)) == [number**2 for number in range(60)]
    assert log[-1] == "end" and num_workers() == 0


@pytest.mark.parametrize("num_threads", NUM_THREADS)
def test_places_are_passed_in_order_and_by_one_at_a_time(num_threads: int) -> None:
    passed: list[list[int]] = [[], [], []]
    inside = [0, 0, 0]

    def work(number: int, turn: Turn) -> None:
        time.sleep(0.003 if number % 4 == 1 else 0.0)
        for place in range(3):
            with turn.at(place):
                inside[place] += 1
                assert inside[place] == 1
                time.sleep(0.0005)
                passed[place].append(number)
                inside[place] -= 1

    assert len(list(mapped(count(40, []), work, num_threads))) == 40
    assert passed == [list(range(40))] * 3


def test_successive_items_are_in_successive_places_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=20)

    def work(number: int, turn: Turn) -> None:
        for place in range(2):
            with turn.at(place):
                if place == 1 - number:
                    meeting.wait()

    assert len(list(mapped(count(2, []), work, 2))) == 2


def test_threads_run_ahead_but_not_far() -> None:
    log: list[str] = []
    results = mapped(count(1_000, log), lambda number, _: number, 2)
    assert next(results) == 0
    time.sleep(0.2)
    assert 10 <= len(log) <= 40
    assert list(results) == list(range(1, 1_000))


@pytest.mark.parametrize("num_threads", NUM_THREADS)
def test_what_work_raises_comes_after_the_results_before_it(num_threads: int) -> None:
    """Also while later items wait for the failed one to pass."""

    def work(number: int, turn: Turn) -> int:
        with turn.at(0):
            time.sleep(0.001)
            if number == 7:
                raise KeyError("seven")
        with turn.at(1):
            return number

    log: list[str] = []
    results = mapped(count(50, log), work, num_threads)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(KeyError, match="seven"):
        next(results)
    assert num_workers() == 0 and log[-1] == "end"


@pytest.mark.parametrize("num_threads", NUM_THREADS)
def test_what_the_items_raise_comes_after_the_results_before_it(num_threads: int) -> None:
    def items() -> Generator[int, None, None]:
        yield from range(5)
        raise OSError("cut")

    results = mapped(items(), lambda number, _: number, num_threads)
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(OSError, match="cut"):
        next(results)
    assert num_workers() == 0


@pytest.mark.parametrize("num_threads", NUM_THREADS)
def test_closing_ends_the_threads_and_closes_the_items(num_threads: int) -> None:
    log: list[str] = []
    results = mapped(count(1_000_000, log), lambda number, _: number, num_threads)
    assert [next(results), next(results)] == [0, 1]
    results.close()
    assert log[-1] == "end" and num_workers() == 0


def test_no_gradients_are_made_there() -> None:
    results = mapped(count(4, []), lambda *_: (torch.is_grad_enabled(), torch.get_num_threads()), 2)
    assert set(results) == {(False, torch.get_num_threads())} and torch.is_grad_enabled()


def test_an_interrupt_does_not_wait_for_items_that_do_not_come() -> None:
    comes = threading.Event()

    def items() -> Generator[int, None, None]:
        yield 0
        comes.wait(20)

    results = mapped(items(), lambda number, _: number, 2)
    assert next(results) == 0
    started_s = time.monotonic()
    threading.Timer(0.2, signal.pthread_kill, (threading.get_ident(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert time.monotonic() - started_s < 10
    comes.set()
    while num_workers():
        time.sleep(0.01)
