"""The part of a nats-server's configuration that the platform depends on: who may connect, who may do what, durability.

    accounts    FORGE, with JetStream and our users; SYS, for the server's own affairs, apart from it
    jetstream   every write is synced: the platform's promises are about what survives a crash
    tls         on a network; a certificate's DNS name is the user, so the server keeps no secret of anybody

Where a server listens, its name and its cluster are the operator's, in a file that includes this one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forge_runtime.bus.permission import User

ACCOUNT: Final = "FORGE"
SYSTEM_ACCOUNT: Final = "SYS"
SYSTEM_USER: Final = "system"

MAX_PAYLOAD: Final = "1MB"
"""The server's own default, said because results are sized by it."""


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
            "    users: [",
            *(line for user in users for line in _user(user, identity)),
            "    ]",
            "  }",
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


def _user(user: User, identity: Passwords | Certificates) -> tuple[str, ...]:
    password = () if isinstance(identity, Certificates) else (f"        password: {_quoted(identity.of[user.name])}",)
    return (
        "      {",
        f"        user: {_quoted(user.name)}",
        *password,
        "        permissions: {",
        f"          publish: {{ allow: {_list(user.publish)} }}",
        f"          subscribe: {{ allow: {_list(user.subscribe)} }}",
        "        }",
        "      }",
    )


def _list(subjects: Sequence[str]) -> str:
    lines = ",".join(f"\n            {_quoted(each)}" for each in subjects)
    return f"[{lines}\n          ]"


def _quoted(value: str | Path) -> str:
    """In quotes, where `$` is an ordinary character and not the beginning of a variable."""
    return json.dumps(str(value), ensure_ascii=False)
