"""Python distributions as an index takes them: a wheel or a source distribution, and the core metadata inside it.

    tidy-1.0-py3-none-any.whl     tidy-1.0.dist-info/METADATA
    tidy-1.0.tar.gz               tidy-1.0/PKG-INFO

What the file is called, and what its metadata says, have to agree: an index goes by both.
"""

import email.parser
import email.policy
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forge_runtime.produce.archive import format_of, read_archive

METADATA_BYTES_MAX: Final = 1024 * 1024

_WHEEL: Final = re.compile(
    r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>[^-]+)(-(?P<build>\d[^-]*))?-(?P<python>[^-]+)-[^-]+-[^-]+\.whl"
)
_SOURCE: Final = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)-(?P<version>[^-]+)\.(tar\.gz|zip)")

_SEVERAL: Final = {
    "Classifier": "classifiers",
    "Project-URL": "project_urls",
    "Requires-Dist": "requires_dist",
    "Requires-External": "requires_external",
    "Provides-Dist": "provides_dist",
    "Provides-Extra": "provides_extra",
    "Obsoletes-Dist": "obsoletes_dist",
    "Platform": "platform",
    "Supported-Platform": "supported_platform",
    "License-File": "license_file",
    "Dynamic": "dynamic",
}
"""Fields of the core metadata that may be there more than once, and what an upload calls them."""

_ONCE: Final = (
    "Metadata-Version",
    "Name",
    "Version",
    "Summary",
    "Description-Content-Type",
    "Keywords",
    "Home-page",
    "Download-URL",
    "Author",
    "Author-email",
    "Maintainer",
    "Maintainer-email",
    "License",
    "License-Expression",
    "Requires-Python",
)


class NoDistribution(Exception):
    """The file is none, or does not say of itself what an index has to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """`fields` are the metadata as an upload's form has them."""

    path: Path
    name: str
    version: str
    filetype: str
    pyversion: str
    fields: tuple[tuple[str, str], ...]


def is_distribution(name: str) -> bool:
    """By what a file is called."""
    return _WHEEL.fullmatch(name) is not None or _SOURCE.fullmatch(name) is not None


def read_distribution(path: Path, stop: threading.Event) -> Distribution:
    """Raises NoDistribution, ProducerFailed where the file is damaged, and Stopped."""
    wheel, source = _WHEEL.fullmatch(path.name), _SOURCE.fullmatch(path.name)
    if wheel is not None:
        described, named = _metadata(path, r"[^/]+\.dist-info/METADATA", stop), wheel
    elif source is not None:
        described, named = _metadata(path, r"[^/]+/PKG-INFO", stop), source
    else:
        raise NoDistribution(f"{path.name} is called neither as a wheel nor as a source distribution")
    try:
        message = email.parser.Parser(policy=email.policy.compat32).parsestr(described.decode("utf-8"))
    except UnicodeDecodeError:
        raise NoDistribution(f"the metadata of {path.name} is not UTF-8") from None
    fields = tuple(_fields(message))
    values = dict(fields)
    name, version = values.get("name", ""), values.get("version", "")
    if normalised(name) != normalised(named["name"]) or not version:
        raise NoDistribution(f'{path.name} says of itself that it is "{name}" {version}')
    return Distribution(
        path=path,
        name=name,
        version=version,
        filetype="bdist_wheel" if wheel else "sdist",
        pyversion=wheel["python"] if wheel else "source",
        fields=fields,
    )


def normalised(name: str) -> str:
    """As an index knows a project (packaging.python.org, names and normalization)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _metadata(path: Path, place: str, stop: threading.Event) -> bytes:
    if format_of(path) not in ("zip", "tar.gz"):
        raise NoDistribution(f"{path.name} is not packed as its name says")
    for member in read_archive(path, stop):
        if re.fullmatch(place, member.name):
            if member.size > METADATA_BYTES_MAX:
                raise NoDistribution(f"the metadata of {path.name} is larger than {METADATA_BYTES_MAX} bytes")
            return b"".join(member.chunks())
    raise NoDistribution(f"{path.name} holds no metadata ({place.replace('[^/]+', '*')})")


def _fields(message: "email.message.Message") -> Iterator[tuple[str, str]]:
    for header in _ONCE:
        if value := str(message.get(header, "")):
            yield header.lower().replace("-", "_"), value
    for header, name in _SEVERAL.items():
        for each in message.get_all(header) or ():
            yield name, str(each)
    body = message.get_payload()
    description = body if isinstance(body, str) and body.strip() else str(message.get("Description", ""))
    if description:
        yield "description", description
