"""A client that waits for nobody, and notes how long it would have waited, and for what it asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import httpx2

from forge_runtime.http import Http
from forge_runtime.oci.credentials import Credential, Credentials, GivenCredentials
from forge_runtime.oci.mirrors import Mirrors
from forge_runtime.oci.reference import Reference
from forge_runtime.oci.registry import RegistryClient

PASSWORD = "a-token-of-forty-characters-for-the-tests"
CHUNK_BYTES = 1000


class Noting(httpx2.AsyncHTTPTransport):
    def __init__(self) -> None:
        super().__init__()
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return await super().handle_async_request(request)


@dataclass(frozen=True)
class Opened:
    client: RegistryClient
    host: str
    waits: list[float]
    requests: list[httpx2.Request]

    def reference(self, tag: str | None = "v1") -> Reference:
        return Reference(registry=self.host, repository="acme/shop", tag=tag)

    def count(self, method: str) -> int:
        return sum(request.method == method for request in self.requests)


@asynccontextmanager
async def opened(
    host: str,
    password: str | None = PASSWORD,
    *,
    credentials: Credentials | None = None,
    mirrors: Mirrors | None = None,
) -> AsyncIterator[Opened]:
    waits: list[float] = []
    transport = Noting()

    async def wait(delay_s: float) -> None:
        waits.append(delay_s)

    if credentials is None and password is not None:
        credentials = GivenCredentials({host: Credential(user="forge", password=password)})
    async with Http.open(transport=transport) as http:
        client = RegistryClient(replace(http, wait=wait), credentials, mirrors=mirrors, chunk_bytes=CHUNK_BYTES)
        yield Opened(client, host, waits, transport.requests)
