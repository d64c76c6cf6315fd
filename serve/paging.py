"""The pages after the first, from the ranking that the store keeps: any ingress replica can make any of them."""

import asyncio
import time

import numpy as np

from interest.catalogue import Catalogue
from interest.clock import Clock
from interest.errors import Gone, InvalidRequest, NotFound
from interest.store.protocol import Snapshot, StoreReader
from serve.admission import Deadline
from serve.config import ServerConfig
from serve.impressions import ImpressionWriter, impressions_of
from serve.metrics import TIERS
from serve.replies import made_at, next_page, recommended
from serve.schema import Recommendation, Tier
from serve.snapshots import unpacked
from serve.writer import ContentWriter

SETTLED_S = 5.0  # after so long a ranking is in the store, or it never will be
ASK_AGAIN_S = 0.05


class Pages:
    """Reads what the replica of the first page had written. A page that is asked for again is the same."""

    def __init__(
        self,
        config: ServerConfig,
        reader: StoreReader,
        catalogue: Catalogue,
        writer: ContentWriter,
        clock: Clock,
        impressions: ImpressionWriter,
    ) -> None:
        self._max_count = config.limits.max_count
        self._keep_s = config.paging.keep_s
        self._reader = reader
        self._catalogue = catalogue
        self._writer = writer
        self._clock = clock
        self._impressions = impressions

    async def page(
        self, recommendation_id: str, count: int | None, after: int | None, timeout_s: float
    ) -> Recommendation:
        """At most `count` items (as many as on the first page) that still exist, behind the first `after` places.

        `rank` is the place in the ranking, counted from 1 on the first page: a gap is an item that has disappeared.
        Raises `NotFound` for an unknown id, `Gone` for one whose ranking is kept no more.
        """
        requested_at, deadline = time.time(), Deadline(timeout_s)
        snapshot = await self._find(recommendation_id, deadline)
        kept = unpacked(snapshot.body)
        count = kept.shown if count is None else count
        if count > self._max_count:
            raise InvalidRequest(f"count={count}: must be 1 to {self._max_count}", "count")
        ranking, view = kept.ranking(), self._catalogue.view()
        rows = view.rows(ranking.item_keys)
        there = np.flatnonzero(rows >= 0)
        there = there[view.available[rows[there]] & (there >= (kept.shown if after is None else after))]
        places = there[:count].tolist()
        items = [view.items[rows[place]] for place in places]
        written = await self._writer.written(kept.asked_text(), ranking.interests, items, deadline)
        tier: Tier = "no_generation" if written.missing and kept.tier == "full" else kept.tier
        reply = Recommendation(
            id=recommendation_id,
            user_id=snapshot.user_id,
            data=[
                recommended(kept.include, ranking, place, place + 1, item, text)
                for place, item, text in zip(places, items, written.contents, strict=True)
            ],
            tier=tier,
            degraded=[*kept.degraded, *(["generation"] if written.missing else [])],
            model_versions=kept.model_versions,
            usage=written.usage,
            timings_ms=dict(written.timings_ms) if "timings" in kept.include else None,
            next=next_page(recommendation_id, count, places[-1] + 1) if len(there) > count else None,
        )
        TIERS.labels(reply.tier).inc()
        release = kept.model_versions["release"]
        now, user_id = self._clock.now(), snapshot.user_id
        self._impressions.put(
            impressions_of(reply.id, reply.data, written.origins, user_id, release, now, requested_at)
        )
        return reply

    async def _find(self, recommendation_id: str, deadline: Deadline) -> Snapshot:
        """Waits for a ranking whose reply left a moment ago: it is written behind that reply's back."""
        made = made_at("rec", recommendation_id)
        if made is None:
            raise NotFound("recommendation id: no such recommendation", "id")
        if time.time() > made + self._keep_s:
            raise self._gone()
        waiting = Deadline(min(deadline.remaining_s(), made + SETTLED_S - time.time()))
        while True:
            found = await asyncio.to_thread(self._reader.ranking_snapshot, recommendation_id)
            if found is not None:
                if time.time() > found.expires_at:
                    raise self._gone()
                return found
            if waiting.remaining_s() <= 0:
                raise NotFound("recommendation id: no such recommendation, or it has no next page", "id")
            await asyncio.sleep(ASK_AGAIN_S)

    def _gone(self) -> Gone:
        return Gone(f"recommendation id: its pages were kept for {self._keep_s:.0f} s; ask for a new one", "id")
