"""Command line: python3 quote.pyz [--port N] [--version]."""

from __future__ import annotations

import argparse
import json
from importlib import resources

from quote.server import make_server
from quote.service import QuoteService


def main() -> None:
    """Serve until interrupted."""
    package = resources.files("quote")
    version_file = package.joinpath("version.txt")  # written when the bundle is built
    version = version_file.read_text().strip() if version_file.is_file() else "dev"

    parser = argparse.ArgumentParser(prog="quote", description="Tells a basket's price over HTTP.")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    parser.add_argument("--version", action="version", version=f"quote {version}")
    arguments = parser.parse_args()

    catalogue = json.loads(package.joinpath("catalogue.json").read_text(encoding="utf-8"))
    with make_server(QuoteService(catalogue, version), port=arguments.port) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
