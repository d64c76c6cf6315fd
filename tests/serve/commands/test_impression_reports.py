"""`attune exposure` and `attune off-policy` over the log of a server that explored."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from rich.console import Console

from interest.errors import InvalidRequest
from interest.events import Event, EventType
from interest.store.open import open_reader, open_writer
from interest.store.protocol import Impression, StoreReader
from ranking.impression_log import greedy_choices, lists_of, logged_places
from ranking.offline import load_stages
from ranking.release import ModelRepository
from serve.commands.impression_reports import report_exposure, report_off_policy

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.thorough]

COUNT, TAIL_START, EPSILON, REQUESTS = 8, 2, 0.5, 240
QUIET = Console(quiet=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def explored(home: Any, module_server: Any) -> AsyncIterator[Any]:
    """A home whose log holds explored lists."""
    settings = {"enabled": True, "epsilon": EPSILON, "tail_start": TAIL_START, "depth": 20}
    users = sorted({event.user_id for event in home.world.events})
    async with type(module_server)(home.config(exploration=settings)) as server:
        for number in range(REQUESTS):
            body = {"user_id": users[number % len(users)], "count": COUNT}
            answer = await server.client.post("/v1/recommendations", json=body)
            assert answer.status_code == 200
        async with asyncio.timeout(20):
            while len(logged(home)) < REQUESTS * COUNT:
                await asyncio.sleep(0.05)
    yield home


def logged(home: Any) -> list[Impression]:
    with closing(open_reader(home.store_url)) as reader:
        return reader.impressions_since(0.0)


def choices_of(home: Any, reader: StoreReader, lists: list[list[Impression]]) -> list[list[str]]:
    models = ModelRepository(home.folder / "models")
    release = models.latest()
    assert release is not None
    stages = load_stages(reader, models, release)
    return greedy_choices(lists, reader, stages, stages.catalogue.view().main_domain() != "e-commerce", 300.0)


async def test_the_serving_release_itself_would_have_shown_exactly_what_was_not_drawn(explored: Any) -> None:
    lists = lists_of(logged(explored))
    with closing(open_reader(explored.store_url)) as reader:
        choices = choices_of(explored, reader, lists)
    log = logged_places(lists, choices, np.zeros(REQUESTS * COUNT))
    assert len(log.reward) == REQUESTS * (COUNT - TAIL_START)
    np.testing.assert_array_equal(log.target == 1, log.propensity >= 1 - EPSILON)
    for shown, wanted in zip(lists, choices, strict=True):
        assert [one.item_id for one in shown[:TAIL_START]] == wanted[:TAIL_START]


async def test_off_policy_finds_that_undrawn_places_earn_what_they_earned(explored: Any, tmp_path: Path) -> None:
    impressions = logged(explored)
    clicked = [one for one in impressions if 1 - EPSILON <= one.propensity < 1 and one.position % 2 == 0]
    with closing(open_writer(explored.store_url)) as writer:
        writer.append(
            [
                Event(
                    event_id=f"click-{one.recommendation_id}-{one.position}", type=EventType.CLICK,
                    user_id=one.user_id, item_id=one.item_id, timestamp=one.timestamp + 60,
                    recommendation_id=one.recommendation_id,
                )
                for one in clicked
            ]
        )  # fmt: skip
    output = tmp_path / "off-policy.json"
    store, models = explored.store_url, explored.folder / "models"
    found = report_off_policy(QUIET, store, models, "latest", 30.0, 0, output)
    assert found.warnings == ()
    for estimate in (found.ips, found.snips, found.dr):
        # Every second place of the greedy lists is clicked on. Four standard errors: the draws are new each time.
        assert abs(estimate.value - 0.5) < estimate.high - estimate.low < 0.2
    assert found.logged.high < 0.4
    written = json.loads(output.read_text())
    assert written["ips"]["value"] == found.ips.value
    assert written["lists"] == REQUESTS


async def test_exposure_is_printed_and_written(explored: Any, tmp_path: Path) -> None:
    output, printed = tmp_path / "exposure.json", Console(record=True, width=100, file=io.StringIO())
    found = report_exposure(printed, explored.store_url, 7.0, output)
    assert found.impressions == REQUESTS * COUNT
    assert 0 < found.coverage < 1
    assert 0 < found.gini < 1
    assert sum(share.exposure for share in found.categories) == pytest.approx(1.0)
    assert json.loads(output.read_text())["gini"] == found.gini
    assert "240 lists with 1,920 impressions" in printed.export_text()


async def test_a_log_without_exploration_says_what_is_missing(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'attune.db'}"
    with closing(open_writer(store)) as writer:
        with pytest.raises(InvalidRequest, match="nothing has been shown yet"):
            report_exposure(QUIET, store, 7.0, None)
        writer.log_impressions(
            [Impression(recommendation_id="r", user_id="u", item_id="i", position=1, timestamp=1.0, requested_at=1.0,
                        score=0.0, propensity=1.0, release="1")]
        )  # fmt: skip
    with pytest.raises(InvalidRequest, match=r"exploration\.enabled"):
        report_off_policy(QUIET, store, tmp_path / "models", "latest", 7.0, 0, None)
