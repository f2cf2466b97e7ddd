"""Secrets as files below a directory: `ci/npm-token` is the file `<root>/ci/npm-token`, as Kubernetes mounts them."""

import asyncio
import os
from pathlib import Path

from forge_runtime.secret.port import VALUE_BYTES_MAX, SecretRefused, SecretStoreAway, text_of


class DirectorySecrets:
    """One line break at the end of a file is not the secret's: editors and `echo` write it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def read(self, name: str, region: str | None) -> str | None:  # noqa: ARG002  # there are no regions
        return await asyncio.to_thread(self._read, name)

    def _read(self, name: str) -> str | None:
        path = Path(os.path.realpath(self._root / name))
        # Mounted secrets are links within their directory; a link out of it is not ours to follow.
        if not path.is_relative_to(os.path.realpath(self._root)):
            raise SecretRefused(f"secret {name} lies outside of {self._root}")
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file:
                value = file.read(VALUE_BYTES_MAX + 2)
        except FileNotFoundError:
            return None
        except PermissionError:
            raise SecretRefused(f"secret {name}: the worker may not read {self._root / name}") from None
        except OSError as error:
            raise SecretStoreAway(f"secret {name}: {error.strerror}") from None
        return text_of(value.removesuffix(b"\n"), name)
