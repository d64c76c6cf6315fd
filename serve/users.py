"""What the API tells about a user: read from the store, made readable by the interest stage."""

import asyncio
import math

import numpy as np

from interest.clock import Clock
from interest.errors import InvalidRequest, NotFound
from interest.store.protocol import StoreReader
from serve.ranker import Query, Stage, user_tensors
from serve.schema import InterestsView, InterestView, UserView

RECENT_EVENTS = 20


class Users:
    """Reads of one ingress replica; `interest` is the interest stage."""

    def __init__(self, reader: StoreReader, interest: Stage, clock: Clock, release: str, evaluation: bool) -> None:
        self._reader = reader
        self._interest = interest
        self._clock = clock
        self._release = release
        self._evaluation = evaluation

    async def summary(self, user_id: str) -> UserView:
        """Raises `NotFound` for a user without any record."""
        profile = (await asyncio.to_thread(self._reader.profiles, [user_id]))[0]
        if profile.updated_at == 0 and profile.events == 0 and not profile.declared:
            raise NotFound("user_id: nothing is known of this user", "user_id")
        return UserView(
            user_id=user_id,
            events=profile.events,
            items=len(np.unique(profile.behaviour.item_key)),
            updated_at=profile.updated_at,
        )

    async def interests(self, user_id: str, with_vector: bool, as_of: float | None) -> InterestsView:
        """The readable interests, the latest events behind them, and on demand the interest vector itself."""
        if as_of is not None and not self._evaluation:
            raise InvalidRequest("as_of: accepted only when evaluation is enabled", "as_of")
        now = self._clock.quantised(self._clock.now()) if as_of is None else as_of
        query = Query(user_id, 0, now, math.nan if as_of is None else as_of, False, np.empty(0, dtype=np.int64))
        release = np.array([self._release], dtype=object)
        found = await self._interest({"release": release, **user_tensors([query])})
        events = await asyncio.to_thread(self._reader.events_of, user_id, RECENT_EVENTS)
        return InterestsView(
            user_id=user_id,
            interests=[
                InterestView(kind=kind, name=name, weight=weight, declared=declared)
                for kind, name, weight, declared in found["reply_interests"][0]
            ],
            events=int(found["reply_events"][0]),
            updated_at=float(found["reply_updated_at"][0]),
            now=now,
            recent=[
                {
                    "id": e.event_id,
                    "type": e.type.value,
                    "item_id": e.item_id,
                    "timestamp": e.timestamp,
                    "value": e.value,
                }
                for e in events
                if as_of is None or e.timestamp <= as_of
            ],
            vector=found["vector"][0].tolist() if with_vector else None,
        )
