"""A client, and servers that publishers speak to."""

from collections.abc import AsyncIterator

import pytest_asyncio
from tests.runtime.publish.things import impatient_http

from forge_runtime.http import Http


@pytest_asyncio.fixture
async def http() -> AsyncIterator[Http]:
    async with impatient_http() as opened:
        yield opened
