"""A process that appends events for ever and prints the id of each one it calls durable; made to be killed."""

import asyncio
import itertools
import sys
from collections.abc import Iterator

from interest.events import Event, EventType
from interest.store.group_commit import GroupCommit
from interest.store.open import open_writer

CALLERS = 8


def events(caller: int) -> Iterator[Event]:
    for number in itertools.count():
        yield Event(
            event_id=f"{caller}:{number}", type=EventType.VIEW, user_id=f"u{number % 3}", item_id="i", timestamp=1e9
        )


def one_by_one(url: str) -> None:
    writer = open_writer(url)
    for event in events(0):
        writer.append([event])
        print(event.event_id, flush=True)


def together(url: str) -> None:
    async def call(commits: GroupCommit, caller: int) -> None:
        for event in events(caller):
            await commits.append([event])
            print(event.event_id, flush=True)

    async def all_callers() -> None:
        commits = GroupCommit(open_writer(url))
        await asyncio.gather(*(call(commits, caller) for caller in range(CALLERS)))

    asyncio.run(all_callers())


def too_early(url: str) -> None:
    """The negative control: says "durable" before the commit."""
    writer = open_writer(url)
    with writer.transaction():
        for event in events(0):
            writer.append([event])
            print(event.event_id, flush=True)


if __name__ == "__main__":
    {"one_by_one": one_by_one, "together": together, "too_early": too_early}[sys.argv[1]](sys.argv[2])
