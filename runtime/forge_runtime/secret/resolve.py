"""From the references that a step or publisher has to the values that its program is given.

{provider: "aws", secretName: "npm", name: "NPM_TOKEN"}            -> ci/npm          -> NPM_TOKEN
{provider: "aws", secretName: "db", maps: {USER: "user", PW: ...}} -> ci/db, as JSON  -> USER, PW
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import ValidationError, convert

from forge_runtime.secret.port import SecretRefused, SecretStore
from forgec.discovery.model import Secret
from forgec.discovery.rules import names_secret

STEP_SCOPE: Final = "ci"
PUBLISHER_SCOPE: Final = "publishers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The stores that this worker has, by the name of their provider."""

    stores: Mapping[str, SecretStore]

    async def bound(self, references: Iterable[Mapping[str, Any]], scope: str) -> dict[str, str]:
        """The values by the names that the build knows them by; an optional one that is not there is left out.

        Raises SecretRefused, which names the reference, and SecretStoreAway.
        """
        values: dict[str, str] = {}
        for reference in references:
            secret = _decoded(reference)
            value = await self._value(secret, scope)
            if value is None:
                continue
            names: Mapping[str, str | None] = secret.maps or {secret.name or "": secret.key}
            for name, key in names.items():
                values[name] = value if key is None else _field(value, key, name_of(secret, scope))
        return values

    async def _value(self, secret: Secret, scope: str) -> str | None:
        name = name_of(secret, scope)
        store = self.stores.get(secret.provider)
        if store is None:
            known = ", ".join(sorted(self.stores)) or "none"
            raise SecretRefused(f'this worker has no secrets of the provider "{secret.provider}" (it has: {known})')
        value = await store.read(name, secret.region)
        if value is None and not secret.optional:
            raise SecretRefused(f'there is no secret {name} at the provider "{secret.provider}"')
        return value


def name_of(secret: Secret, scope: str) -> str:
    """The name below its scope, which the reference may have written as well; nobody leaves the scope."""
    reference = (secret.secret_name or secret.path or "").removeprefix(f"{scope}/")
    if not names_secret(reference):
        raise SecretRefused(f'{reference[:80]!r} is not the name of a secret below "{scope}/"')
    return f"{scope}/{reference}"


def _decoded(reference: Mapping[str, Any]) -> Secret:
    try:
        return convert(reference, Secret)
    except ValidationError as error:
        raise SecretRefused(f"not a reference to a secret: {error}") from None


def _field(value: str, key: str, name: str) -> str:
    """One value of a secret that is a JSON object. What the secret holds is never told."""
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        raise SecretRefused(f'secret {name} is not JSON, so it has no key "{key}"') from None
    if not isinstance(fields, dict) or key not in fields:
        raise SecretRefused(f'secret {name} has no key "{key}"')
    found = fields[key]
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise SecretRefused(f'key "{key}" of secret {name} is no text')
    return str(found)
