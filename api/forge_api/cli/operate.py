"""The commands of whoever operates the bus: `nats-config`, `provision`, `dead-letters`, their options, how they end.

Each imports what it needs itself, so that `forge --help` is there at once.
"""

import argparse
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from forge_api.cli.exit import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_OK, EXIT_UNREACHABLE, EXIT_USAGE, complain

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

LETTERS_SHOWN: Final = 50
CERTIFICATES_DEFAULT: Final = Path("/etc/nats/tls")
STORE_DEFAULT: Final = Path("/data")


def add_bus_commands(commands: "_Commands", shared: argparse.ArgumentParser) -> None:
    provision = commands.add_parser(
        "provision", parents=[shared], help="make the bus's streams, consumers and buckets what this version needs"
    )
    provision.add_argument("--dry-run", action="store_true", help="only show what would change (exit code 1 if any)")
    provision.add_argument("--force", action="store_true", help="also make changes that lose messages")
    provision.add_argument(
        "--replicas", type=int, choices=(1, 3, 5), help="copies of each stream in a cluster (default: as they are)"
    )
    provision.set_defaults(command=_provision)

    config = commands.add_parser(
        "nats-config", help="print who may do what, for a nats-server's configuration to include"
    )
    config.add_argument(
        "--workers",
        type=_pools,
        action="append",
        metavar="POOLS",
        help="pools of one kind of worker, such as discovery,tasks; may be repeated (default: a kind for each pool)",
    )
    config.add_argument(
        "--certificates",
        type=Path,
        default=CERTIFICATES_DEFAULT,
        metavar="DIR",
        help=f"the server's own tls.crt, tls.key and ca.crt (default {CERTIFICATES_DEFAULT})",
    )
    config.add_argument(
        "--store", type=Path, default=STORE_DEFAULT, metavar="DIR", help=f"JetStream's files (default {STORE_DEFAULT})"
    )
    config.set_defaults(command=_nats_config)

    letters = commands.add_parser("dead-letters", help="jobs that the infrastructure gave up")
    leaves = letters.add_subparsers(required=True, metavar="COMMAND")
    ls = leaves.add_parser("ls", parents=[shared], help="list them, oldest first")
    ls.add_argument("--limit", type=_count, default=LETTERS_SHOWN, metavar="N", help=f"default {LETTERS_SHOWN}")
    ls.add_argument("--after", type=_number, default=0, metavar="NUMBER", help="go on after this letter")
    ls.set_defaults(command=_list_letters)
    show = leaves.add_parser("show", parents=[shared], help="all that is known of one")
    show.add_argument("letter", type=_letter, metavar="LETTER", help="its number, or its job's id")
    show.set_defaults(command=_show_letter)
    for leaf in (ls, show):
        leaf.add_argument("--format", choices=("text", "json"), default="text")
    requeue = leaves.add_parser(
        "requeue", parents=[shared], help="give their jobs all starts again, in runs that go on"
    )
    requeue.add_argument("letters", nargs="+", type=_letter, metavar="LETTER")
    requeue.set_defaults(command=_requeue_letters)
    drop = leaves.add_parser("drop", parents=[shared], help="remove them")
    drop.add_argument("letters", nargs="*", type=_letter, metavar="LETTER")
    drop.add_argument("--older-than", type=_age, metavar="AGE", help='those buried longer ago, for example "7d"')
    drop.set_defaults(command=_drop_letters)


def _nats_config(arguments: argparse.Namespace) -> int:
    from forge_runtime.bus.permission import users
    from forge_runtime.bus.server_config import Certificates, server_configuration
    from forge_runtime.subject import QUEUES

    workers = arguments.workers or [(queue.pool,) for queue in QUEUES]
    print(server_configuration(users(workers), Certificates(arguments.certificates), arguments.store), end="")
    return EXIT_OK


def _provision(arguments: argparse.Namespace) -> int:
    from forge_api.cli.provision import provision

    return _with_bus(
        arguments,
        "provisioner",
        lambda bus: provision(bus, replicas=arguments.replicas, dry_run=arguments.dry_run, force=arguments.force),
    )


def _list_letters(arguments: argparse.Namespace) -> int:
    from forge_api.cli.dead_letters import list_letters

    return _with_bus(
        arguments,
        "operator",
        lambda bus: list_letters(bus, after=arguments.after, limit=arguments.limit, as_json=arguments.format == "json"),
    )


def _show_letter(arguments: argparse.Namespace) -> int:
    from forge_api.cli.dead_letters import NoSuchLetter, show_letter

    try:
        return _with_bus(
            arguments,
            "operator",
            lambda bus: show_letter(bus, arguments.letter, as_json=arguments.format == "json"),
        )
    except NoSuchLetter as failure:
        return complain(str(failure), EXIT_FAILED)


def _requeue_letters(arguments: argparse.Namespace) -> int:
    from forge_api.cli.dead_letters import requeue_letters

    return _with_bus(arguments, "operator", lambda bus: requeue_letters(bus, arguments.letters))


def _drop_letters(arguments: argparse.Namespace) -> int:
    from forge_api.cli.dead_letters import drop_letters, drop_older

    if bool(arguments.letters) == (arguments.older_than is not None):
        return complain("dead-letters drop: name the letters, or an age with --older-than", EXIT_USAGE)
    if arguments.letters:
        return _with_bus(arguments, "operator", lambda bus: drop_letters(bus, arguments.letters))
    return _with_bus(arguments, "operator", lambda bus: drop_older(bus, arguments.older_than))


def _with_bus(arguments: argparse.Namespace, user: str, action: Callable[..., Awaitable[int]]) -> int:
    from forge_api.cli.bus import find_bus, with_bus
    from forge_api.cli.home import NoPlatform
    from forge_runtime.bus.port import BusUnavailable, NotAllowed
    from forge_runtime.settings import BadSettings

    try:
        return with_bus(find_bus(arguments.data_dir, user), action)
    except NotAllowed as refusal:
        return complain(str(refusal), EXIT_CONFIGURATION)
    except (NoPlatform, BusUnavailable) as failure:
        return complain(str(failure), EXIT_UNREACHABLE)
    except BadSettings as failure:
        return complain(str(failure), EXIT_CONFIGURATION)


def _pools(text: str) -> tuple[str, ...]:
    from forge_runtime.subject import NoSuchPool, queues_of

    try:
        return tuple(queue.pool for queue in queues_of(text.split(",")))
    except NoSuchPool as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _letter(text: str) -> str:
    from forge_api.cli.dead_letters import BadReference, check_reference

    try:
        return check_reference(text)
    except BadReference as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _age(text: str) -> float:
    """Seconds; days as well as what is a duration elsewhere."""
    from forgec.units import parse_duration

    days = text.removesuffix("d")
    try:
        return int(days) * 86400.0 if days != text and days.isdecimal() else parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    from forge_api.cli.dead_letters import LIST_MAX

    number = _number(text)
    if not 1 <= number <= LIST_MAX:
        raise argparse.ArgumentTypeError(f"a number from 1 to {LIST_MAX}")
    return number


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise argparse.ArgumentTypeError("a whole number, 0 or more")
    return int(text)
