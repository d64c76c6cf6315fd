"""The ASGI application: all routes, with one error envelope."""

from fastapi import FastAPI
from starlette.types import ASGIApp

from serve.routes.api import Api
from serve.routes.completions import CompletionsShortcut
from serve.routes.disconnect import CancelOnDisconnect
from serve.routes.errors import install_error_handlers
from serve.routes.evaluations import evaluations_router
from serve.routes.infer import InferShortcut
from serve.routes.native import native_router
from serve.routes.oip import oip_router
from serve.routes.openai import openai_router
from serve.routes.ranking import ranking_router
from serve.routes.rerank import rerank_router

__all__ = ["ASGIApp", "create_app"]


def create_app(api: Api) -> ASGIApp:
    """The HTTP surface over one `Api`, for a `RequestEnvelope`; its OpenAPI document is served at /openapi.json."""
    app = FastAPI(title="Attune", version=api.version["attune"], docs_url="/docs", redoc_url=None)
    install_error_handlers(app)
    for router in (native_router, ranking_router, evaluations_router, openai_router, rerank_router, oip_router):
        app.include_router(router(api))
    return CancelOnDisconnect(CompletionsShortcut(InferShortcut(app, api), api))
