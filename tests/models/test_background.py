"""Generators in threads of their own: same items, same errors, no thread left over."""

import signal
import threading
import time
from collections.abc import Generator

import pytest
import torch

from encodec_lab.models.background import in_background


def count(stop: int, log: list[str]) -> Generator[int, None, None]:
    try:
        for number in range(stop):
            log.append(f"make {number}")
            yield number
    finally:
        log.append(f"end in {threading.current_thread().name}")


def num_stages() -> int:
    """Threads that `in_background` has started and that still run."""
    return sum(thread.name == "stage" for thread in threading.enumerate())


def test_items_come_in_order_from_another_thread() -> None:
    log: list[str] = []
    assert list(in_background(count(50, log))) == list(range(50))
    assert log[-1] == "end in stage" and num_stages() == 0


def test_runs_ahead_but_not_far() -> None:
    log: list[str] = []
    items = in_background(count(50, log))
    assert next(items) == 0
    time.sleep(0.2)
    assert 3 <= len(log) <= 5
    assert list(items) == list(range(1, 50))


def test_what_is_raised_there_is_raised_here() -> None:
    def failing() -> Generator[int, None, None]:
        yield 1
        raise KeyError("there")

    items = in_background(failing())
    assert next(items) == 1
    with pytest.raises(KeyError, match="there"):
        next(items)
    assert num_stages() == 0


def test_closing_ends_a_chain_of_stages() -> None:
    log: list[str] = []

    def doubled(items: object) -> Generator[int, None, None]:
        for item in items:  # type: ignore[attr-defined]
            yield 2 * item

    items = in_background(doubled(in_background(count(1_000_000, log))))
    assert [next(items), next(items)] == [0, 2]
    assert num_stages() == 2
    items.close()  # type: ignore[attr-defined]
    assert log[-1] == "end in stage" and num_stages() == 0


def test_no_gradients_are_made_there() -> None:
    def grad_mode() -> Generator[bool, None, None]:
        yield torch.is_grad_enabled()

    assert list(in_background(grad_mode())) == [False] and torch.is_grad_enabled()


def test_an_interrupt_does_not_wait_for_items_that_do_not_come() -> None:
    comes = threading.Event()

    def waiting() -> Generator[int, None, None]:
        yield 0
        comes.wait(20)

    items = in_background(waiting())
    assert next(items) == 0
    started_s = time.monotonic()
    threading.Timer(0.2, signal.pthread_kill, (threading.get_ident(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        next(items)
    assert time.monotonic() - started_s < 10
    comes.set()
    while num_stages():
        time.sleep(0.01)
