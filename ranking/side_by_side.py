"""Independent parts of a long work in threads: NumPy, FAISS, BLAS and compiled loops run without Python's lock."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from threadpoolctl import threadpool_limits

Part = TypeVar("Part")
Result = TypeVar("Result")


def side_by_side(
    work: Callable[[Part], Result], parts: Sequence[Part], threads: int, progress: Callable[[int, int], None]
) -> list[Result]:
    """The results in the order of `parts`; `progress` hears (parts done, of) in the calling thread.

    BLAS and OpenMP stay in the thread that calls them meanwhile: their own threads would only wait for one another's.
    The first error of a part is raised, and parts that were not begun by then never are.
    """
    progress(0, len(parts))
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, part) for part in parts]
        try:
            for number, future in enumerate(as_completed(futures)):
                future.result()
                progress(number + 1, len(parts))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]
