"""`python -m forge_api.registry --directory D --port P --token-file F`: the registry of this machine, on 127.0.0.1.

The user is `forge`, the password the token in the file, which only its owner may read. Ends on SIGTERM and SIGINT.
"""

import argparse
import logging
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvicorn

from forge_api.registry.app import create_registry
from forge_runtime.telemetry import configure_logging

HOST: Final = "127.0.0.1"
TOKEN_CHARS_MIN: Final = 32
SHUTDOWN_S: Final = 2

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m forge_api.registry", description="The registry of this machine.")
    parser.add_argument("--directory", type=Path, required=True, help="where images are kept")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument(
        "--token-file", type=Path, required=True, help=f"a token of at least {TOKEN_CHARS_MIN} characters"
    )
    given = parser.parse_args(arguments)
    configure_logging("registry")
    try:
        token = _token(given.token_file)
        given.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        app = create_registry(given.directory, token)
    except (OSError, ValueError) as error:
        print(f"forge_api.registry: {error}", file=sys.stderr)
        return 2
    _log.info("registry starts on http://%s:%d", HOST, given.port)
    uvicorn.run(
        app,
        host=HOST,
        port=given.port,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    return 0


def _token(path: Path) -> str:
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"{path} is open to other users: chmod 600 it")
    token = path.read_text(encoding="ascii").strip()
    if len(token) < TOKEN_CHARS_MIN or not token.isprintable():
        raise ValueError(f"{path} holds no token of at least {TOKEN_CHARS_MIN} characters in one line")
    return token


if __name__ == "__main__":
    sys.exit(main())
