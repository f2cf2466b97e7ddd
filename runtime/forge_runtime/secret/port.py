"""The port to where secrets are kept. A value is read where it is used, and never stored, logged or sent."""

from typing import Final, Protocol

VALUE_BYTES_MAX: Final = 64 * 1024
"""The limit of AWS Secrets Manager; one for all, so that a secret can be moved."""


class SecretRefused(Exception):
    """The store has no such secret for us, or holds what is none; trying again changes nothing. Says no value."""


class SecretStoreAway(Exception):
    """The store cannot be reached now; trying again later may help."""


class SecretStore(Protocol):
    async def read(self, name: str, region: str | None) -> str | None:
        """The value of a secret, or None if there is none of this name.

        `name` begins with the scope (`ci/npm-token`); `region` matters only where a store has regions. Raises
        SecretRefused and SecretStoreAway.
        """
        ...


def text_of(value: bytes, name: str) -> str:
    """SecretRefused where the value is no text, or too large, or cannot be handed to a program."""
    if len(value) > VALUE_BYTES_MAX:
        raise SecretRefused(f"secret {name} is larger than {VALUE_BYTES_MAX} bytes")
    if b"\0" in value:
        raise SecretRefused(f"secret {name} holds a NUL byte")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise SecretRefused(f"secret {name} is not UTF-8") from None
