"""The part of a nats-server's configuration that the platform depends on: who may connect, who may do what, durability.

    FORGE       the account with the streams; nobody is in it
    accounts    one for each user, which imports the subjects of his duties and nothing else
    SYS         for the server's own affairs, apart from the others
    jetstream   every write is synced: the platform's promises are about what survives a crash
    tls         on a network; a certificate's DNS name is the user, so the server keeps no secret of anybody

The server looks whether a request's subject is allowed, but never where its answer shall go, and whatever answers in an
account may write to all of that account: who shared one with the streams could have a stream deleted by the reply to a
pull. So the answers arrive in an account where nothing else is.

    request     a service of FORGE; the server puts a reply of its own in place of the asker's, and hands the answer on
    core NATS   a stream of the speaker's account, imported by those who hear it. Mapped: what is said on `X` is told as
                `out.X`, and heard as `X` again. An account may not import what it exports, and whoever listens to
                himself would hear the one name twice

Where a server listens, its name and its cluster are the operator's, in a file that includes this one.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

from forge_runtime.bus.assets import wanted_assets
from forge_runtime.bus.permission import User

ACCOUNT: Final = "FORGE"
SYSTEM_ACCOUNT: Final = "SYS"
SYSTEM_USER: Final = "system"

MAX_PAYLOAD: Final = "1MB"
"""The server's own default, said because results are sized by it."""

_SEVERAL_ANSWERS: Final = ', response_type: stream, response_threshold: "30s"'
"""Heartbeats, then a message or a status; a pull lasts 5 s, and that long the server knows where its answers go."""

_PULLS: Final = "$JS.API.CONSUMER.MSG.NEXT."
_OUTWARD: Final = "out."
_ACCOUNT_INFO: Final = "$JS.API.INFO"
"""Imported, though nobody may ask it: an account without it gets all of `$JS.API` from the server, and with that an
answer to each request that says that it has no JetStream."""

_STORED: Final = tuple(pattern for asset in wanted_assets() for pattern in asset.fields.get("subjects", ()))


@dataclass(frozen=True, slots=True)
class Passwords:
    """Users prove who they are by these, by user. Makes the configuration a secret, and needs loopback."""

    of: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Certificates:
    """Users prove who they are by certificates. `folder` has the server's own: tls.crt, tls.key, and ca.crt."""

    folder: Path


def server_configuration(users: Sequence[User], identity: Passwords | Certificates, store: Path) -> str:
    """`store` is where JetStream keeps its files."""
    return "\n".join(
        (
            f"max_payload: {MAX_PAYLOAD}",
            "jetstream {",
            f"  store_dir: {_quoted(store)}",
            "  sync_interval: always",
            "}",
            *(_tls(identity) if isinstance(identity, Certificates) else ()),
            "accounts {",
            f"  {ACCOUNT} {{",
            "    jetstream: enabled",
            "    exports: [",
            *(f"      {line}" for line in _exports(users)),
            "    ]",
            "  }",
            *(line for user in users for line in _account(user, users, identity)),
            f"  {SYSTEM_ACCOUNT} {{",
            # With passwords nobody gets in: on one machine there is nobody who would need to.
            *((f"    users: [ {{ user: {SYSTEM_USER} }} ]",) if isinstance(identity, Certificates) else ()),
            "  }",
            "}",
            f"system_account: {SYSTEM_ACCOUNT}",
            "",
        )
    )


def _tls(identity: Certificates) -> tuple[str, ...]:
    return (
        "tls {",
        f"  cert_file: {_quoted(identity.folder / 'tls.crt')}",
        f"  key_file: {_quoted(identity.folder / 'tls.key')}",
        f"  ca_file: {_quoted(identity.folder / 'ca.crt')}",
        "  verify_and_map: true",
        '  min_version: "1.2"',
        "}",
    )


