"""What `load` and `unload` have made of the repository since the start, known to every ingress replica.

Models whose folders came later are deployed; ensembles need no replicas, and those of the start are changed here, too.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from interest.errors import AttuneError, InvalidConfig
from serve.oip.deployed import Deployed, Deployments
from serve.oip.draining import drained
from serve.oip.ending import Endings, Work
from serve.oip.ensemble import checked_ensemble, is_made_of_itself, served_steps
from serve.oip.entries import FOLLOW_S, Entry, Host, UserEntry, ensemble_entry, unknown, unloaded_ensemble
from serve.oip.message import InferRequest, InferResponse
from serve.oip.model_config import ModelConfig
from serve.oip.model_folders import NOT_LOADED, folder_names, new_model, require_folder, unserved_models
from serve.oip.question import RECENT_S, Question
from serve.oip.turns import Turns

NO_CONFIGS: Mapping[str, ModelConfig] = {}
ENSEMBLES = "/ensembles"  # the turn of them all, which is no model's name: none may come to be made of itself
CLOSING_S = 10.0  # for what is under way when an ingress replica ends

log = logging.getLogger("attune.models")


class Server(Protocol):
    """What ensembles need of the server that they are part of."""

    async def infer(self, request: InferRequest) -> InferResponse: ...

    async def require(self, model: str, version: str = "") -> ModelConfig: ...


class AddedModels:
    """One ingress replica's view of them; the list that counts is that of `deployments`."""

    def __init__(
        self,
        url: str,
        taken: Collection[str],
        deployments: Deployments,
        permits: int = 256,
        ensembles: Mapping[str, ModelConfig] = NO_CONFIGS,
    ) -> None:
        """`taken`: names of the models that the server was started with. `permits`: of an ensemble, at a time.

        `ensembles`: those that it was started with, by name; served as long as the list says nothing else of them.
        """
        self.entries: dict[str, Entry] = {}
        self._server: Server | None = None
        self._permits = permits
        self._url = url
        self._taken = taken
        self._ensembles = ensembles
        self._deployments = deployments
        self._deployed: dict[str, Deployed] = {}
        self._turns = Turns(deployments)
        self._list = Question(self._ask)
        self._follower: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._outdated: Sequence[Deployed] = ()  # the server was deployed anew with folders that had come
        self._endings = Endings(deployments, self._turns, self._spawn)
        self._reasons: Mapping[str, str] = {}  # why loads failed
        self._failures = Question(self._ask_failures)

    def join(self, server: Server) -> None:
        """Before the start: ensembles need the server whose models are their steps."""
        self._server = server

    def start(self) -> None:
        """Follow what other ingress replicas load and unload."""
        loop = asyncio.get_running_loop()
        self._follower = loop.create_task(self._follow(), context=contextvars.Context())

    async def refresh(self) -> None:
        """Know what was served a moment ago, however many callers ask for names that are not."""
        await self._list.recent()

    async def changed(self, name: str, change: Callable[[], Work]) -> None:
        """Load or unload a model that is not one of these, in its turn. It goes on when its caller leaves."""

        async def in_turn() -> None:
            async with self._turns.of(name):
                await change()

        await asyncio.shield(self._spawn(in_turn()))

    async def load(self, name: str, override: str) -> None:
        """Serve what the model's folder says now, on all ingress replicas. It goes on when its caller leaves.

        Raises `UnknownModel` without such a folder, `InvalidConfig` for a model that does not load: of one that was
        not served before, nothing is left then.
        """
        await asyncio.shield(self._spawn(self._load(name, override)))

    async def unload(self, name: str) -> None:
        """Serve it no more and end its replicas. It goes on when its caller leaves. Raises `UnknownModel`."""
        await asyncio.shield(self._spawn(self._unload(name)))

    async def index(self) -> list[dict[str, str]]:
        """The models of the repository that are not served, with the reason; as the repository index has them."""
        served = {*self._taken, *self.entries}
        await self._failures.recent()
        return [
            {
                "name": name,
                "version": version,
                "state": "UNAVAILABLE",
                "reason": self._reasons.get(name, reason) if reason == NOT_LOADED else reason,
            }
            for name, versions, reason in await asyncio.to_thread(unserved_models, self._url, served)
            for version in versions or [""]
        ]

    async def close(self) -> None:
        """Loads and unloads under way come to their end, or are left to other ingress replicas as orphans."""
        if self._follower is not None:
            self._follower.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSING_S)
        await asyncio.gather(*(entry.close() for entry in self.entries.values()))

    async def _load(self, name: str, override: str) -> None:
        await self._list.recent()
        if name not in self._deployed:
            await asyncio.to_thread(require_folder, self._url, name)  # names that clients make up take no turns
        async with self._turns.of(name):
            await self._list.now()
            served = self._deployed.get(name)
            if served is not None and served.address:
                await self.entries[name].load(override)
                await _noted(name, self._deployments.changed(name))
                return
            try:
                await self._load_new(name, override, served)
            except InvalidConfig as error:
                await _noted(name, self._refused(name, error.message))
                await asyncio.sleep(RECENT_S)  # no index tells another reason then
                raise
            await _noted(name, self._deployments.failed(name, ""))
            await self._list.now()
        await asyncio.sleep(RECENT_S)  # no ingress replica knows better then

    async def _refused(self, name: str, reason: str) -> None:
        if name not in await self._deployments.published():  # by another ingress replica
            await self._deployments.failed(name, reason)

    async def _load_new(self, name: str, override: str, served: Deployed | None) -> None:
        """`served`: the ensemble of before."""
        config = await asyncio.to_thread(new_model, self._url, name, override)
        if config.is_ensemble:
            await self._load_ensemble(config, given=bool(override))
        elif name in self._ensembles:
            raise InvalidConfig(f"failed to load '{name}': the server was started with an ensemble of this name")
        elif served is not None:
            raise InvalidConfig(f"failed to load '{name}': an ensemble of this name is served; unload it first")
        else:
            await self._load_model(name, config, override)

    async def _load_ensemble(self, config: ModelConfig, given: bool) -> None:
        assert self._server is not None, "a server joins before the start"
        await served_steps(config, self._server.require)  # models that answer late take nobody's turn meanwhile
        async with self._turns.of(ENSEMBLES):
            await self._list.now()
            config = checked_ensemble(config, await served_steps(config, self._server.require))
            of_start = self._ensembles.get(config.name)
            replaced = await self._list_ensemble(Deployed(config=config, instead_of=of_start, given=given))
        if replaced:
            await self._followed()

    async def _list_ensemble(self, deployed: Deployed) -> bool:
        """Serve it instead of what is served under its name; whether there was something else.

        What the server was started with needs no place on the list.
        """
        served = self._deployed.get(deployed.config.name)
        if deployed == served:
            return False
        if served is not None and deployed.is_of_start:
            await self._deployments.withdraw(served)
        else:
            await self._deployments.replace(deployed)
        return served is not None

    async def _followed(self) -> None:
        """Every ingress replica has, what is on the list, when this returns."""
        await self._list.now()
        await asyncio.sleep(2 * FOLLOW_S)

    async def _load_model(self, name: str, config: ModelConfig, override: str) -> None:
        deployed = self._deployments.new(config)
        try:
            await self._deployments.start(deployed, override)
            await _load_everywhere(name, self._deployments.host(deployed), override)
            await self._publish(deployed)
        except Exception:
            await self._endings.end(deployed)
            raise

    async def _publish(self, deployed: Deployed) -> None:
        if not await self._deployments.publish(deployed):
            name = deployed.config.name
            raise InvalidConfig(f"failed to load '{name}': it was loaded by another call at the same time")

    async def _unload(self, name: str) -> None:
        await self._list.recent()
        if name not in self._deployed:
            raise unknown(name)
        async with self._turns.of(name):
            await self._list.now()
            if name not in self._deployed:
                raise unknown(name)
            deployed = self._deployed[name]
            if deployed.instead_of is not None:
                await self._list_ensemble(deployed.model_copy(update={"loaded": False}))
                await self._followed()
                return
            await self._endings.withdraw(deployed)
            try:
                await self._list.now()
            finally:
                await self._endings.end_withdrawn(deployed)

    async def _ask_failures(self) -> None:
        """Those of folders that are gone are forgotten: one of the same name may come, and be another model."""
        reasons = await self._deployments.failures()
        gone = reasons.keys() - await asyncio.to_thread(folder_names, self._url) if reasons else ()
        for name in gone:
            await self._deployments.failed(name, "")
        self._reasons = {name: reason for name, reason in reasons.items() if name not in gone}

    async def _ask(self) -> None:
        await self._take_over(await self._deployments.published())

    async def _take_over(self, published: Mapping[str, Deployed]) -> None:
        self._outdated = [one for one in published.values() if self._is_outdated(one, published)]
        counted = {name: Deployed(config=config, instead_of=config) for name, config in self._ensembles.items()}
        counted |= {name: one for name, one in published.items() if one not in self._outdated}
        for name in [name for name, deployed in self._deployed.items() if counted.get(name) != deployed]:
            del self._deployed[name]
            self._spawn(drained(name, self.entries.pop(name)))
        for name, deployed in counted.items():
            if name not in self._deployed:
                self._deployed[name] = deployed
                self.entries[name] = self._new_entry(deployed)

    def _is_outdated(self, deployed: Deployed, published: Mapping[str, Deployed]) -> bool:
        """Whether the server, deployed anew, has taken up what it stood for."""
        start = self._ensembles.get(deployed.config.name)
        if deployed.instead_of is None or start is None:
            return deployed.config.name in self._taken or deployed.instead_of is not None
        if not deployed.loaded:
            return False
        listed = {name: one.config for name, one in published.items()}
        others = {**listed, **self._ensembles, **{n: listed[n] for n, one in published.items() if one.instead_of}}
        if is_made_of_itself(deployed.config, others):
            log.warning("%s: an ensemble that it is made of came to be made of it", deployed.config.name)
            return True
        return not deployed.given and deployed.instead_of != start

    def _new_entry(self, deployed: Deployed) -> Entry:
        config = deployed.config
        if not deployed.address:
            assert self._server is not None, "a server joins before the start"
            ensemble = ensemble_entry if deployed.loaded else unloaded_ensemble
            return ensemble(config, self._server.infer, self._permits)
        entry = UserEntry(config, self._deployments.host(deployed), config.instances)
        entry.follow()
        return entry

    async def _follow(self) -> None:
        while True:
            try:
                await self._turns.give_back()
                await self._list.now()
                await self._endings.clear(self._outdated)
            except AttuneError as error:
                log.warning("models that came after the start: %s", error.message)
            await asyncio.sleep(FOLLOW_S)

    def _spawn(self, work: Work) -> "asyncio.Task[None]":
        """A task in a context of its own: Ray ends calls with the request in whose context they were made."""
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _noted(name: str, noting: Awaitable[None]) -> None:
    """Trouble with what is written down of a load is none of the load."""
    try:
        await noting
    except AttuneError as error:
        log.warning("%s: how its last load ended is not written down: %s", name, error.message)


async def _load_everywhere(name: str, host: Host, override: str) -> None:
    """Replicas have loaded the model as they started, or know why not. Raises `InvalidConfig` with that reason."""
    state = await host.state()
    if not state.ready:
        reasons = "; ".join(f"version {one.version}: {one.reason}" for one in state.versions)
        raise InvalidConfig(f"failed to load '{name}': {reasons}")
    await host.prepare(override)  # of a replica that has loaded it nothing is asked any more
    await host.commit()
