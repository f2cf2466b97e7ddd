"""Types of arguments, for argparse."""

import argparse
import re
from typing import Final

STREAM: Final = "-"
"""Names standard input or standard output where a file is asked for."""


def path(text: str) -> str:
    """An empty path would be the working directory, and is most often a variable that is not set."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return text


def file(text: str) -> str:
    """One that is written besides what goes to standard output."""
    if text == STREAM:
        raise argparse.ArgumentTypeError("standard output is the workflow's; name a file")
    return path(text)


def branch(text: str) -> str:
    return _name(text, "branch", "refs/heads/")


def tag(text: str) -> str:
    return _name(text, "tag", "refs/tags/")


def full_ref(text: str) -> str:
    if not re.match(r"refs/.*[^/]\Z", utf8(text), re.DOTALL):
        raise argparse.ArgumentTypeError(f'"{text}" is no full ref, such as refs/heads/main')
    return text


def utf8(text: str) -> str:
    """What comes to stand in a document; other arguments may be any bytes, as names of files are."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8") from None
    return text


def _name(text: str, what: str, prefix: str) -> str:
    """As people call it: of a full ref no rule would match."""
    if not utf8(text):
        raise argparse.ArgumentTypeError(f"the name of the {what} is empty")
    if text.startswith("refs/"):
        name = text.removeprefix(prefix)
        called = f'; the {what} is called "{name}"' if name != text else f", and not of a {what}"
        raise argparse.ArgumentTypeError(f'"{text}" is a full ref{called}')
    return text


def run_id(text: str) -> str:
    from forgec import ids

    if not ids.is_run_id(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a UUID in lower case")
    return text


def shard_size(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 999999")
    return int(text)


def add_shards(parser: argparse.ArgumentParser) -> None:
    """How many tasks, or steps, a dispatcher carries."""
    parser.add_argument("--shard-size", type=shard_size, metavar="N", help="tasks that one dispatcher carries")
    parser.add_argument(
        "--granularity",
        choices=("shard", "step"),
        default="shard",
        help="a dispatcher for each shard of a phase's tasks, or for each step (default: shard)",
    )


def check_shards(arguments: argparse.Namespace) -> None:
    if arguments.granularity == "step" and arguments.shard_size is not None:
        arguments.usage.error("--shard-size goes with --granularity shard")


def argo_target(text: str) -> str:
    from forgec.manifest.target import VERSIONS

    if text not in VERSIONS:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(VERSIONS)}")
    return text
