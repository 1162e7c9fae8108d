import threading
from collections.abc import Iterator

import pytest

from cllm.background_iterator import background_iterator


@pytest.mark.parametrize("buffer_size", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_the_items_are_the_same(count: int, buffer_size: int) -> None:
    assert list(background_iterator(range(count), buffer_size)) == list(range(count))


@pytest.mark.parametrize("buffer_size", [1, 3])
def test_no_more_are_made_than_asked_for_and_in_another_thread(buffer_size: int) -> None:
    made: list[int] = []
    threads = set()
    enough = threading.Semaphore(0)

    def generate() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            threads.add(threading.get_ident())
            enough.release()
            yield number

    taken = background_iterator(generate(), buffer_size)
    assert next(taken) == 0
    for _ in range(buffer_size + 1):  # the one that was taken, and those ahead
        assert enough.acquire(timeout=60)
    taken.close()  # type: ignore[attr-defined]
    assert len(made) == buffer_size + 1 and threading.get_ident() not in threads
    assert all(not thread.is_alive() for thread in threading.enumerate() if thread.ident in threads)


def test_an_exception_comes_in_its_turn() -> None:
    def generate() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("three")

    taken = background_iterator(generate(), 5)
    assert next(taken) == 1 and next(taken) == 2
    with pytest.raises(ValueError, match="three"):
        next(taken)
