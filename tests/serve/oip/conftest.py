"""Two ingress replicas of one cluster."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from serve.oip import added_models, ending
from tests.serve.oip.ingresses import Pair, new_ingress
from tests.serve.oip.local_deployments import LocalDeployments


@pytest.fixture
def deployments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalDeployments:
    for module in (added_models, ending):
        monkeypatch.setattr(module, "FOLLOW_S", 0.01)
    return LocalDeployments(str(tmp_path))


@pytest_asyncio.fixture
async def both(deployments: LocalDeployments) -> AsyncIterator[Pair]:
    first, second = new_ingress(deployments), new_ingress(deployments)
    for server in (first, second):
        await server.start()
    yield first, second
    for server in (first, second):
        await server.close()
    for host in deployments.running.values():
        await host.close()
