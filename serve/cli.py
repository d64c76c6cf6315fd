"""The `attune` command: import, train, serve, evaluate, or all of the first three in one go (`attune run`)."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from interest.errors import AttuneError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, help=__doc__)
demo_model = typer.Typer(no_args_is_help=True, help="The small language model that ships with Attune.")
app.add_typer(demo_model, name="demo-model")
models = typer.Typer(no_args_is_help=True, help="Models of a running server; yours are loaded without a restart.")
app.add_typer(models, name="models")
feedback = typer.Typer(no_args_is_help=True, help="What users made of the texts they were shown.")
app.add_typer(feedback, name="feedback")
console = Console()
errors = Console(stderr=True)

StoreUrl = Annotated[str, typer.Option(help="SQLAlchemy URL of the database.")]
Repository = Annotated[Path, typer.Option(help="Folder of the model repository.")]
Until = Annotated[float | None, typer.Option(help="Unix seconds: nothing fitted sees an event at or after it.")]
ServerUrl = Annotated[str, typer.Option(help="Of the running server.")]
DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_STORE = "sqlite:///.attune/attune.db"
DEFAULT_REPOSITORY = Path(".attune/models")


def main() -> None:
    """Entry point: our own errors end in one plain line and exit status 2."""
    try:
        app()
    except AttuneError as error:
        errors.print(f"[bold red]attune:[/] {error.message}", highlight=False)
        raise SystemExit(2) from error


@app.command("import")
def import_command(
    items: Annotated[Path | None, typer.Option(help="CSV, Parquet or JSONL.")] = None,
    events: Annotated[Path | None, typer.Option(help="CSV, Parquet or JSONL.")] = None,
    users: Annotated[Path | None, typer.Option(help="CSV, Parquet or JSONL.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="YAML: which column is which field.")] = None,
    store: StoreUrl = DEFAULT_STORE,
) -> None:
    """Load items, events and users. Running it again adds nothing; a bad row is skipped and reported."""
    from serve.commands.data import import_files

    import_files(console, store, items, events, users, mapping)


@app.command()
def train(
    store: StoreUrl = DEFAULT_STORE,
    repository: Repository = DEFAULT_REPOSITORY,
    seed: int = 0,
    until: Until = None,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Go on from the newest release: only what is new is learned.")
    ] = False,
) -> None:
    """Fit interest model, encoder and reranker on the store's log and write a release."""
    from serve.commands.data import train_release

    train_release(console, store, repository, seed, until, incremental)


@app.command()
def serve(
    config: Annotated[Path, typer.Option(help="Ray Serve config file.")] = Path("deploy/serve.yaml"),
    port: Annotated[int | None, typer.Option(help="Instead of the file's; 0 takes a free one.")] = None,
) -> None:
    """Start the server that a Serve config describes, on this machine, until Ctrl-C."""
    from serve.commands.server import serve_config

    serve_config(console, config, port)


@app.command("ray-env")
def ray_env(
    folder: Annotated[Path, typer.Option(help="Of this node, made if missing.")] = Path("/tmp/attune-node"),
) -> None:
    """Print what `ray start` needs in its environment on every node: eval "$(attune ray-env)"; ray start ..."""
    from serve.commands.server import export_lines

    typer.echo(export_lines(folder))


@app.command()
def run(
    data: Annotated[str, typer.Option(help="Folder with items and events; empty: a synthetic world.")] = "",
    port: int = 8000,
    split: Annotated[str, typer.Option(help="train | all: load validation events too (no evaluation then).")] = "train",
    state: Annotated[Path, typer.Option(help="Where database and models are kept.")] = Path(".attune"),
    config: Annotated[Path, typer.Option(help="Ray Serve config file to start from.")] = Path("deploy/serve.yaml"),
    until: Until = None,
) -> None:
    """Data, training, server, in one go; everything that is already there is used again."""
    from serve.commands.run import run_all

    run_all(console, data, port, split, state, config, until)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Argument(help="Folder with validation.parquet.")],
    url: Annotated[str, typer.Option(help="A server with evaluation enabled; empty: offline only.")] = "",
    state: Annotated[Path, typer.Option(help="Where `attune run` keeps database and models.")] = Path(".attune"),
    users: Annotated[int | None, typer.Option(help="Only the first N users.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the numbers here.")] = None,
    protocol: Annotated[str, typer.Option(help="per-user | strict: nothing fitted saw an event of the test time.")] = (
        "per-user"
    ),
    baselines: Annotated[bool, typer.Option(help="Tune and measure the baselines too, in this run.")] = True,
    settings: Annotated[Path | None, typer.Option(help="JSON of a run: its settings instead of tuning again.")] = None,
    ablate: Annotated[bool, typer.Option(help="Also without the reranker, and without each source.")] = False,
) -> None:
    """Ranking quality on held-out events: through HTTP with per-user as_of, beside the same offline and baselines."""
    from serve.commands.evaluate import evaluate_data

    evaluate_data(console, data, url, state, users, json, protocol, baselines, settings, ablate)


@app.command()
def exposure(
    store: StoreUrl = DEFAULT_STORE,
    days: Annotated[float, typer.Option(help="Back from the newest impression.", min=0)] = 7.0,
    json: Annotated[Path | None, typer.Option(help="Write the numbers here.")] = None,
) -> None:
    """How evenly the lists shown are spread over the catalogue: Gini, coverage, and each category's share."""
    from serve.commands.impression_reports import report_exposure

    report_exposure(console, store, days, json)


