"""Past requests to learn from, each with an interest model that knows nothing of what its user did from then on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

import numpy as np

from interest.batch import Doubles, Longs
from interest.catalogue import Catalogue
from interest.fitting import InterestSettings, fit_interest_model
from interest.model import InterestModel
from interest.store.protocol import EventColumns, StoreReader
from ranking.lambdamart import BoosterSettings
from ranking.new_items import hidden_items, wanting, without_items
from ranking.popularity import Popularity
from ranking.requests import LEAD_S, PastRequests, latest_requests, past_requests, windows
from ranking.retriever_settings import RetrieverSettings
from ranking.side_by_side import side_by_side

_Part = TypeVar("_Part")
_Stretch = tuple[tuple[float, float], np.random.Generator]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """What a training may be told; the defaults are tuned on validation data.

    The last `log_share` of the events is cut into `cuts` windows. For each one an interest model is fitted on the
    events up to its first possible request, and at most `sessions_per_user` sessions of every user inside it become
    requests, at most `max_requests` in all, whose wanted items are those of the following `horizon_s`. The latest
    `held_out_sessions` of every user in the last `held_out_share` of the events, but not a user's first of all, are
    requests, too, at most `held_out_requests` in all, with their users in `folds` parts: see `held_out_windows`.
    `newcomer_share` of all requests are asked again as of users of whom hardly anything is known. `new_item_share` of
    all items are taken for new ones in `new_item_windows`, and at most `new_item_requests` are for them alone. Of each
    query's unwanted candidates `negatives` are kept, by chance; twice as many where one query stands for two.
    `threads` windows are worked on at once.
    """

    encoder: Literal["ngram", "minilm", "combined"] = "combined"
    ngram_dims: int = 256
    cuts: int = 2
    log_share: float = 0.3
    sessions_per_user: int = 2
    horizon_s: float = 60 * 86_400.0
    max_requests: int = 1_500
    folds: int = 4
    held_out_share: float = 0.6
    held_out_sessions: int = 4
    held_out_requests: int = 12_000
    newcomer_share: float = 0.2
    new_item_share: float = 0.1
    new_item_requests: int = 800
    negatives: int = 60
    threads: int = 2
    interest: InterestSettings = field(default_factory=InterestSettings)
    retriever: RetrieverSettings = field(default_factory=RetrieverSettings)
    booster: BoosterSettings = field(default_factory=BoosterSettings)


@dataclass(frozen=True, slots=True)
class World:
    """What training reads: `events` of items in the catalogue, `user_ids` by user key."""

    reader: StoreReader
    catalogue: Catalogue
    popularity: Popularity
    events: EventColumns
    user_ids: dict[int, str]


@dataclass(frozen=True, slots=True)
class Window:
    """Past requests, and an interest model that knows nothing of what their users did from then on.

    `rng` is the window's own: what other windows draw changes nothing in it. `hidden`: keys of items, ascending, whose
    every event the model and its queries do not know; where there are any, only they are asked for.
    """

    model: InterestModel
    requests: PastRequests
    rng: np.random.Generator
    hidden: Longs = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def fit_interest(world: World, now: float, settings: InterestSettings, rng: np.random.Generator) -> InterestModel:
    """The interest model on the events up to `now` (unix seconds)."""
    view = world.catalogue.view()
    order = np.argsort(view.keys)
    return fit_interest_model(world.events, view.keys[order], [view.ids[row] for row in order], now, settings, rng)


def past_windows(
    world: World, settings: TrainingSettings, rng: np.random.Generator, progress: Callable[[int, int], None]
) -> list[Window]:
    """Requests of each window with the interest model as of before them; `progress` hears (windows done, of)."""
    stretches = windows(world.events, settings.cuts, settings.log_share)

    def fitted(part: _Stretch) -> Window | None:
        (start, end), own = part
        requests = past_requests(world.events, start, end, settings.horizon_s, settings.sessions_per_user, own)
        chosen = own.permutation(len(requests))[: settings.max_requests // settings.cuts]
        requests = requests.take(np.sort(chosen))
        if not len(requests):
            return None
        model = fit_interest(world, start - LEAD_S, settings.interest, own)  # as of the earliest of the requests
        return Window(model, requests, own)

    return _all(fitted, list(zip(stretches, rng.spawn(len(stretches)), strict=True)), settings, progress)


def held_out_windows(
    world: World, settings: TrainingSettings, rng: np.random.Generator, progress: Callable[[int, int], None]
) -> list[Window]:
    """The latest sessions of each user as requests, with models of the whole log but for those sessions, by folds.

    The models of `past_windows` are older and have learned from less than the one that serves, so the reranker would
    trust what they say too little. These know what it knows, except what the fold's own users did at and after the
    first of their requests; what others did later they have seen. `progress` hears (folds done, of).
    """
    events, newest = world.events, float(world.events.timestamp.max(initial=0.0))
    start = float(np.quantile(events.timestamp, 1.0 - settings.held_out_share)) if len(events.seq) else 0.0
    requests = latest_requests(
        events, start, settings.horizon_s, settings.held_out_sessions, settings.held_out_requests, rng
    )
    users, user = np.unique(requests.user_key, return_inverse=True)
    fold = (rng.permutation(len(users)) % settings.folds)[user]

    def fitted(part: tuple[int, np.random.Generator]) -> Window | None:
        number, own = part
        mine = requests.take(np.flatnonzero(fold == number))
        if not len(mine):
            return None
        known = events.where(events.timestamp <= _ends(mine, events.user_key))
        return Window(fit_interest(replace(world, events=known), newest, settings.interest, own), mine, own)

    return _all(fitted, list(enumerate(rng.spawn(settings.folds))), settings, progress)


def new_item_windows(
    world: World, settings: TrainingSettings, rng: np.random.Generator, progress: Callable[[int, int], None]
) -> list[Window]:
    """Requests of each window for items whose events are hidden; `progress` hears (windows done, of).

    Few of them are enough, and more take from what the trees learn of all other requests.
    """
    stretches = windows(world.events, settings.cuts, settings.log_share)

    def fitted(part: _Stretch) -> Window | None:
        (start, end), own = part
        hidden = hidden_items(world.events, settings.new_item_share, own)
        requests = past_requests(world.events, start, end, settings.horizon_s, settings.sessions_per_user, own)
        requests = wanting(requests, hidden)
        chosen = own.permutation(len(requests))[: settings.new_item_requests // settings.cuts]
        requests = requests.take(np.sort(chosen))
        if not len(requests):
            return None
        known = replace(world, events=without_items(world.events, hidden))
        return Window(fit_interest(known, start - LEAD_S, settings.interest, own), requests, own, hidden)

    return _all(fitted, list(zip(stretches, rng.spawn(len(stretches)), strict=True)), settings, progress)


def _all(
    fitted: Callable[[_Part], Window | None],
    parts: Sequence[_Part],
    settings: TrainingSettings,
    progress: Callable[[int, int], None],
) -> list[Window]:
    windows = side_by_side(fitted, parts, settings.threads, progress)
    return [window for window in windows if window is not None]


def _ends(requests: PastRequests, user_key: Longs) -> Doubles:
    """Until when each event [n] of these users may be known: the instant of their first request, inf for others."""
    order = np.lexsort((requests.as_of, requests.user_key))
    keys, as_of = requests.user_key[order], requests.as_of[order]
    place = np.minimum(np.searchsorted(keys, user_key), len(keys) - 1)
    return np.where(keys[place] == user_key, as_of[place], np.inf)
