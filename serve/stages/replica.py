"""What interest, retriever and reranker replicas share: one release, a followed catalogue, one worker thread."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from interest.batch import Tensors
from interest.catalogue import Catalogue
from interest.model import InterestModel
from interest.store.open import open_reader
from interest.store.protocol import EventColumns, ItemChange, StoreReader
from ranking.encoder_files import encoder_identity
from ranking.popularity import Popularity
from ranking.release import ModelRepository, Release
from serve.config import ServerConfig
from serve.follower import Follower
from serve.model import OneThread, require_release

Apply = Callable[[Sequence[ItemChange], EventColumns | None], None]


class ReleaseReplica(ABC):
    """Base of the stages that answer from a release and the followed catalogue; they give `_load` and `_infer`."""

    name = ""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.reader: StoreReader = open_reader(config.store.url)
        self.repository = ModelRepository(Path(config.repository))
        self.release: Release = self.repository.read_release(config.release)
        encoder, dims = encoder_identity(self.repository.open_version("encoder", self.release.models["encoder"]).folder)
        self.catalogue = Catalogue(dims, encoder)
        self.popularity = Popularity()
        self._thread = OneThread(self.name)
        self._follower = Follower(
            self.reader,
            self._apply_all,
            config.retrieval.follow_interval_s,
            self.name,
            events=self.name != "interest",
            encoder=encoder,
        )

    async def load(self) -> None:
        await asyncio.to_thread(self._load_and_follow)

    async def infer(self, tensors: Tensors) -> Tensors:
        require_release(tensors, self.release.name)
        return await self._thread.run(lambda: self._infer(tensors))

    async def check_health(self) -> None:
        self._follower.check()

    async def unload(self) -> None:
        self._follower.stop()
        self._thread.close()
        self.reader.close()

    def interest_model(self) -> InterestModel:
        """The release's interest model, checked against its manifest."""
        version = self.repository.open_version("interest", self.release.models["interest"])
        model = InterestModel.load(version.folder)
        version.require_dims(rank=model.dims, items=len(model.item_ids))
        return model

    def _load_and_follow(self) -> None:
        self._follower.catch_up()
        self._load()
        self._follower.start()

    def _apply_all(self, changes: Sequence[ItemChange], events: EventColumns | None) -> None:
        self.catalogue.apply(changes)
        if events is not None:
            self.popularity.append(events)

    @abstractmethod
    def _load(self) -> None:
        """Read the models of this stage; the catalogue has caught up."""

    @abstractmethod
    def _infer(self, tensors: Tensors) -> Tensors:
        """`Model.infer`, in the stage's own thread."""
