"""An iterator that computes items ahead of its consumer, in a background thread."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")


def background_iterator(items: Iterable[Item], buffer_size: int) -> Iterator[Item]:
    """Yield the same items, at most `buffer_size` computed ahead, starting now; an exception is raised in its turn.

    It is faster if both sides release the GIL while they compute, as PyTorch and our kernels do.
    """
    iterator, end = iter(items), object()
    thread = ThreadPoolExecutor(1)
    return _consume(thread, deque(thread.submit(next, iterator, end) for _ in range(buffer_size)), iterator, end)


def _consume(thread: ThreadPoolExecutor, pending: deque[Any], iterator: Iterator[Item], end: object) -> Iterator[Item]:
    try:
        while (item := pending.popleft().result()) is not end:
            pending.append(thread.submit(next, iterator, end))
            yield item
    finally:  # a consumer that stops early waits for the item in progress
        thread.shutdown(cancel_futures=True)
