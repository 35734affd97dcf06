"""Work on successive items in several threads, with results in their order.

    for latent in mapped(pieces, lambda piece, turn: network(piece, turn), num_threads=2):
        ...

Where the work on an item needs what the work on the item before it has left, as the layers of a stream do, all items
pass such places in turn: each enters one after the item before it has left it. So successive pieces are in successive
layers at the same time.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Generic, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

# How far the work may run ahead of who takes the results, who has work of his own to do between them: an LSTM takes
# those of half a minute at a time, for as long as a thread needs for some ten pieces.
_NUM_AHEAD = 16
_NUM_AHEAD_PER_THREAD = 2


class _GivenUp(BaseException):
    """Ends the work on an item whose result nobody will take."""


class Turn:
    """The right of way of one item."""

    def __init__(self, number: int, places: "_Places | None") -> None:
        self._number = number
        self._places = places

    @contextmanager
    def at(self, place: int) -> Iterator[None]:
        """Be at a place, when the item before this one has been there."""
        if self._places is not None:
            self._places.enter(place, self._number)
        yield
        if self._places is not None:
            self._places.leave(place)


def mapped(
    items: Generator[Item, None, None], work: Callable[[Item, Turn], Result], num_threads: int
) -> Generator[Result, None, None]:
    """`work` of each item, in their order, by so many threads; with one, in the caller's.

    Threads take the items themselves, one at a time, a few dozens ahead of the results that are taken, and are gone
    when this iterator ends or is closed; it closes `items`. What items or work raise is raised here, after all results
    before it; after a KeyboardInterrupt the threads are left to themselves. They have the caller's number of torch
    threads, and make no gradients.
    """
    if num_threads > 1:
        yield from _Crew(items, work, num_threads).results()
        return
    with closing(items):
        for number, item in enumerate(items):
            yield work(item, Turn(number, None))


class _Places:
    """Which items have been where."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._num_passed: dict[int, int] = {}
        self._last_number: int | None = None

    def enter(self, place: int, number: int) -> None:
        """Wait for the item before this one to leave."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._num_passed.get(place, 0) == number or not self._is_wanted(number)
            )
            if not self._is_wanted(number):
                raise _GivenUp

    def leave(self, place: int) -> None:
        with self._changed:
            self._num_passed[place] = self._num_passed.get(place, 0) + 1
            self._changed.notify_all()

    def close_to(self, number: int) -> None:
        """Give up the items from this number on, wherever they wait."""
        with self._changed:
            self._last_number = number - 1
            self._changed.notify_all()

    def _is_wanted(self, number: int) -> bool:
        return self._last_number is None or number <= self._last_number


class _Crew(Generic[Item, Result]):
    """The threads, and what they have done."""

    def __init__(
        self, items: Generator[Item, None, None], work: Callable[[Item, Turn], Result], num_threads: int
    ) -> None:
        self._items = items
        self._work = work
        self._num_ahead = _NUM_AHEAD + _NUM_AHEAD_PER_THREAD * num_threads
        self._places = _Places()
        self._taking = threading.Lock()  # held by the thread that takes the next item
        self._num_items = 0  # that have been taken
        self._changed = threading.Condition()  # of what follows
        self._num_results = 0  # that have been handed on
        self._results: dict[int, Result] = {}
        self._ended_at: int | None = None  # the number of the item that there is not, or whose work failed
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(torch.get_num_threads(),), name="worker", daemon=True)
            for _ in range(num_threads)
        ]

    def results(self) -> Iterator[Result]:
        """Start the threads, and hand their results on."""
        started: list[threading.Thread] = []
        try:
            for thread in self._threads:
                thread.start()
                started.append(thread)
            while self._waits_for_next():
                yield self._take_next()
            if self._error is not None:
                raise self._error
        except KeyboardInterrupt:
            started.clear()  # one may wait for input that never comes; they do not keep the process from ending
            raise
        finally:
            self._end(0, None)
            for thread in started:
                thread.join()
            if started:
                self._items.close()

    def _waits_for_next(self) -> bool:
        """Whether there is another result, as soon as that is known."""
        with self._changed:
            number = self._num_results
            self._changed.wait_for(lambda: number in self._results or self._is_end(number))
            return number in self._results

    def _take_next(self) -> Result:
        with self._changed:
            result = self._results.pop(self._num_results)
            self._num_results += 1
            self._changed.notify_all()
            return result

    def _is_end(self, number: int) -> bool:
        return self._ended_at is not None and number >= self._ended_at

    def _end(self, number: int, error: BaseException | None) -> None:
        """There is no result of this number, nor any after it."""
        with self._changed:
            if self._is_end(number):
                return
            self._ended_at, self._error = number, error
            self._changed.notify_all()
            self._places.close_to(number)

    def _run(self, num_torch_threads: int) -> None:
        torch.set_num_threads(num_torch_threads)  # a thread starts with the library's own idea of it
        with torch.no_grad():  # a setting of each thread
            while self._do_one():
                pass

    def _do_one(self) -> bool:
        """Take an item and work on it; False if there is none, or no use."""
        with self._taking:
            number = self._num_items
            with self._changed:
                self._changed.wait_for(
                    lambda: number < self._num_results + self._num_ahead or self._is_end(number)
                )
                if self._is_end(number):
                    return False
            try:
                item = next(self._items)
            except BaseException as error:
                self._end(number, None if isinstance(error, StopIteration) else error)
                return False
            self._num_items += 1
        try:
            result = self._work(item, Turn(number, self._places))
        except BaseException as error:
            self._end(number, error)
            return False
        with self._changed:
            self._results[number] = result
            self._changed.notify_all()
        return True
