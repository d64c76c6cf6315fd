"""The ingress replica: its warm-up, and what its end must not lose."""

import asyncio
from typing import Any

import pytest

from interest.store.protocol import Impression
from serve import ingress

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_warm_up_survives_whatever_a_stage_raises_and_tries_again(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, readiness = server.ingress._api.pipeline, server.ingress._readiness
    answer, reasons = pipeline.answer, []

    async def breaks_twice(request: Any) -> Any:
        reasons.append(readiness.reason)
        if len(reasons) <= 2:
            raise RuntimeError("secret")
        return await answer(request)

    monkeypatch.setattr(pipeline, "answer", breaks_twice)
    monkeypatch.setattr(ingress, "WARM_UP_RETRY_S", 0)
    readiness.ready = False
    async with asyncio.timeout(10):
        await server.ingress._warm_up()
    assert readiness.ready
    assert reasons[1:] == ["warming up: RuntimeError"] * 2


async def test_impressions_that_wait_at_the_end_are_written(home: Any, server: Any) -> None:
    ending = ingress.Ingress(server.config, server.ingress._stages, server.ingress._streaming)
    shown = Impression(
        recommendation_id="rec_last",
        user_id="u",
        item_id="i",
        position=1,
        timestamp=1.0,
        requested_at=1.0,
        score=1.0,
        propensity=1.0,
        release="1",
    )
    ending._impressions.put([shown])
    await ending.close()
    assert server.ingress._reader.impressions_of("rec_last") == [shown]
