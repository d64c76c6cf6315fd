"""Attune and real Triton with the same stages, trivial or real: started, and asked what they must answer."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil
from rich.console import Console

from benchmarks.peers import trivial
from benchmarks.peers.asking import Body, by_number, recommend
from benchmarks.peers.attune_app import build_trivial_app
from benchmarks.peers.environments import TRITON, environment
from benchmarks.peers.home import catalogue, item_ids, vector_sizes
from benchmarks.peers.load import Exchange
from benchmarks.peers.measuring import Served
from benchmarks.peers.triton_server import Step, TritonModel, ensemble, triton
from interest.store.open import open_reader
from serve.app import build_app
from serve.commands.run import server_settings
from serve.commands.server import ready_server
from serve.config import GenerationConfig, HttpConfig, Paging, ServerConfig
from serve.startup import checked

CONFIG = Path("deploy/serve.yaml")
PIPELINE = ("recommend", "interest", "retriever", "reranker")
BATCH = 64
REAL_USERS = 200
ASKING = 8  # at once, before the measurement
BACKEND = Path(__file__).parent / "triton_backend"
USER = {"user_id": ("STRING", [1])}
COUNT = {"count": ("INT64", [1])}
Exchanges = Callable[[str, Body], list[Exchange]]  # of a server's name and a kind of body


@dataclass(frozen=True, slots=True)
class Pair:
    """Both servers, and the requests that each is asked."""

    attune: Served
    triton: Served
    exchanges: Exchanges


def settings(home: Path) -> tuple[HttpConfig, ServerConfig]:
    """The server of deploy/serve.yaml over a home that `attune run` has filled: no language model, no next pages.

    Without next pages both servers rank the ten items that are asked for, and no more.
    """
    store = f"sqlite:///{(home / 'attune.db').resolve()}"
    http, config = server_settings(CONFIG, store, home, False)
    changes = {"generation": GenerationConfig(enabled=False), "paging": Paging(depth=0)}
    return http.on_port(0), checked(config.model_copy(update=changes))


@contextmanager
def trivial_pair(console: Console, home: Path) -> Iterator[Pair]:
    """Stages that compute next to nothing. Raises `PeerMissing` where Triton does not run."""
    http, config = settings(home)
    ids = item_ids(config)
    rank, _ = vector_sizes(config)
    names = [trivial.user_name(number) for number in range(trivial.USERS)]
    expected = {name: [ids[place] for place in trivial.answer([name])[0][0]] for name in names}

    def exchanges(server: str, body: Body) -> list[Exchange]:
        return [recommend(name, trivial.COUNT, found, body) for name, found in expected.items()]

    files = {"stages.json": {"items": ids, "rank": rank}}
    with _triton(console, trivial_models(rank), files, None) as peer, _attune(console, config, http, False) as own:
        yield Pair(own, peer, exchanges)


@contextmanager
def real_pair(console: Console, home: Path) -> Iterator[Pair]:
    """The stages of the release. Raises `PeerMissing`, and `RuntimeError` when the two do not recommend the same."""
    http, config = settings(home)
    with closing(open_reader(config.store.url)) as reader:
        names = reader.user_ids(REAL_USERS)
    places = range(len(names))
    files = {"config.json": config.model_dump(mode="json"), "users.json": names}
    with _triton(console, real_models(), files, Path(sys.prefix)) as peer, _attune(console, config, http, True) as own:
        with console.status("Asking both what they recommend ..."), ThreadPoolExecutor(ASKING) as pool:
            ids = list(pool.map(lambda name: _asked(own, recommend(name, trivial.COUNT, [], "json")), names))
            keys = list(pool.map(lambda place: _asked(peer, by_number(place, trivial.COUNT, [], "json")), places))
        by_key = catalogue(config)
        told = [[by_key[key] for key in row] for row in keys]
        wrong = [name for name, one, other in zip(names, ids, told, strict=True) if one != other]
        if wrong:
            raise RuntimeError(f"the servers recommend different items to {len(wrong)} of {len(names)}: {wrong[:3]}")

        def exchanges(server: str, body: Body) -> list[Exchange]:
            if server == own.name:
                return [recommend(name, trivial.COUNT, row, body) for name, row in zip(names, ids, strict=True)]
            return [by_number(place, trivial.COUNT, row, body) for place, row in zip(places, keys, strict=True)]

        yield Pair(own, peer, exchanges)


def trivial_models(rank: int) -> list[TritonModel]:
    """Of the trivial stages; `rank`: size of an interest vector."""
    vector = {"vector": ("FP32", [rank])}
    candidates = {"candidate_item": ("INT64", [-1]), "candidate_score": ("FP32", [-1])}
    answer = {"item_id": ("STRING", [-1]), "score": ("FP32", [-1])}
    steps = [
        Step("interest", USER, vector),
        Step("retriever", {**vector, **COUNT}, candidates),
        Step("reranker", candidates, answer),
    ]
    models = [step.model(BACKEND / "trivial_stages.py", BATCH, ragged=False) for step in steps]
    return [*models, ensemble("recommend", steps, {**USER, **COUNT}, answer, BATCH)]


def real_models() -> list[TritonModel]:
    """Of the stages of a release."""
    number = {"user": ("INT64", [1])}
    user, candidates = {"known": ("UINT8", [-1])}, {"candidates": ("UINT8", [-1])}
    answer = {"item_key": ("INT64", [-1]), "score": ("FP32", [-1])}
    steps = [
        Step("interest", number, user),
        Step("retriever", {**user, **COUNT}, candidates),
        Step("reranker", {**user, **COUNT, **candidates}, answer),
    ]
    models = [step.model(BACKEND / "real_stages.py", BATCH, ragged=True) for step in steps]
    return [*models, ensemble("recommend", steps, {**number, **COUNT}, answer, BATCH)]


@contextmanager
def _triton(
    console: Console, models: Sequence[TritonModel], files: Mapping[str, object], stages: Path | None
) -> Iterator[Served]:
    folder = environment(console, TRITON)
    with TemporaryDirectory() as work:
        console.print("Starting Triton ...")
        with triton(folder, models, Path(work), files, stages) as server:
            yield Served("triton", server.http, lambda: tree(server.pid), PIPELINE)


@contextmanager
def _attune(console: Console, config: ServerConfig, http: HttpConfig, real: bool) -> Iterator[Served]:
    before = {process.pid for process in tree()}
    with ready_server(console, config, http, build_app if real else build_trivial_app) as url:

        def processes() -> list[psutil.Process]:
            return [process for process in tree() if process.pid not in before]

        yield Served("attune", url.removeprefix("http://"), processes, PIPELINE)


def tree(pid: int | None = None) -> list[psutil.Process]:
    """A process of ours, or this one, and all that it has started."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _asked(served: Served, exchange: Exchange) -> list[Any]:
    """The items of one answer in JSON. Raises `RuntimeError` for any other."""
    head, _, body = exchange.request.partition(b"\r\n\r\n")
    answer = httpx.post(f"http://{served.address}{head.split()[1].decode()}", content=body, timeout=60)
    if answer.status_code != 200:
        raise RuntimeError(f"{served.name}: {answer.status_code} {answer.text[:300]}")
    found = {one["name"]: one["data"] for one in answer.json()["outputs"]}
    items: list[Any] = found["item_id"] if "item_id" in found else found["item_key"]
    return items
