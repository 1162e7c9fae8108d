"""An iterator that a thread of its own runs ahead of whoever takes from it."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")


def background_iterator(items: Iterable[Item], buffer_size: int) -> Iterator[Item]:
    """The same items, at most so many made before they are taken, from now on; an exception comes in its turn.

    It pays where both sides let go of the interpreter while they compute, as PyTorch and our kernels do.
    """
    iterator, end = iter(items), object()
    thread = ThreadPoolExecutor(1)
    return _consume(thread, deque(thread.submit(next, iterator, end) for _ in range(buffer_size)), iterator, end)


def _consume(thread: ThreadPoolExecutor, pending: deque[Any], iterator: Iterator[Item], end: object) -> Iterator[Item]:
    try:
        while (item := pending.popleft().result()) is not end:
            pending.append(thread.submit(next, iterator, end))
            yield item
    finally:  # whoever takes no more waits for the one that is being made
        thread.shutdown(cancel_futures=True)
