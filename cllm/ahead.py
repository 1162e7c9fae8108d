"""An iterator that a thread of its own runs ahead of whoever takes from it."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item], most: int) -> Iterator[Item]:
    """The same items, at most so many made before they are taken, from now on; an exception comes in its turn.

    It pays where both sides let go of the interpreter while they compute, as PyTorch and our kernels do.
    """
    maker, end = iter(items), object()
    thread = ThreadPoolExecutor(1)
    return _taken(thread, deque(thread.submit(next, maker, end) for _ in range(most)), maker, end)


def _taken(thread: ThreadPoolExecutor, coming: deque[Any], maker: Iterator[Item], end: object) -> Iterator[Item]:
    try:
        while (item := coming.popleft().result()) is not end:
            coming.append(thread.submit(next, maker, end))
            yield item
    finally:  # whoever takes no more waits for the one that is being made
        thread.shutdown(cancel_futures=True)