def _exports(users: Sequence[User]) -> Iterator[str]:
    """What the account with the streams takes, each subject from those whose duties need it."""
    yield _export_of("service", _ACCOUNT_INFO, [user.name for user in users])
    for subject in sorted({each for user in users for each in user.publish if _is_taken(each)}):
        names = [user.name for user in users if subject in user.publish]
        yield _export_of("service", subject, names, _SEVERAL_ANSWERS if subject.startswith(_PULLS) else "")


def _account(user: User, users: Sequence[User], identity: Passwords | Certificates) -> Iterator[str]:
    """One user's, without JetStream: nothing is there but himself, and what his duties need of others."""
    password = () if isinstance(identity, Certificates) else (f"        password: {_quoted(identity.of[user.name])}",)
    told = {each: names for each in user.publish if (names := _hearers(each, users))}
    local = {each: _OUTWARD + each if each in told else each for each in user.publish}
    heard = [(other.name, each) for other in users for each in other.publish if user.name in _hearers(each, users)]
    yield from (
        f"  {_quoted(user.name)} {{",
        "    users: [",
        "      {",
        f"        user: {_quoted(user.name)}",
        *password,
        "        permissions: {",
        f"          publish: {{ allow: {_list(tuple(local.values()))} }}",
        f"          subscribe: {{ allow: {_list(user.subscribe)} }}",
        "        }",
        "      }",
        "    ]",
        "    mappings: {",
        *(f"      {_quoted(each)}: {_quoted(_numbered(local[each]))}" for each in told),
        "    }",
        "    exports: [",
        *(f"      {_export_of('stream', local[each], names)}" for each, names in told.items()),
        "    ]",
        "    imports: [",
        f"      {_import_of('service', ACCOUNT, _ACCOUNT_INFO, _ACCOUNT_INFO)}",
        *(f"      {_import_of('service', ACCOUNT, each, local[each])}" for each in user.publish if _is_taken(each)),
        *(f"      {_import_of('stream', name, _OUTWARD + each, each)}" for name, each in heard),
        "    ]",
        "  }",
    )


def _hearers(subject: str, users: Sequence[User]) -> list[str]:
    """Those who listen to what is published there."""
    return [user.name for user in users if any(_overlap(subject, heard) for heard in user.hears)]


def _is_taken(subject: str) -> bool:
    """Whether the account with the streams has a use for what is published there."""
    return subject.startswith("$JS.") or any(_overlap(subject, stored) for stored in _STORED)


def _export_of(kind: str, subject: str, accounts: Sequence[str], more: str = "") -> str:
    return f"{{ {kind}: {_quoted(subject)}{more}, accounts: [{', '.join(map(_quoted, accounts))}] }}"


def _import_of(kind: str, account: str, subject: str, local: str) -> str:
    """`local`: its name in the account that imports it."""
    renamed = f", to: {_quoted(local)}" if local != subject else ""
    return f"{{ {kind}: {{ account: {_quoted(account)}, subject: {_quoted(subject)} }}{renamed} }}"


def _numbered(pattern: str) -> str:
    """A mapping's other side: it names the wildcards of the first by number."""
    numbers = itertools.count(1)
    return re.sub(r"\*", lambda _: f"{{{{wildcard({next(numbers)})}}}}", pattern)


def _overlap(one: str, other: str) -> bool:
    """Whether a subject may fit both patterns."""
    for left, right in zip_longest(one.split("."), other.split(".")):
        if ">" in (left, right):
            return None not in (left, right)
        if left is None or right is None or (left != right and "*" not in (left, right)):
            return False
    return True


def _list(subjects: Sequence[str]) -> str:
    lines = ",".join(f"\n            {_quoted(each)}" for each in subjects)
    return f"[{lines}\n          ]"


def _quoted(value: str | Path) -> str:
    """In quotes, where `$` is an ordinary character and not the beginning of a variable."""
    return json.dumps(str(value), ensure_ascii=False)
