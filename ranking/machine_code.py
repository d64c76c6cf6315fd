"""Loops compiled to machine code for this processor, kept between starts where that is possible."""

import logging
import time
from collections.abc import Callable
from typing import Any

import numba

log = logging.getLogger("attune.machine_code")


def machine_code(loop: Callable[..., None], signature: Any) -> tuple[Callable[..., None], float]:
    """The loop for arguments of these types only, and the seconds that took: to be called before a request.

    Machine code is kept beside the loop's file or, where that may not be written, in the user's cache folder or in
    NUMBA_CACHE_DIR, so that only the first process of a machine compiles; without any of them every process does. It
    is kept for as long as that file does not change: every constant of the loop must be born there.
    """
    start = time.perf_counter()
    try:
        compiled = _compile(loop, signature, keep=True)
    except (RuntimeError, OSError) as error:  # no folder for the cache; a full disk
        log.warning("%s: machine code is not kept, every start compiles it: %s", loop.__module__, error)
        compiled = _compile(loop, signature, keep=False)
    taken = time.perf_counter() - start
    log.info("%s: compiled in %.2f s", loop.__module__, taken)
    return compiled, taken


def _compile(loop: Callable[..., None], signature: Any, keep: bool) -> Callable[..., None]:
    dispatcher: Any = numba.njit(nogil=True, error_model="numpy", cache=keep)(loop)
    dispatcher.compile(signature)
    dispatcher.disable_compile()  # other types of arguments are an error, not a second of compiling within a request
    compiled: Callable[..., None] = dispatcher
    return compiled
