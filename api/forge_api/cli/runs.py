"""`forge run`, `watch`, `logs` and `cancel`: what each asks of the API and shows."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from forge_api.cli.checkout import Trigger, read_checkout
from forge_api.cli.client import ApiClient
from forge_api.cli.follow import follow
from forge_api.cli.home import Home, shown
from forge_api.cli.view import RunView, clean, duration, failure_report, release_report

_EXIT_CODES = {"succeeded": 0, "failed": 1, "cancelled": 76}


class NoSuchRun(Exception):
    """The name given fits no run, or several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """`tag` is needed only where several are at HEAD. `detach`: print the run's id, and do not watch."""

    trigger: Trigger = "manual"
    tag: str | None = None
    detach: bool = False


def run_checkout(client: ApiClient, home: Home, directory: Path, options: RunOptions) -> int:
    """Register the checkout, start a run of its HEAD, and watch it."""
    checkout = read_checkout(directory)
    body = checkout.run_request(options.trigger, options.tag)
    if checkout.uncommitted:
        what = f"{checkout.uncommitted} uncommitted path{'s' if checkout.uncommitted > 1 else ''}"
        print(f"note: the run builds commit {checkout.commit_sha[:10]}; {what} of {checkout.root} will not be in it")
    client.register(checkout.repository, checkout.clone_url)
    run_id: str = client.create_run(body)["id"]
    if options.detach:
        print(run_id)
        return 0
    print(f"run {run_id}", flush=True)
    return _watch(client, home, run_id)


def watch_run(client: ApiClient, home: Home, name: str) -> int:
    return _watch(client, home, _find(client, name)["id"])


def show_logs(client: ApiClient, name: str, step_name: str | None) -> int:
    """Print the logs of a run's steps, in the order of its phases, each under a heading."""
    run = client.run(_find(client, name)["id"])
    printed = 0
    for phase in sorted(run["phases"], key=lambda phase: (phase["group_number"], phase["name"])):
        for task in phase["tasks"]:
            for step in task["steps"]:
                address = f"{task['project_name']}/{step['name']}"
                if step_name not in (None, address):
                    continue
                text = client.log(step["id"])
                if text is not None:
                    print(f"==> {phase['name']} {address} ({step['status']})")
                    sys.stdout.write(printable(text))
                    printed += 1
    if not printed:
        what = f"step {step_name}" if step_name else "any step"
        print(f"no log of {what} in run {run['id']} ({run['status']}) yet", file=sys.stderr)
        return 1
    return 0


def cancel_run(client: ApiClient, name: str) -> int:
    run_id = _find(client, name)["id"]
    client.cancel(run_id)
    print(f"cancelled run {run_id}; its work stops within seconds")
    return 0


def printable(text: str) -> str:
    """A log as a terminal may show it: control characters other than tab, line feed and colours are replaced."""
    return _CONTROL.sub("�", text)


_CONTROL = re.compile(r"(?!\x1b\[[0-9;]*m)[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def _watch(client: ApiClient, home: Home, run_id: str) -> int:
    run = follow(client, run_id, Console(highlight=False))
    print("\n".join(summary(run, home)), flush=True)
    return _EXIT_CODES.get(run.status, 1)


def summary(run: RunView, home: Home) -> list[str]:
    """The end of a run in a few lines: failure, releases, steps, time, and where the logs are."""
    lines = failure_report(run) if run.status == "failed" else []
    counts: dict[str, int] = {}
    for step in run.steps():
        counts[step.status] = counts.get(step.status, 0) + 1
    steps = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return [
        *lines,
        *release_report(run),
        f"{run.status} in {duration(run.elapsed_s)}: {steps}",
        f"logs: {shown(home.objects / 'pipeline-runs' / run.id / 'logs')}",
        f"      (while the platform runs also: {home.command('logs', run.id[:13])})",
    ]


def _find(client: ApiClient, name: str) -> dict[str, Any]:
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name):
        return client.run(name)
    runs = client.runs(limit="100")
    if name == "latest":
        if not runs:
            raise NoSuchRun("there is no run yet; `forge run` starts one")
        return runs[0]
    found = [run for run in runs if run["id"].startswith(name)]
    if len(found) != 1:
        raise NoSuchRun(f'{"no" if not found else "more than one"} run begins with "{clean(name)}"')
    return found[0]
