"""What does the score of the texts do to the order of a page, and what do several candidates an item buy?

    python -m benchmarks.bench_text_order --data shared/data/online-retail --data shared/data/movietweetings-142k

For users of each task of a data folder with held-out events: the first ten items are ranked by the release of
`benchmarks.quality` (imported and trained once), a text about each is written and scored by the server itself, with
one candidate an item and with four, and the page is ordered by `serve.text_order` for several weights of that score.

Reported, each difference paired by user with a 95 % bootstrap interval:

- nDCG@10 of each order less that of the ranking alone (weight 0). The ten items are the same in every order, so beside
  it stands what the best order of them would gain;
- the same where the scores of a page's texts have changed places at random (the mean of twenty times), the control:
  what a score that knows nothing costs; and the difference of the two;
- the share of lists that change;
- the score of the chosen texts and its parts with four candidates less with one, the ratio of the two, and the tokens
  of a reply.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bench_recommend import machine
from benchmarks.local_server import local_server
from benchmarks.text_order_results import (
    PARTS,
    TEXT_ALONE,
    Pages,
    interval,
    order_results,
    text_gain,
    text_results,
    weight_name,
)
from interest.errors import AttuneError
from ranking.tasks import Task, shared_tasks
from serve.commands.data import progress_bars, row_counter
from serve.commands.evaluation_client import Progress, task_requests
from serve.commands.run import home_of, prepare, server_settings, store_in
from serve.config import ServerConfig
from serve.schema import Recommendation
from serve.startup import checked

RESULTS = Path("benchmarks/results/text_order.json")
K = 10
CANDIDATES = (1, 4)
WEIGHTS = (0.03, 0.1, 0.3, 1.0, 3.0, TEXT_ALONE)
QUICK = 8  # users
AT_ONCE = 8  # requests
TIMEOUT_MS = 3_600_000  # texts that are late would be another measurement

Replies = Mapping[int, Pages]  # of every user of a task, by candidates
Report = dict[str, Any]


def main(
    data: Annotated[list[Path], typer.Option(help="A folder with validation.parquet; several times for several.")],
    users: Annotated[int, typer.Option(help="Of each task, drawn at random.")] = 300,
    state: Annotated[Path, typer.Option(help="Where stores and models are kept.")] = Path(".attune/quality"),
    config: Path = Path("deploy/serve.yaml"),
    seed: int = 0,
    quick: Annotated[bool, typer.Option(help=f"{QUICK} users: whether it runs, not a measurement.")] = False,
    output: Path = RESULTS,
) -> None:
    """Measure, print tables, write raw JSON, anew after each folder."""
    console = Console()
    report: Report = {"machine": machine(), "seed": seed, "data": [], "results": []}
    output.parent.mkdir(parents=True, exist_ok=True)
    for folder in data:
        rng = np.random.default_rng(seed)  # the same users whatever was measured before
        home = home_of(state, folder, "train")
        prepare(console, folder, "train", home)
        _, settings = server_settings(config, store_in(home), home, evaluation=True)
        tasks = [some_users(task, QUICK if quick else users, rng) for task in shared_tasks(folder)]
        replies = asyncio.run(served(console, settings, tasks))
        name, default = folder.resolve().name, settings.generation.text_score_weight
        report |= {"model": settings.generation.engine.model, "default_weight": default}
        report["data"].append(name)
        for task in tasks:
            found = measured(task, replies[task.name], sorted({*WEIGHTS, default}), rng)
            report["results"].append({"data": name, "task": task.name, **found})
        output.write_text(json.dumps(report, indent=1) + "\n")
    show(console, report)


def some_users(task: Task, users: int, rng: np.random.Generator) -> Task:
    """At most so many users of the task, drawn at random, in their order."""
    return task.take(np.sort(rng.permutation(len(task.user_ids))[:users]))


async def served(console: Console, settings: ServerConfig, tasks: Sequence[Task]) -> dict[str, Replies]:
    """By task: pages with texts, scored by the server and left in the order of the ranking."""
    generation = settings.generation.model_copy(update={"text_score_weight": 0.0})
    patient = settings.limits.model_copy(update={"default_timeout_ms": TIMEOUT_MS, "max_timeout_ms": TIMEOUT_MS})
    config = checked(settings.model_copy(update={"generation": generation, "limits": patient}))
    async with local_server(config) as client:
        with progress_bars(console) as bars:
            count = row_counter(bars)
            return {task.name: {each: await ask(client, task, each, count) for each in CANDIDATES} for task in tasks}


async def ask(client: httpx.AsyncClient, task: Task, candidates: int, progress: Progress) -> list[Recommendation]:
    """A page for each user. Raises `AttuneError` for a reply that was degraded or refused."""
    slots, done = asyncio.Semaphore(AT_ONCE), 0
    bodies = [{**body, "generate": {"candidates": candidates}} for body in task_requests(task, K)]

    async def call(body: Mapping[str, Any]) -> Recommendation:
        nonlocal done
        async with slots:
            answer = await client.post("/v1/recommendations", json=body)
        if answer.status_code != 200:
            raise AttuneError(f"user {body['user_id']}: the server answered {answer.status_code}: {answer.text[:300]}")
        reply = Recommendation.model_validate_json(answer.content)
        if reply.degraded:
            raise AttuneError(f"user {body['user_id']}: degraded ({reply.degraded}): not what should be measured")
        done += 1
        progress(f"{task.name}, {candidates} candidates", done, len(bodies))
        return reply

    return await asyncio.gather(*map(call, bodies))


def measured(task: Task, replies: Replies, weights: Sequence[float], rng: np.random.Generator) -> Report:
    """Everything about one task, by the number of candidates where it depends on that."""
    few, many = CANDIDATES
    return {
        "users": len(task.user_ids),
        "tiers": dict(Counter(page.tier for page in replies[many])),
        "order": {str(each): order_results(task, pages, weights, K, rng) for each, pages in replies.items()},
        "texts": {str(each): text_results(pages) for each, pages in replies.items()},
        "gain": text_gain(replies[few], replies[many], rng),
    }


def show(console: Console, report: Report) -> None:
    """Two tables a task: a row a number of candidates and weight, and a row a number of candidates."""
    for one in report["results"]:
        title = f"{one['data']}, {one['task']}, {one['users']:,} users"
        console.print(order_table(title, one["order"], report["default_weight"]), text_table(one))


def order_table(title: str, orders: Report, default: float) -> Table:
    """By weight of the text's score, with the limit last."""
    table = Table("n", "weight", f"nDCG@{K} less that of 0", "scores shuffled", "less those", "changed", title=title)
    for each, order in orders.items():
        table.add_row(each, "0", f"{order['ndcg']:.4f}", "", "", "")
        for row in order["weights"]:
            gains = (interval(row[which]) for which in ("difference", "shuffled", "beyond_shuffled"))
            table.add_row(each, weight_name(row["weight"], default), *gains, f"{row['changed']:.1%}")
        table.add_row(each, "best order", interval(order["best"]), "", "", "", end_section=True)
    return table


def text_table(result: Report) -> Table:
    """The shown texts and the tokens of a reply."""
    table = Table("n", "score", *PARTS, "read", "written", "score over that of n = 1")
    for each, text in result["texts"].items():
        scores = (f"{text[part]:.3f}" for part in ("score", *PARTS))
        tokens = (f"{text[kind]:,.0f}" for kind in ("prompt_tokens", "completion_tokens"))
        ratio = "{:.3f} ({:.3f} to {:.3f})".format(*result["gain"]["ratio"])
        table.add_row(each, *scores, *tokens, "1" if each == str(CANDIDATES[0]) else ratio)
    return table


if __name__ == "__main__":
    typer.run(main)
