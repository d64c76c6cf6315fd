"""`attune models`: what a running server serves, and loading and unloading it, through the Open Inference Protocol."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
from rich.console import Console
from rich.table import Table

from interest.errors import AttuneError, InvalidRequest, NotReady

TIMEOUT_S = 1_200.0  # a model may take its time to load, and another load of it may come first
NO_PARAMETERS: Mapping[str, str] = {}


def show_models(console: Console, url: str) -> None:
    """A row for each version of each model."""
    table = Table("model", "version", "state", "reason")
    for one in _post(url, "index"):
        table.add_row(one["name"], one["version"], one["state"], one["reason"])
    console.print(table)


def change_model(
    console: Console, url: str, what: str, model: str, parameters: Mapping[str, str] = NO_PARAMETERS
) -> None:
    """`what`: load or unload. Raises `InvalidRequest` with the server's own sentence when it refuses."""
    with console.status(f"{what} {model} ..."):
        _post(url, f"models/{quote(model, safe='')}/{what}", {"parameters": parameters})
    states = [f"{one['version']} {one['state']}" for one in _post(url, "index") if one["name"] == model]
    console.print(f"{model}: {', '.join(states)}", highlight=False)


def _post(url: str, path: str, body: Mapping[str, Any] = NO_PARAMETERS) -> Any:
    try:
        answer = httpx.post(f"{url}/v2/repository/{path}", json=body, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        raise NotReady(f"{url}: {error}") from error
    if answer.status_code == 200:
        return answer.json() if answer.content else None
    try:
        raise InvalidRequest(answer.json()["error"])
    except (ValueError, KeyError, TypeError) as error:
        raise AttuneError(f"{url}: status {answer.status_code}") from error
