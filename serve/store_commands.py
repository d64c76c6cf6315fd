"""What travels to the store deployment: one tagged command a write, one answer each."""

from collections.abc import Sequence

import msgspec
import numpy as np

from interest import errors
from interest.batch import Floats, Tensors
from interest.errors import AttuneError
from interest.events import Event, InterestEdit
from interest.items import Item
from interest.store.protocol import AppendResult, ErasureReceipt, EvaluationRecord, Impression, PutResult, Snapshot
from serve.ranker import Stage


class Append(msgspec.Struct, tag=True, frozen=True):
    events: list[Event]
    edits: list[InterestEdit]


class PutItems(msgspec.Struct, tag=True, frozen=True):
    items: list[Item]
    embeddings: bytes  # float32 [items, dims], empty when not encoded
    dims: int
    encoder: str


class SetEmbeddings(msgspec.Struct, tag=True, frozen=True):
    encoded: list[tuple[str, int]]  # item id, seq
    embeddings: bytes  # float32 [items, dims]
    dims: int
    encoder: str


class DeleteItems(msgspec.Struct, tag=True, frozen=True):
    item_ids: list[str]


class EraseUser(msgspec.Struct, tag=True, frozen=True):
    user_id: str


class LogImpressions(msgspec.Struct, tag=True, frozen=True):
    impressions: list[Impression]
    snapshots: list[Snapshot] = []  # of the rankings that the impressions are the first page of


class PutEvaluation(msgspec.Struct, tag=True, frozen=True):
    record: EvaluationRecord


Command = Append | PutItems | SetEmbeddings | DeleteItems | EraseUser | LogImpressions | PutEvaluation


class Answer(msgspec.Struct, frozen=True):
    """`result` as msgpack, or the class name and message of an error."""

    result: msgspec.Raw = msgspec.Raw(b"\xc0")
    error: str = ""
    message: str = ""


class StoreClient:
    """The writes, as the ingress calls them. Every method returns only once the write is durable."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def append(self, records: Sequence[Event | InterestEdit]) -> AppendResult:
        """Raises `ConflictingWrite` when an id is known with another body; nothing is written then."""
        command = Append(
            [record for record in records if isinstance(record, Event)],
            [record for record in records if isinstance(record, InterestEdit)],
        )
        return msgspec.msgpack.decode(await self._send(command), type=AppendResult)

    async def put_items(self, items: Sequence[Item], embeddings: Floats | None, encoder: str) -> PutResult:
        if embeddings is None:
            command = PutItems(list(items), b"", 0, "")
        else:
            command = PutItems(list(items), embeddings.astype("<f4").tobytes(), embeddings.shape[1], encoder)
        return msgspec.msgpack.decode(await self._send(command), type=PutResult)

    async def set_embeddings(self, encoded: Sequence[tuple[str, int]], embeddings: Floats, encoder: str) -> int:
        """Returns the sequence number of the write; `encoded` as in `StoreWriter.set_embeddings`."""
        body = embeddings.astype("<f4").tobytes()
        command = SetEmbeddings(list(encoded), body, embeddings.shape[1], encoder)
        return msgspec.msgpack.decode(await self._send(command), type=int)

    async def delete_items(self, item_ids: Sequence[str]) -> int:
        """Returns how many of them existed."""
        return msgspec.msgpack.decode(await self._send(DeleteItems(list(item_ids))), type=int)

    async def erase_user(self, user_id: str) -> ErasureReceipt:
        return msgspec.msgpack.decode(await self._send(EraseUser(user_id)), type=ErasureReceipt)

    async def log_impressions(self, impressions: Sequence[Impression], snapshots: Sequence[Snapshot] = ()) -> None:
        await self._send(LogImpressions(list(impressions), list(snapshots)))

    async def put_evaluation(self, record: EvaluationRecord) -> None:
        await self._send(PutEvaluation(record))

    async def _send(self, command: Command) -> msgspec.Raw:
        answers = await self._stage({"command": np.array([msgspec.msgpack.encode(command)], dtype=object)})
        answer = msgspec.msgpack.decode(answers["answer"][0], type=Answer)
        if answer.error:
            raise error_named(answer.error)(answer.message)
        return answer.result


def error_named(name: str) -> type[AttuneError]:
    """The error class of that name, `AttuneError` itself when it is none of ours."""
    found = getattr(errors, name, AttuneError)
    return found if isinstance(found, type) and issubclass(found, AttuneError) else AttuneError


def tensors_of(answers: Sequence[Answer]) -> Tensors:
    """The answers as the store stage sends them, one an element."""
    packed = np.empty(len(answers), dtype=object)
    packed[:] = [msgspec.msgpack.encode(answer) for answer in answers]
    return {"answer": packed}
