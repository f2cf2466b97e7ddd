"""The application: every part wired to every other, and nothing global.

request -> Observation (id, trace, measure) -> Gate (token, media type, size) -> route -> service -> database and outbox
background: bus connection -> outbox, projector, reconciler, sweeper, queue watch, each restarted when it fails
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forge_api.auth.token import Tokens, read_tokens
from forge_api.db.session import Database
from forge_api.metrics import ApiMetrics
from forge_api.observation import Observation
from forge_api.problem import Problem, install_problems, problem_response
from forge_api.routes import audit, deployments, health, metrics, releases, repositories, runs, steps
from forge_api.service.ended import teller
from forge_api.service.outbox import run_outbox
from forge_api.service.platform import AWAY, Platform, Ports
from forge_api.service.projector import run_projector
from forge_api.service.queues import run_queue_watch
from forge_api.service.reconcile import run_reconciler, run_sweeper
from forge_api.settings import BODY_BYTES_MAX, ApiSettings
from forge_runtime.metrics import new_registry
from forge_runtime.retry import backoff_s
from forge_runtime.tasks import end_tasks

BACKGROUND: Final = (run_outbox, run_projector, run_reconciler, run_sweeper, run_queue_watch)
OPEN_PATHS: Final = health.OPEN_PATHS | {metrics.PATH}

_log = logging.getLogger(__name__)


def create_app(settings: ApiSettings, ports: Ports) -> FastAPI:
    """The API over these ports; SettingsInvalid where a token in a file would not be safe."""
    settings.check()
    tokens = read_tokens(settings.token_file, settings.tokens_dir)
    counted = ApiMetrics(new_registry())
    database = Database(settings.database_url, told=teller(counted, ports.tracer))
    platform = Platform(settings=settings, database=database, ports=ports, metrics=counted)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await platform.database.migrate()
        async with ports.running():
            background = asyncio.create_task(_operate(platform))
            try:
                yield
            finally:
                platform.draining = True
                await end_tasks(background)
                if platform.bus is not None:
                    await platform.bus.close()
                await platform.database.close()

    app = FastAPI(
        title="Catalyst Forge",
        version="1",
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # these pages load their scripts from elsewhere
        redoc_url=None,
    )
    app.state.platform = platform
    for module in (runs, steps, releases, deployments, repositories, audit, health, metrics):
        app.include_router(module.router)
    install_problems(app)
    app.add_middleware(Gate, tokens=tokens)
    app.add_middleware(Observation, metrics=counted, tracer=ports.tracer, random=ports.random, probed=OPEN_PATHS)
    return app


class Gate:
    """What every request passes: it gets a limit, and needs the token unless it asks for health or metrics.

    Here and not in the routes, so that without a token nothing is parsed and no address tells whether it exists.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        principal = self._tokens.principal(headers.get("Authorization"))
        scope["state"]["principal"] = principal
        if principal is None and scope["path"] not in OPEN_PATHS:
            await problem_response(Problem(401), scope["state"])(scope, receive, send)
        elif _has_body(headers) and not _is_json(headers):
            await problem_response(Problem(415), scope["state"])(scope, receive, send)
        else:
            await self._app(scope, _limited(receive), send)


def _limited(receive: Receive) -> Receive:
    """A body is counted as it comes: what its header says of it need not be true, or there."""
    size_bytes = 0

    async def counted() -> Message:
        nonlocal size_bytes
        message = await receive()
        size_bytes += len(message.get("body", b""))
        if size_bytes > BODY_BYTES_MAX:
            raise HTTPException(413)  # the one kind of exception that FastAPI lets through while it reads a body
        return message

    return counted


def _has_body(headers: Headers) -> bool:
    return headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers


def _is_json(headers: Headers) -> bool:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"


async def _operate(platform: Platform) -> None:
    """Connect to the bus, however long it takes, then work in the background until cancelled."""
    failures = 0
    while platform.bus is None:
        try:
            platform.bus = await platform.ports.connect()
        except Exception as error:  # whatever it is: without its bus the API still shows what it knows
            _log.warning("no bus yet: %s", error)
            await asyncio.sleep(backoff_s(failures, random.random()))  # noqa: S311 - spreads load, guards nothing
            failures = min(failures + 1, 3)
    async with asyncio.TaskGroup() as group:
        for service in BACKGROUND:
            group.create_task(_keep(service, platform), name=service.__name__)


async def _keep(service: Callable[[Platform], Awaitable[None]], platform: Platform) -> None:
    """Run a service for ever: whatever ends it is logged, and it begins again where its durable state says."""
    failures = 0
    while True:
        began = asyncio.get_running_loop().time()
        try:
            await service(platform)
        except AWAY as error:
            _log.warning("%s waits: %s", service.__name__, error)
        except Exception:
            _log.exception("%s failed and starts again", service.__name__)
        lived_s = asyncio.get_running_loop().time() - began
        failures = 0 if lived_s > 60 else failures + 1
        await asyncio.sleep(backoff_s(failures, random.random()))  # noqa: S311 - spreads load, guards nothing
