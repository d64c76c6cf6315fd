"""A whole server in this process: the ingress and its stages as they are deployed, called without Ray."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from serve.config import STAGES, ServerConfig
from serve.ingress import Ingress
from serve.model import StreamingModel
from serve.stages.factory import make_model

READY_STEP_S = 0.1


@asynccontextmanager
async def local_server(config: ServerConfig) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the ready server of a checked config; nothing of it waits for a network."""
    models = {stage: make_model(stage, config) for stage in STAGES}
    generator = models["generator"]
    assert isinstance(generator, StreamingModel)
    async with AsyncExitStack() as stack:
        for model in models.values():
            stack.push_async_callback(model.unload)
            await model.load()
        ingress = Ingress(config, {stage: model.infer for stage, model in models.items()}, generator.stream)
        stack.push_async_callback(ingress.close)
        await ingress.start()
        transport = httpx.ASGITransport(app=ingress.asgi_app())
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://attune", timeout=None)
        )
        while (await client.get("/ready")).status_code != 200:  # noqa: ASYNC110  # a server tells nobody that it is
            await asyncio.sleep(READY_STEP_S)
        yield client
