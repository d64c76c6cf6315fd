"""Models that are withdrawn: what was accepted is answered, by the queues first and then by the replicas."""

import asyncio
import logging

from interest.errors import AttuneError
from serve.oip.entries import Entry, Host, unknown

DRAIN_S = 60.0  # for what was accepted before a model was withdrawn; most requests have a deadline before that
MOST_SILENT = 3  # questions on end without an answer: a new handle has yet to learn of its replicas

log = logging.getLogger("attune.models")


async def drained(name: str, entry: Entry) -> None:
    """Nobody new comes to an entry that was withdrawn: what waits in it is answered by the replicas that still run."""
    try:
        async with asyncio.timeout(DRAIN_S):
            await entry.drain()
    except TimeoutError:
        log.warning("%s: what still waits %.0f s after it was withdrawn is refused", name, DRAIN_S)
    await entry.close(unknown(name))


async def until_idle(name: str, host: Host, wanted_s: float) -> None:
    """Returns when its replicas have had no request for so long: no ingress replica has any left to send then."""
    silent = 0
    try:
        async with asyncio.timeout(DRAIN_S):
            while silent < MOST_SILENT:
                try:
                    idle_s = await host.idle_s()
                    silent = 0
                except AttuneError as error:
                    log.warning("%s: %s", name, error.message)
                    silent, idle_s = silent + 1, 0.0
                if idle_s >= wanted_s:
                    return
                await asyncio.sleep(wanted_s - idle_s)
    except TimeoutError:
        log.warning("%s is ended although it is not idle after %.0f s", name, DRAIN_S)
