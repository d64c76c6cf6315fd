"""`attune run`: data, training, server and a first recommendation; what is there already is used again."""

import hashlib
import json
import re
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from interest.errors import InvalidConfig
from interest.store.open import open_reader, open_writer
from ranking.data_folder import ImportFiles, find_mapping
from ranking.mapping import Mapping
from ranking.release import ModelRepository
from ranking.synthetic import make_world, write_world
from serve.commands.data import import_mapped, train_release
from serve.commands.server import ready_server, wait_for_interrupt
from serve.config import HttpConfig, ServerConfig, parse_config, read_serve_config

SYNTHETIC_SEED = 2024
IMPORTED = "imported"  # meta: fingerprint of the files the store was loaded from
SOURCE = "source"  # meta: the folder they lie in
TRAINED = "trained"  # meta: fingerprint of the files the newest release was trained on
SPLIT = "split"


def run_all(
    console: Console, data: str, port: int, split: str, state: Path, config: Path, until: float | None = None
) -> None:
    """Everything from a data folder (or none) to a ready server, then wait for Ctrl-C. `until`: of the training."""
    if split not in ("train", "all"):
        raise InvalidConfig(f"SPLIT={split}: must be train or all")
    start = time.perf_counter()
    folder = (Path(data) if data else synthetic_world(console, state)).resolve()
    home = home_of(state, folder, split, until)
    store = store_in(home)
    prepare(console, folder, split, home, until)  # type: ignore[arg-type]  # checked above
    http, settings = server_settings(config, store, home, split == "train" or until is not None)
    with ready_server(console, settings, http.on_port(port)) as url:
        console.print(f"\n[bold green]Attune is ready at {url}[/] after {time.perf_counter() - start:.0f} s")
        _show(console, url, store)
        console.print("Ctrl-C ends it.")
        wait_for_interrupt()


def home_of(state: Path, folder: Path, split: str, until: float | None = None) -> Path:
    """Where database and models of a data folder, a split of it and a training `until` (unix seconds) are kept."""
    name = folder.resolve().name if split == "train" else f"{folder.resolve().name}-{split}"
    return state / (name if until is None else f"{name}-until-{until:.0f}")


def store_in(home: Path) -> str:
    """The URL of the database of a home."""
    return f"sqlite:///{(home / 'attune.db').resolve()}"


def prepare(
    console: Console, folder: Path, split: Literal["train", "all"], home: Path, until: float | None = None
) -> None:
    """Import and train, as far as that has not been done."""
    _load(console, folder.resolve(), split, store_in(home))
    _train(console, store_in(home), home / "models", until)


def server_settings(config: Path, store: str, home: Path, evaluation: bool) -> tuple[HttpConfig, ServerConfig]:
    """The Serve config file with this data's store and models, open for evaluation or not."""
    http, args = read_serve_config(config)
    own = {
        "store": {**args.get("store", {}), "url": store},
        "repository": str((home / "models").resolve()),
        "evaluation": {"enabled": evaluation},
    }
    return http, parse_config({**args, **own}, str(config))


def synthetic_world(console: Console, state: Path) -> Path:
    """The folder of the data that `attune run` makes when it is given none."""
    folder = state / "synthetic-data"
    if not (folder / "events.parquet").is_file():
        with console.status("Making a synthetic world: five domains, English and Chinese ..."):
            write_world(make_world(np.random.default_rng(SYNTHETIC_SEED)), folder)
    return folder


def _load(console: Console, folder: Path, split: Literal["train", "all"], store: str) -> None:
    if not folder.is_dir():
        raise InvalidConfig(f"DATA={folder}: no such folder")
    found = find_mapping(folder, split)
    if found is None:
        raise InvalidConfig(f"DATA={folder}: no items file that a known mapping or Attune's own layout fits")
    files, mapping = found
    fingerprint = _fingerprint(files, mapping)
    with closing(open_writer(store)) as writer, closing(open_reader(store)) as reader:
        source = reader.get_meta(SOURCE)
        if source not in (None, str(folder)):
            raise InvalidConfig(f"DATA={folder}: {store} holds the data of {source}; give another --state")
        if reader.get_meta(IMPORTED) == fingerprint:
            counts = reader.counts()
            console.print(f"Data: {counts['items']:,} items, {counts['events']:,} events, as imported before.")
            return
        writer.set_meta(SOURCE, str(folder))
    console.print(f"Importing {folder} ...", highlight=False)
    import_mapped(console, store, files.items, files.events, files.users, mapping)
    with closing(open_writer(store)) as writer:
        writer.set_meta(SPLIT, split)
        writer.set_meta(IMPORTED, fingerprint)


def _train(console: Console, store: str, repository: Path, until: float | None = None) -> None:
    latest = ModelRepository(repository).latest()
    with closing(open_reader(store)) as reader:
        imported = reader.get_meta(IMPORTED) or ""
        current = reader.get_meta(TRAINED) == imported
    if latest is not None and current:
        console.print(f"Models: release {latest.name}, as trained before.", highlight=False)
        return
    console.print("Training ...")
    train_release(console, store, repository, seed=0, until=until)
    with closing(open_writer(store)) as writer:
        writer.set_meta(TRAINED, imported)


def _fingerprint(files: ImportFiles, mapping: Mapping) -> str:
    """What the files hold, and the mapping: a copy of the same data, or one with other times, is the same."""
    facts = []
    for path in (files.items, *files.events, files.users):
        if path is not None:
            with path.open("rb") as file:
                facts.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    return hashlib.sha256(json.dumps([facts, mapping.model_dump(mode="json")]).encode()).hexdigest()


def _show(console: Console, url: str, store: str) -> None:
    """Three curl lines, and one real recommendation as a table."""
    user_id, item_id = _somebody(store)
    body = {"user_id": user_id, "count": 5, "generate": {"content_type": "reason"}}
    asked = {**body, "include": ["values"]}
    event = {"id": "first-click", "type": "click", "user_id": user_id, "item_id": item_id}
    json_header = "-H 'Content-Type: application/json'"
    for line in (
        f"curl -s {url}/v1/recommendations {json_header} -d '{json.dumps(body)}'",
        f"curl -s {url}/v1/events {json_header} -d '{json.dumps(event)}'",
        f"curl -s {url}/v1/users/{user_id}/interests",
    ):
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    answer = httpx.post(f"{url}/v1/recommendations", json=asked, timeout=60)
    answer.raise_for_status()
    _print_recommendation(console, answer.json())


def _somebody(store: str) -> tuple[str, str]:
    """A user with a middling number of events, and an item of theirs; strangers when there are no events."""
    with closing(open_reader(store)) as reader:
        users = reader.user_ids(200)
        active = [profile for profile in reader.profiles(users) if profile.events]
        profiles = sorted(active, key=lambda profile: (profile.events, profile.user_id))
        if not profiles:
            return "somebody", next(iter(reader.item_changes(0, 1))).item_id
        chosen = profiles[len(profiles) // 2]
        return chosen.user_id, reader.events_of(chosen.user_id, 1)[0].item_id


def _print_recommendation(console: Console, reply: dict[str, Any]) -> None:
    columns: Sequence[str] = ("", "item", "title", "score", "text", "by")
    table = Table(*columns, title=f"For user {reply['user_id']} (tier {reply['tier']})", show_lines=True)
    for item in reply["data"]:
        text = item.get("generated") or {"text": "", "source": ""}
        title = re.sub(r"\s+", " ", str(item["values"]["title"]))
        table.add_row(str(item["rank"]), item["item_id"], title, f"{item['score']:.3f}", text["text"], text["source"])
    console.print(table)
