"""`python -m forge_api`: the API of one machine, from the environment.

FORGE_DATA_DIR (.forge-data), FORGE_API_HOST (127.0.0.1), FORGE_API_PORT (8420), FORGE_TOKEN_FILE (api.token in the
data directory), FORGE_TOKENS_DIR (tokens in the data directory), FORGE_ENVIRONMENTS_FILE (JSON; else dev, staging,
production), FORGE_DATABASE_URL (SQLite in the data directory), FORGE_ALLOW_FILE_CLONE (1: file:// repositories),
FORGE_OBJECTS (s3://bucket or a directory; objects in the data directory), FORGE_ENGINE (local), NATS_URL,
NATS_CREDENTIALS (path of a file), FORGE_DISPATCHER_CREDENTIALS (likewise, for the dispatchers that the engine starts),
OTEL_EXPORTER_OTLP_ENDPOINT (spans go there).
"""

import logging
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from forge_api.app import create_app
from forge_api.service.platform import Ports
from forge_api.settings import ApiSettings, SettingsInvalid, read_settings
from forge_runtime.blob import BadObjectStore, Blob, open_blob
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.port import Bus
from forge_runtime.bus.provision import verify_everything
from forge_runtime.engine.local import LocalEngine
from forge_runtime.otlp import exporting
from forge_runtime.settings import BusSettings, objects_of
from forge_runtime.span import Tracer
from forge_runtime.subject import API
from forge_runtime.telemetry import configure_logging

NAME: Final = "api-0"
SHUTDOWN_S: Final = 5

_log = logging.getLogger(__name__)


def main() -> int:
    configure_logging("api")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with exporting("forge-api", NAME, os.environ) as tracer:
        try:
            settings = read_settings(os.environ)
            app = _local_app(settings, tracer)
        except SettingsInvalid as error:
            print(f"forge_api: {error}", file=sys.stderr)
            return 2
        _serve(app, settings)
    return 0


def _serve(app: FastAPI, settings: ApiSettings) -> None:
    _log.info("API starts on http://%s:%d", settings.host, settings.port)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


def _local_app(settings: ApiSettings, tracer: Tracer) -> FastAPI:
    """NATS, the local engine with its dispatchers, SQLite and a directory of objects."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    bus_settings = BusSettings(url=settings.nats_url, credentials=settings.nats_credentials, user=API, name=NAME)

    async def connect_bus() -> Bus:
        bus = await connect(bus_settings, on_closed=_end)
        try:
            await verify_everything(bus)
        except BaseException:
            await bus.close()
            raise
        return bus

    engine = LocalEngine(settings.data_dir / "engine", environment=_dispatcher_environment(settings))

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        await engine.start()
        try:
            yield
        finally:
            await engine.close()

    ports = Ports(
        connect=connect_bus,
        engine=engine,
        blob=_objects(settings),
        now=lambda: datetime.now(UTC),
        random=secrets.token_bytes,
        running=running,
        tracer=tracer,
    )
    return create_app(settings, ports)


def _objects(settings: ApiSettings) -> Blob:
    try:
        return open_blob(objects_of(os.environ, settings.data_dir))
    except BadObjectStore as error:
        raise SettingsInvalid(f"FORGE_OBJECTS: {error}") from None


def _end(reason: str) -> None:
    """Without a connection that comes back by itself there is nothing to wait for; whoever supervises starts anew."""
    _log.error("the connection to NATS is gone for good: %s", reason)
    signal.raise_signal(signal.SIGTERM)


def _dispatcher_environment(settings: ApiSettings) -> dict[str, str]:
    """Of ours only what a program needs to run; `forge-dispatcher` is the one beside our own interpreter.

    Where NATS is belongs to it: a platform that starts again may listen on another port than its manifests say.
    """
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "TMPDIR")}
    beside = str(Path(sys.executable).parent)
    kept["PATH"] = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
    kept["NATS_URL"] = settings.nats_url
    if settings.dispatcher_credentials is not None:
        kept["NATS_CREDENTIALS"] = str(settings.dispatcher_credentials)
    return kept


if __name__ == "__main__":
    sys.exit(main())
