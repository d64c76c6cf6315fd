"""The encoder as a model: texts in, content vectors out."""

import asyncio
from pathlib import Path

import numpy as np

from interest.batch import Tensors
from ranking.encoder import CachedEncoder, load_encoder
from ranking.release import ModelRepository
from serve.config import ServerConfig
from serve.model import OneThread


class EncoderStage:
    """{"text": object [B]} -> {"embedding": float32 [B, E], "tokens": int64 [B]}, unit rows, and the tokens read."""

    name = "encoder"

    def __init__(self, config: ServerConfig) -> None:
        repository = ModelRepository(Path(config.repository))
        release = repository.read_release(config.release)
        self._folder = repository.open_version("encoder", release.models["encoder"]).folder
        self._encoder: CachedEncoder | None = None
        self._thread = OneThread(self.name)

    async def load(self) -> None:
        self._encoder = await asyncio.to_thread(load_encoder, self._folder)
        await self.infer({"text": np.array(["warm up", "预热"], dtype=object)})

    async def infer(self, tensors: Tensors) -> Tensors:
        return await self._thread.run(lambda: self._encode(tensors["text"].tolist()))

    def _encode(self, texts: list[str]) -> Tensors:
        assert self._encoder is not None
        return {"embedding": self._encoder.encode(texts), "tokens": self._encoder.count_tokens(texts)}

    async def check_health(self) -> None:
        """A loaded encoder has nothing that could die on its own."""

    async def unload(self) -> None:
        self._thread.close()
        self._encoder = None