@app.command("off-policy")
def off_policy(
    store: StoreUrl = DEFAULT_STORE,
    repository: Repository = DEFAULT_REPOSITORY,
    release: Annotated[str, typer.Option(help="Whose lists to judge.")] = "latest",
    days: Annotated[float, typer.Option(help="Back from the newest impression.", min=0)] = 30.0,
    seed: int = 0,
    json: Annotated[Path | None, typer.Option(help="Write the numbers here.")] = None,
) -> None:
    """What the lists of a release would have earned, from the explored places of the impression log."""
    from serve.commands.impression_reports import report_off_policy

    report_off_policy(console, store, repository, release, days, seed, json)


@app.command()
def compress(
    model: Annotated[Path, typer.Argument(help="Folder of a language model.")],
    out: Annotated[Path, typer.Argument(help="Folder for the same in int8, made new.")],
) -> None:
    """Write a language model in 8 bits: half the memory, for `generation.engine.model` on CPU or GPU."""
    from serve.generation.compression import compress as compress_folder

    with console.status(f"Compressing {model} ..."):
        sizes = compress_folder(model, out)
    console.print(
        f"{out}: {sizes.layers} layers in int8, {sizes.before / 1e6:,.1f} MB -> {sizes.after / 1e6:,.1f} MB",
        highlight=False,
    )


@feedback.command("export")
def export_feedback(
    out: Annotated[Path, typer.Argument(help="JSON lines; see serve/adaptation/pairs.py.")],
    store: StoreUrl = DEFAULT_STORE,
    days: Annotated[float, typer.Option(help="Back from the newest impression.", min=0)] = 30.0,
    domain: Annotated[str, typer.Option(help="Only items of this domain; empty: of all.")] = "",
) -> None:
    """Preference pairs from the impression log: which text was liked, which refused, for one and the same prompt."""
    from serve.commands.feedback import export_feedback

    export_feedback(console, store, days, domain, out)


@app.command()
def adapt(
    pairs: Annotated[Path, typer.Argument(help="What `attune feedback export` wrote.")],
    name: Annotated[str, typer.Argument(help="Of the adapter; each run registers its next version.")],
    model: Annotated[str, typer.Option(help="As in generation.engine.model.")] = "demo",
    repository: Repository = DEFAULT_REPOSITORY,
    minutes: Annotated[float, typer.Option(help="Training ends by then.", min=0.1)] = 10.0,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    margin: Annotated[float, typer.Option(help="Share of texts it may ground less than the model alone.")] = 0.02,
    seed: int = 0,
) -> None:
    """Fit a LoRA to what users liked of the words. One that is worse than the model is refused with exit status 1."""
    from serve.adaptation.training import Settings
    from serve.commands.adapt import adapt_model

    settings = Settings(seed=seed, minutes=minutes, threads=threads)
    if adapt_model(console, pairs, name, model, repository, settings, margin).version is None:
        raise typer.Exit(1)


@demo_model.command("build")
def build_demo_model(
    out: Annotated[Path, typer.Option(help="Folder for the model.")] = Path("serve/generation/demo_model"),
    minutes: Annotated[float, typer.Option(help="Of processor time; learning rates fall to zero at their end.")] = 65.0,
    threads: int = 1,
    seed: int = 0,
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint.")] = True,
    start: Annotated[Path | None, typer.Option(help="A model folder to train on, instead of from nothing.")] = None,
    rate: Annotated[float, typer.Option(help="Highest share of the full learning rates.")] = 1.0,
) -> None:
    """Train the shipped language model again on sentences of our own grammar."""
    from serve.generation.demo_training import build

    build(out, minutes, threads, seed, resume, start=start, rate=rate)


@models.command("index")
def index_models(url: ServerUrl = DEFAULT_URL) -> None:
    """Every model, its versions, and why one is not ready."""
    from serve.commands.models import show_models

    show_models(console, url)


@models.command("load")
def load_model(
    model: str,
    url: ServerUrl = DEFAULT_URL,
    config: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="JSON in place of the config file, until the next load."),
    ] = None,
) -> None:
    """Serve what the model's folder says now; what is served goes on until the new versions are warm."""
    from serve.commands.models import change_model

    change_model(console, url, "load", model, {"config": config.read_text()} if config else {})


@models.command("unload")
def unload_model(model: str, url: ServerUrl = DEFAULT_URL) -> None:
    """Serve the model no more, until it is loaded again."""
    from serve.commands.models import change_model

    change_model(console, url, "unload", model)


@demo_model.command("evaluate")
def evaluate_demo_model(
    model: Annotated[str, typer.Option(help='"demo", or a folder that `build` made.')] = "demo",
    texts: int = 1000,
    seed: int = 1,
    threads: int = 1,
    concurrency: int = 64,
    constrain_title: Annotated[bool, typer.Option(help="The engine can write no other title.")] = False,
    examples: Annotated[int, typer.Option(help="Texts to show.")] = 12,
    json: Annotated[Path | None, typer.Option(help="Write the numbers here.")] = None,
) -> None:
    """Share of texts about a synthetic world that the model wrote and the check lets pass."""
    from serve.generation.demo_report import evaluate

    evaluate(console, model, texts, seed, threads, concurrency, constrain_title, examples, json)
