"""Follower: keeps a replica's copy of items and popularity within half a second of the store's log."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from interest.errors import NotReady
from interest.store.protocol import EventColumns, ItemChange, StoreReader
from serve.metrics import FOLLOWED_SEQ

ITEM_PAGE = 10_000
EVENT_PAGE = 200_000
STALE_AFTER_S = 30.0

log = logging.getLogger("attune.follower")


class Follower:
    """Reads what is new after the last sequence number and hands it to `apply`, in one thread of its own."""

    def __init__(
        self,
        reader: StoreReader,
        apply: Callable[[Sequence[ItemChange], EventColumns | None], None],
        interval_s: float,
        stage: str,
        events: bool = True,
        encoder: str = "",
    ) -> None:
        """`events`: follow the event log too, for popularity; `apply` gets None for them otherwise.

        `encoder`: whose embeddings come with the items; none without a name.
        """
        self._reader = reader
        self._apply = apply
        self._interval_s = interval_s
        self._stage = stage
        self._follow_events = events
        self._encoder = encoder
        self._item_seq = 0
        self._event_seq = 0
        self._last_success = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow-{stage}", daemon=True)

    @property
    def item_seq(self) -> int:
        """Sequence number of the latest item change that was applied."""
        return self._item_seq

    def catch_up(self) -> None:
        """Apply everything committed so far."""
        while self._step():
            pass
        self._last_success = time.monotonic()

    def start(self) -> None:
        """Follow from here on in the background."""
        self._thread.start()

    def check(self) -> None:
        """Raises `NotReady` when the store could not be followed for a while: such a replica serves the past."""
        behind_s = time.monotonic() - self._last_success
        if self._thread.is_alive() and behind_s > STALE_AFTER_S:
            raise NotReady(f"{self._stage}: could not follow the store for {behind_s:.0f} s")

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            try:
                self.catch_up()
            except Exception:  # a database that is away for a moment must not end the following for ever
                log.exception("%s could not follow the store; trying again", self._stage)

    def _step(self) -> bool:
        changes = self._reader.item_changes(self._item_seq, ITEM_PAGE, self._encoder)
        events = self._reader.event_columns(self._event_seq, EVENT_PAGE) if self._follow_events else None
        fresh = events if events is not None and len(events.seq) else None
        if not changes and fresh is None:
            return False
        self._apply(changes, fresh)
        if changes:
            self._item_seq = max(change.seq for change in changes)
        if fresh is not None:
            self._event_seq = int(fresh.seq[-1])
        FOLLOWED_SEQ.labels(self._stage).set(max(self._item_seq, self._event_seq))
        return True
