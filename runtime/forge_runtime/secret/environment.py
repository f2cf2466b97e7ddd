"""Secrets in the worker's environment: `ci/npm-token` is `FORGE_SECRET_CI_NPM_TOKEN`.

Only variables of this prefix are secrets: a repository names what it wants, and must not come by anything else that a
worker's environment holds.
"""

import re
from collections.abc import Mapping
from typing import Final

from forge_runtime.secret.port import text_of

PREFIX: Final = "FORGE_SECRET_"


class EnvironmentSecrets:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def read(self, name: str, region: str | None) -> str | None:  # noqa: ARG002  # there are no regions
        value = self._environ.get(variable_of(name))
        return None if value is None else text_of(value.encode(errors="surrogateescape"), name)


def variable_of(name: str) -> str:
    """Names that differ only in case and punctuation share a variable."""
    return PREFIX + re.sub(r"[^A-Z0-9]", "_", name.upper())
