"""Stages of a pipeline side by side: an iterator that a thread of its own reads ahead of who wants the items."""

import queue
import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

import torch

Item = TypeVar("Item")

# How far a stage may run ahead: enough that none waits for another's jitter, little enough to stay in memory.
_NUM_AHEAD = 2
_POLL_S = 0.05


@dataclass(frozen=True)
class _End:
    """The last thing that a stage hands on: there is nothing more, or an error."""

    error: BaseException | None


def in_background(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """The items of a generator, which runs in a thread of its own from the first one asked for until its end.

    What it raises is raised here. It is closed, in its thread, when this iterator is: no thread outlives it, but after
    a KeyboardInterrupt it is left to itself. The items and their order, and so all results, are those of the generator
    alone.
    """
    handed: queue.Queue[Item | _End] = queue.Queue(_NUM_AHEAD)
    stop = threading.Event()
    thread = threading.Thread(
        target=_produce, args=(items, handed, stop, torch.get_num_threads()), name="stage", daemon=True
    )
    thread.start()
    waits = True
    try:
        while not isinstance(item := handed.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    except KeyboardInterrupt:
        waits = False  # for a thread that may wait for input that never comes; it does not keep the process from ending
        raise
    finally:
        stop.set()
        if waits:
            thread.join()


def _produce(
    items: Generator[Item, None, None],
    handed: "queue.Queue[Item | _End]",
    stop: threading.Event,
    num_torch_threads: int,
) -> None:
    torch.set_num_threads(num_torch_threads)  # a thread starts with the library's own idea of it
    error = None
    try:
        with torch.no_grad():  # a setting of each thread
            for item in items:
                if not _put(handed, item, stop):
                    break
    except BaseException as raised:
        error = raised
    finally:
        items.close()
        _put(handed, _End(error), stop)


def _put(handed: "queue.Queue[Item | _End]", item: Item | _End, stop: threading.Event) -> bool:
    """Hand an item on as soon as there is room; False if nobody wants it any more."""
    while not stop.is_set():
        try:
            handed.put(item, timeout=_POLL_S)
        except queue.Full:
            continue
        return True
    return False
