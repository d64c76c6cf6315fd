"""The store as a model: commands in, answers out; every command is durable before its answer."""

import asyncio
import logging

import msgspec
import numpy as np

from interest.batch import Tensors
from interest.errors import AttuneError
from interest.store.group_commit import GroupCommit
from interest.store.open import open_writer
from interest.store.protocol import StoreWriter
from serve.config import ServerConfig
from serve.store_commands import (
    Answer,
    Append,
    Command,
    DeleteItems,
    EraseUser,
    LogImpressions,
    PutEvaluation,
    PutItems,
    SetEmbeddings,
    tensors_of,
)

log = logging.getLogger("attune.store")


class StoreStage:
    """The one owner of every write; commands that wait together are committed together."""

    name = "store"

    def __init__(self, config: ServerConfig) -> None:
        self._config = config.store
        self._commits: GroupCommit | None = None

    async def load(self) -> None:
        writer = await asyncio.to_thread(open_writer, self._config.url)
        self._commits = GroupCommit(writer, self._config.max_group_commit)

    async def infer(self, tensors: Tensors) -> Tensors:
        """{"command": object [B] of msgpack} -> {"answer": object [B] of msgpack}, each done or failed on its own."""
        commands = [msgspec.msgpack.decode(body, type=Command) for body in tensors["command"]]
        return tensors_of(await asyncio.gather(*map(self._answer, commands)))

    async def check_health(self) -> None:
        assert self._commits is not None
        self._commits.check()

    async def unload(self) -> None:
        if self._commits is not None:
            await self._commits.close()
            self._commits = None

    async def _answer(self, command: Command) -> Answer:
        assert self._commits is not None
        try:
            result = await self._commits.run(lambda writer: _apply(writer, command))
        except AttuneError as error:
            return Answer(error=type(error).__name__, message=error.message)
        except Exception:  # the database's own trouble: logged here, one plain line for the caller
            log.exception("%s failed", type(command).__name__)
            return Answer(error="AttuneError", message=f"the store could not do {type(command).__name__}")
        return Answer(result=msgspec.Raw(msgspec.msgpack.encode(result)))


def _apply(writer: StoreWriter, command: Command) -> object:
    if isinstance(command, Append):
        return writer.append([*command.events, *command.edits])
    if isinstance(command, PutItems):
        vectors = np.frombuffer(command.embeddings, dtype="<f4").reshape(-1, command.dims) if command.dims else None
        return writer.put_items(command.items, vectors, command.encoder)
    if isinstance(command, SetEmbeddings):
        vectors = np.frombuffer(command.embeddings, dtype="<f4").reshape(-1, command.dims)
        return writer.set_embeddings(command.encoded, vectors, command.encoder)
    if isinstance(command, DeleteItems):
        return writer.delete_items(command.item_ids)
    if isinstance(command, EraseUser):
        return writer.erase_user(command.user_id)
    if isinstance(command, PutEvaluation):
        writer.put_evaluation(command.record)
        return None
    assert isinstance(command, LogImpressions)
    writer.log_impressions(command.impressions)
    writer.keep_snapshots(command.snapshots)
    return None
