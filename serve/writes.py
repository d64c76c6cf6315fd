"""Events, interests, items and users as the API writes them: checked, stamped, encoded, durable before the answer."""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interest.batch import Floats
from interest.clock import Clock
from interest.errors import AttuneError, InvalidRequest, NotFound
from interest.events import Event, Facet, InterestEdit
from interest.features import detect_language
from interest.items import Item
from interest.profile import latest_edit_at
from interest.store.protocol import StoreReader
from serve.config import Limits
from serve.metrics import EVENTS
from serve.ranker import Stage
from serve.schema import Accepted, Erased, EventBody, InterestBody, ItemBody, ItemsAccepted
from serve.store_commands import StoreClient

ENCODED_AT_ONCE = 64  # items whose vectors a write waits for (about a second of one core); of more, the backfill's
EDIT_STEP_S = 1e-3
MAX_AHEAD_S = 86_400.0  # of the server's clock: callers' clocks differ, but not by more than a day

log = logging.getLogger("attune.writes")


@dataclass(frozen=True, slots=True)
class Writes:
    """The write side of one ingress replica."""

    store: StoreClient
    reader: StoreReader
    encoder: Stage
    encoder_name: str
    clock: Clock
    limits: Limits

    async def events(self, bodies: Sequence[EventBody], idempotency_key: str | None) -> Accepted:
        """All or nothing; `InvalidRequest` without an id, `ConflictingWrite` for a known id with another body."""
        if len(bodies) > self.limits.max_events:
            raise InvalidRequest(f"events: {len(bodies)} in one request, at most {self.limits.max_events}", "events")
        events = [self._event(body, position, idempotency_key) for position, body in enumerate(bodies)]
        result = await self.store.append(events)
        EVENTS.labels("accepted").inc(result.accepted)
        EVENTS.labels("duplicate").inc(result.duplicates)
        return Accepted(accepted=result.accepted, duplicates=result.duplicates, ids=[e.event_id for e in events])

    async def interests(
        self, user_id: str, interests: Sequence[InterestBody], replace: bool, idempotency_key: str | None
    ) -> None:
        """Declare interests: all of them anew (`replace`), or only the ones named."""
        if replace and any(interest.weight is None for interest in interests):
            raise InvalidRequest("weight=null takes a declaration back: only PATCH may do that", "interests")
        now = await self._edit_time(user_id)
        facets = tuple((Facet(interest.kind, interest.name), interest.weight) for interest in interests)
        record_id = idempotency_key or _digest(user_id, repr(now), repr(facets))
        edit = InterestEdit(record_id=record_id, user_id=user_id, timestamp=now, facets=facets, replace=replace)
        await self.store.append([edit])

    async def items(self, bodies: Sequence[ItemBody]) -> ItemsAccepted:
        """Insert or replace; each is recommended by every retriever replica within two seconds.

        Items of a batch of more than `ENCODED_AT_ONCE` are found by their content a little later, as they are encoded.
        """
        if len(bodies) > self.limits.max_items:
            raise InvalidRequest(f"items: {len(bodies)} in one request, at most {self.limits.max_items}", "items")
        items = [item_of(body) for body in bodies]
        put = await self.store.put_items(items, await self._encode(items), self.encoder_name)
        return ItemsAccepted(accepted=len(items), seq=put.seq)

    async def delete_item(self, item_id: str) -> None:
        if not await self.store.delete_items([item_id]):
            raise NotFound(f"item_id={item_id!r}: no such item", "item_id")

    async def erase(self, user_id: str) -> Erased:
        receipt = await self.store.erase_user(user_id)
        return Erased(
            receipt_id=receipt.receipt_id,
            user_id=user_id,
            events=receipt.events,
            edits=receipt.edits,
            impressions=receipt.impressions,
        )

    async def _edit_time(self, user_id: str) -> float:
        """After every edit of this user, also where the clock of historical data went back with a restart."""
        profile = (await asyncio.to_thread(self.reader.profiles, [user_id]))[0]
        return max(self.clock.now(), latest_edit_at(profile) + EDIT_STEP_S)

    def _event(self, body: EventBody, position: int, idempotency_key: str | None) -> Event:
        if body.id is None and idempotency_key is None:
            raise InvalidRequest(
                "id: an event needs one, or its request an Idempotency-Key header", f"events.{position}.id"
            )
        if body.timestamp is not None and body.timestamp > self.clock.now() + MAX_AHEAD_S:
            raise InvalidRequest(
                f"timestamp={body.timestamp:.0f}: more than a day after the server's clock "
                f"({self.clock.now():.0f}, mode {self.clock.mode}); leave it out to have the server fill it in",
                f"events.{position}.timestamp",
            )
        return Event(
            event_id=body.id or f"{idempotency_key}:{position}",
            type=body.type,
            user_id=body.user_id,
            item_id=body.item_id,
            timestamp=self.clock.now() if body.timestamp is None else body.timestamp,
            value=body.value,
            text=body.text,
            session_id=body.session_id,
            recommendation_id=body.recommendation_id,
            position=body.position,
            stamped=body.timestamp is None,
        )

    async def _encode(self, items: Sequence[Item]) -> Floats | None:
        """Content vectors, or None for many items or when the encoder does not answer: the backfill makes them then."""
        if len(items) > ENCODED_AT_ONCE:
            return None
        try:
            texts = np.array([item.content() for item in items], dtype=object)
            vectors: Floats = (await self.encoder({"text": texts}))["embedding"]
        except AttuneError as error:
            log.warning("%d items are stored without content vectors: %s", len(items), error.message)
            return None
        return vectors


def item_of(body: ItemBody) -> Item:
    """The item that a checked body describes."""
    return Item(
        item_id=body.item_id,
        title=body.title,
        domain=body.domain,
        language=body.language or detect_language(body.title),
        categories=tuple(body.categories),
        tags=tuple(body.tags),
        text=body.text,
        price=body.price,
        created_at=body.created_at,
        available=body.available,
        attributes=dict(body.attributes),
    )


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
