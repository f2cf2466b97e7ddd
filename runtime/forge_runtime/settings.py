"""Environment -> frozen settings, read once at the start of a process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class BadSettings(ValueError):
    """A setting is missing or cannot be read; the message names the variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSettings:
    """Where the bus is and who we are there.

    `url` may list several servers, separated by commas. `credentials` is a file, never a value: a `.creds` file, or
    a token. `name` is `<service>-<instance>` ("worker-ci-0"); its first word names the service's private inbox.
    """

    url: str = field(repr=False)
    credentials: Path | None = None
    name: str = "forge"


def read_bus_settings(environ: Mapping[str, str]) -> BusSettings:
    """From NATS_URL, NATS_CREDENTIALS (path of a file; optional) and NATS_CLIENT_NAME (optional)."""
    url = environ.get("NATS_URL", "").strip()
    if not url:
        raise BadSettings("NATS_URL is not set: it names the bus, for example nats://127.0.0.1:4222")
    credentials = environ.get("NATS_CREDENTIALS", "").strip()
    return BusSettings(
        url=url,
        credentials=Path(credentials) if credentials else None,
        name=environ.get("NATS_CLIENT_NAME", "").strip() or "forge",
    )
