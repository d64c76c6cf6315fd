"""Which requests are answered past Ray Serve, without any Ray."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.config import Autoscaling, DeploymentConfig
from serve.routes import front
from serve.routes.front import middlewares, serve_directly


@pytest.fixture(autouse=True)
def _no_front() -> Iterator[None]:
    front._fronts.clear()
    yield
    front._fronts.clear()


def named(name: str, heard: list[str]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(name)

    return app


def who_answers(ingress: DeploymentConfig | None, scope: dict[str, Any], later: bool = False) -> str:
    """`ingress` None: nobody said that they answer here; `later`: on another loop than the one they said it on."""
    heard: list[str] = []
    (middleware,) = middlewares()
    shortcut = middleware.cls(named("ray", heard), *middleware.args, **middleware.kwargs)

    async def say() -> None:
        if ingress is not None:
            serve_directly(named("attune", heard), ingress)

    async def ask() -> None:
        await shortcut(scope, None, None)  # type: ignore[arg-type]  # nobody reads or writes here

    async def both() -> None:
        await say()
        await ask()

    if later:
        asyncio.run(say())
        asyncio.run(ask())
    else:
        asyncio.run(both())
    return ",".join(heard)


HTTP = {"type": "http", "path": "/v1/recommendations"}


def test_the_application_answers_in_rays_place() -> None:
    assert who_answers(DeploymentConfig(), HTTP) == "attune"


@pytest.mark.parametrize("path", ["/-/healthz", "/-/routes"])
def test_health_checks_are_rays(path: str) -> None:
    assert who_answers(DeploymentConfig(), {"type": "http", "path": path}) == "ray"


def test_other_protocols_are_rays() -> None:
    assert who_answers(DeploymentConfig(), {"type": "websocket", "path": "/"}) == "ray"


def test_a_process_without_an_ingress_leaves_all_to_ray() -> None:
    assert who_answers(None, HTTP) == "ray"


@pytest.mark.parametrize("ingress", [DeploymentConfig(autoscaling=Autoscaling()), DeploymentConfig(access_log=True)])
def test_an_ingress_whose_requests_ray_must_see_is_rays(ingress: DeploymentConfig) -> None:
    assert who_answers(ingress, HTTP) == "ray"


def test_an_application_on_another_loop_is_not_called_from_the_servers() -> None:
    assert who_answers(DeploymentConfig(), HTTP, later=True) == "ray"
