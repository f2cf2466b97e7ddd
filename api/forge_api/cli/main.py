"""`forge`: the platform on this machine, and runs on it.

Exit codes: 0 the run succeeded, 1 it failed, 2 wrong usage, 75 API or NATS not reachable, 76 the run was cancelled,
78 a setting or the bus's configuration is wrong. `provision` and `dead_letters` say what 0 and 1 mean there.
Each command imports what it needs itself, so that `forge --help` is there at once.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from forge_api.cli.exit import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    complain,
)
from forge_api.cli.operate import add_bus_commands


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except ModuleNotFoundError as missing:
        if os.environ.get("FORGE_TRACEBACK"):
            raise
        return complain(f'{missing.name} is not installed; `pip install "catalyst-forge[local]"` brings it', EXIT_USAGE)


def _up(arguments: argparse.Namespace) -> int:
    import asyncio

    from forge_api.cli.home import find_home
    from forge_api.cli.up import StartFailed, UpOptions, up

    home = find_home(arguments.data_dir, Path.cwd())
    options = UpOptions(
        workers=arguments.workers, slots=arguments.slots, runner=arguments.runner, metrics_port=arguments.metrics_port
    )
    try:
        asyncio.run(up(home, options, lambda line: print(line, flush=True)))
    except StartFailed as failure:
        return complain(str(failure), EXIT_UNREACHABLE)
    return EXIT_OK


def _run(arguments: argparse.Namespace) -> int:
    from forge_api.cli.checkout import NotACheckout
    from forge_api.cli.runs import RunOptions, run_checkout

    options = RunOptions(trigger=arguments.trigger, tag=arguments.tag, detach=arguments.detach)
    try:
        return _with_api(arguments, lambda client, home: run_checkout(client, home, arguments.directory, options))
    except NotACheckout as failure:
        return complain(str(failure), EXIT_USAGE)


def _watch(arguments: argparse.Namespace) -> int:
    from forge_api.cli.runs import watch_run

    return _with_api(arguments, lambda client, home: watch_run(client, home, arguments.run))


def _logs(arguments: argparse.Namespace) -> int:
    from forge_api.cli.runs import show_logs

    return _with_api(arguments, lambda client, _home: show_logs(client, arguments.run, arguments.step))


def _cancel(arguments: argparse.Namespace) -> int:
    from forge_api.cli.runs import cancel_run

    return _with_api(arguments, lambda client, _home: cancel_run(client, arguments.run))


def _releases(arguments: argparse.Namespace) -> int:
    from forge_api.cli.releases import list_releases

    return _with_api(arguments, lambda client, _home: list_releases(client, arguments.project))


def _release_show(arguments: argparse.Namespace) -> int:
    from forge_api.cli.releases import show_release

    return _with_api(arguments, lambda client, _home: show_release(client, arguments.release))


def _deploy(arguments: argparse.Namespace) -> int:
    from forge_api.cli.releases import deploy

    def action(client: Any, _home: Any) -> int:
        return deploy(
            client, arguments.release, arguments.environment, approval=arguments.approval, wait=not arguments.detach
        )

    return _with_api(arguments, action)


def _approve(arguments: argparse.Namespace) -> int:
    from forge_api.cli.releases import approve

    return _with_api(
        arguments, lambda client, _home: approve(client, arguments.release, arguments.environment, arguments.message)
    )


def _with_api(arguments: argparse.Namespace, action: Callable[..., int]) -> int:
    from forge_api.cli.client import ApiClient, ApiRefused, ApiUnreachable
    from forge_api.cli.home import NoPlatform, find_home, running
    from forge_api.cli.releases import BadReference
    from forge_api.cli.runs import NoSuchRun

    home = find_home(arguments.data_dir, Path.cwd())
    token_file = Path(os.environ.get("FORGE_TOKEN_FILE") or home.api_token)
    try:
        return action(ApiClient(running(home).api, token_file), home)
    except (NoPlatform, ApiUnreachable) as failure:
        return complain(str(failure), EXIT_UNREACHABLE)
    except (NoSuchRun, BadReference) as failure:
        return complain(str(failure), EXIT_USAGE)
    except ApiRefused as refusal:
        return complain(f"the API refused: {refusal} ({refusal.code})", EXIT_FAILED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="forge", description="Catalyst Forge on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--data-dir", metavar="DIR", help="the platform's data directory (default: the nearest .forge-data upwards)"
    )

    up = commands.add_parser("up", parents=[shared], help="run the platform until Ctrl-C")
    up.add_argument("--workers", type=_positive, default=2, metavar="N", help="worker processes (default 2)")
    up.add_argument(
        "--slots",
        type=_positive,
        default=max(2, (os.cpu_count() or 2) // 2),
        metavar="N",
        help="jobs at a time in each",
    )
    up.add_argument("--runner", choices=("auto", "earthly", "host"), default="auto", help="what runs Earthfile targets")
    up.add_argument(
        "--metrics-port",
        type=_port,
        metavar="PORT",
        help="serve metrics and health of the workers from this port on, a port each (default: not at all)",
    )
    up.set_defaults(command=_up)

    run = commands.add_parser("run", parents=[shared], help="run the commit that is checked out, and watch it")
    run.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR", help="default: this directory")
    run.add_argument(
        "--trigger",
        choices=("manual", "push", "tag"),
        default="manual",
        help="the event to play: the push of this branch or of a tag at HEAD may release something (default: manual)",
    )
    run.add_argument("--tag", metavar="TAG", help="with --trigger tag: which one, if several are at HEAD")
    run.add_argument("--detach", action="store_true", help="print the run's id and do not wait")
    run.set_defaults(command=_run)

    for name, command, text in (
        ("watch", _watch, "watch a run until it ends"),
        ("logs", _logs, "print the logs of a run's steps"),
        ("cancel", _cancel, "cancel a run"),
    ):
        sub = commands.add_parser(name, parents=[shared], help=text)
        sub.add_argument("run", nargs="?", default="latest", metavar="RUN", help="a run's id or the beginning of it")
        if name == "logs":
            sub.add_argument("--step", metavar="PROJECT/STEP", help="only this step")
        sub.set_defaults(command=command)

    _add_release_commands(commands, shared)
    add_bus_commands(commands, shared)
    return parser


def _add_release_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", shared: argparse.ArgumentParser
) -> None:
    releases = commands.add_parser("releases", parents=[shared], help="list the releases of a project")
    releases.add_argument("project", metavar="OWNER/REPOSITORY/PROJECT")
    releases.set_defaults(command=_releases)

    named = argparse.ArgumentParser(add_help=False)
    named.add_argument(
        "release",
        metavar="OWNER/REPOSITORY/PROJECT/REFERENCE",
        help="by number, tag, another alias, or seven digits of the commit",
    )
    release = commands.add_parser("release", help="show a release: `forge release show`")
    show = release.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "show", parents=[named, shared], help="what it is, consists of and came from"
    )
    show.set_defaults(command=_release_show)

    deploy = commands.add_parser(
        "deploy", parents=[named, shared], help="deploy a release, and wait until it is active"
    )
    deploy.add_argument("environment", metavar="ENVIRONMENT")
    deploy.add_argument("--approval", metavar="ID", help="which approval, if not the newest that counts")
    deploy.add_argument("--detach", action="store_true", help="do not wait")
    deploy.set_defaults(command=_deploy)

    approve = commands.add_parser("approve", parents=[named, shared], help="approve a release for an environment")
    approve.add_argument("environment", metavar="ENVIRONMENT")
    approve.add_argument("-m", "--message", required=True, metavar="TEXT", help="why: kept with the approval")
    approve.set_defaults(command=_approve)


def _port(text: str) -> int:
    number = int(text)
    if not 1024 <= number <= 65000:
        raise argparse.ArgumentTypeError("a port from 1024 to 65000")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError("a number from 1 to 64")
    return number


if __name__ == "__main__":
    sys.exit(main())
