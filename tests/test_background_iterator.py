"""Order, read-ahead limit, thread shutdown and exceptions of the background iterator."""

import threading
from collections.abc import Iterator

import pytest

from cllm.background_iterator import background_iterator


@pytest.mark.parametrize("buffer_size", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_items_and_order_are_unchanged(count: int, buffer_size: int) -> None:
    assert list(background_iterator(range(count), buffer_size)) == list(range(count))


@pytest.mark.parametrize("buffer_size", [1, 3])
def test_reads_ahead_at_most_buffer_size_items_in_another_thread(buffer_size: int) -> None:
    computed: list[int] = []
    threads = set()
    produced = threading.Semaphore(0)

    def generate() -> Iterator[int]:
        for number in range(10):
            computed.append(number)
            threads.add(threading.get_ident())
            produced.release()
            yield number

    iterator = background_iterator(generate(), buffer_size)
    assert next(iterator) == 0
    for _ in range(buffer_size + 1):  # the consumed item, and those computed ahead
        assert produced.acquire(timeout=60)
    iterator.close()  # type: ignore[attr-defined]
    assert len(computed) == buffer_size + 1 and threading.get_ident() not in threads
    assert all(not thread.is_alive() for thread in threading.enumerate() if thread.ident in threads)


def test_exception_is_raised_after_the_items_before_it() -> None:
    def generate() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("three")

    iterator = background_iterator(generate(), 5)
    assert next(iterator) == 1 and next(iterator) == 2
    with pytest.raises(ValueError, match="three"):
        next(iterator)
