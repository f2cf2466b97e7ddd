"""Clone URLs: checked before git sees them, one text for all spellings of one, and shown without credentials."""

import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from forge_runtime.git.error import UrlRefused
from forge_runtime.mask import MASK


def protocols(*, files: bool) -> tuple[str, ...]:
    """The transports that a clone URL may name: encrypted ones, and `file` where this machine's may be named."""
    return ("https", "ssh", "file") if files else ("https", "ssh")


class CloneUrl:
    """A checked clone URL: `https://host/path`, `ssh://user@host/path`, `user@host:path`, or `file:///path`.

    `canonical` is one text for all spellings of one repository: it names the cache entry. `host` includes the port
    where the URL names one.
    """

    def __init__(self, text: str, *, protocols: Sequence[str]) -> None:
        self.text = text
        parts = split_clone_url(text)
        self.protocol = parts.scheme
        self.path = parts.path
        _refuse_unsafe(text, parts, protocols)
        self.host = (parts.hostname or "") + (f":{parts.port}" if parts.port is not None else "")
        self.canonical = f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/').removesuffix('.git')}"

    def __str__(self) -> str:
        return masked(self.text)


def masked(text: str) -> str:
    """Without the user part of URLs, which may be a token."""
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


_SCP_LIKE = re.compile(r"(?P<user>[A-Za-z0-9._-]+)@(?P<host>[A-Za-z0-9.-]+):(?P<path>[^/].*)")


def split_clone_url(text: str) -> SplitResult:
    """Its parts; of ssh's short form (`user@host:path`) those of the URL that means the same. Raises UrlRefused."""
    match = _SCP_LIKE.fullmatch(text)
    try:
        parts = urlsplit(f"ssh://{match['user']}@{match['host']}/{match['path']}" if match else text)
        parts.port  # noqa: B018 - refuses one that is no port
    except ValueError:
        raise UrlRefused(f'"{_shown(text)}" is not a URL') from None
    return parts


def _shown(text: str) -> str:
    """Scheme, host and path of what may be no URL at all: nothing that somebody could have meant as a credential."""
    scheme, separator, rest = text.rpartition("://")
    if scheme and not _SCHEME.fullmatch(scheme):
        return MASK
    before, at, place = rest.rpartition("@")
    # A password may hold a "?", and a query an "@": which of them this is cannot be told.
    place = MASK if re.search(r"[?#]", before) else re.split(r"[?#]", place)[0]
    return f"{scheme}{separator}{MASK if at else ''}{at}{place}"


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_UNSAFE = re.compile(r"[\x00-\x20\x7f]")
_OPTION_PATH = re.compile(r"[^/]+:-")
"""A path without its `/` reaches the server's git as it is; behind a `/`, a name may begin with a hyphen, and does."""


def _refuse_unsafe(text: str, parts: SplitResult, protocols: Sequence[str]) -> None:
    """What git, ssh or a remote helper could take for an option or a command, and credentials: argv would show them."""
    shown = _shown(text)
    if parts.scheme not in protocols:
        raise UrlRefused(f'clone URL "{shown}": only {", ".join(protocols)} are allowed')
    if (
        (parts.scheme == "file") == bool(parts.netloc)
        or not parts.path.startswith("/")
        or parts.query
        or parts.fragment
    ):
        raise UrlRefused(f'clone URL "{shown}" does not name a host and a path')
    options = (parts.hostname or "").startswith("-") or (parts.username or "").startswith("-")
    if _UNSAFE.search(text) or _OPTION_PATH.match(text) or options:
        raise UrlRefused(f'clone URL "{shown}" holds a part that git could take for an option')
    if parts.password is not None or (parts.scheme == "https" and parts.username is not None):
        raise UrlRefused(f'clone URL "{shown}" holds credentials; give them to the worker instead')
