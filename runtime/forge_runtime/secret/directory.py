"""Secrets as files below a directory: `ci/npm-token` is the file `<root>/ci/npm-token`, as Kubernetes mounts them."""

import asyncio
import errno
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
        try:
            value = self._content(name)
        except FileNotFoundError:
            return None
        except PermissionError:
            raise SecretRefused(f"secret {name}: the worker may not read {self._root / name}") from None
        except ValueError:
            raise SecretRefused(f"secret {name!r}: no file can be called that") from None
        except OSError as error:
            why = f"secret {name}: {error.strerror}"
            raise (SecretRefused if error.errno == errno.ENAMETOOLONG else SecretStoreAway)(why) from None
        return None if value is None else text_of(value.removesuffix(b"\n"), name)

    def _content(self, name: str) -> bytes | None:
        path = Path(os.path.realpath(self._root / name))
        # Mounted secrets are links within their directory; a link out of it is not ours to follow.
        if not path.is_relative_to(os.path.realpath(self._root)):
            raise SecretRefused(f"secret {name} lies outside of {self._root}")
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(VALUE_BYTES_MAX + 2)
