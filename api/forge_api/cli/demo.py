"""`make demo`: the sample monorepo through the whole platform, on this machine, in a data directory of its own.

The sample is copied and committed to a new repository, a platform is started for it, the push of its commit is played
and watched, and everything is stopped again; logs, releases and deployments stay in `.forge-data/demo` until the next
demo.
"""

import argparse
import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from forge_api.cli.client import ApiClient, ApiRefused, ApiUnreachable
from forge_api.cli.home import DIRECTORY_NAME, Home, InUse, shown
from forge_api.cli.runs import RunOptions, run_checkout
from forge_api.cli.up import STOP_S_MAX
from forge_runtime.folder import remove_folder

PROJECT_ROOT: Final = Path(__file__).resolve().parents[3]
SAMPLE: Final = PROJECT_ROOT / "examples" / "monorepo"
READY_S_MAX: Final = 90.0

MARKER: Final = ".demo"
"""In a directory that a demo made: the next one removes everything there."""

FAULT_FILE: Final = Path("libs/pricing/src/pricing/money.py")
FAULT: Final = ("ROUND_HALF_EVEN", "ROUND_DOWN")
"""What --fail changes in the copy: prices are cut off instead of rounded, and a unit test of the library says so."""


class Refused(Exception):
    """The directory is not the demo's to empty; the message says why and what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--fail", action="store_true", help="break one test of the sample first")
    parser.add_argument("--data-dir", type=Path, default=PROJECT_ROOT / DIRECTORY_NAME / "demo", metavar="DIR")
    arguments = parser.parse_args(argv)
    if not SAMPLE.is_dir():
        print(f"demo: the sample is not there ({SAMPLE}); the demo runs from a checkout", file=sys.stderr)
        return 2
    home = Home(arguments.data_dir.resolve())
    try:
        with emptied(home):
            return _play(home, broken=arguments.fail)
    except (Refused, InUse, OSError) as reason:
        print(f"demo: {reason}", file=sys.stderr)
        return 75


@contextmanager
def emptied(home: Home) -> Iterator[None]:
    """The directory, empty, and no other demo's until the block is left. Refused where its content is not a demo's."""
    marker = home.directory / MARKER
    home.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not marker.exists() and any(home.directory.iterdir()):
        raise Refused(
            f"{shown(home.directory)} holds what no demo made (there is no file {MARKER} in it): "
            "empty it yourself, or name another directory with --data-dir"
        )
    with marker.open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"another demo is running in {shown(home.directory)}") from None
        with home.locked() as lock:
            for path in home.directory.iterdir():
                if path in (marker, lock):
                    continue  # a lock that is removed holds nobody off
                if path.is_dir() and not path.is_symlink():
                    remove_folder(path)
                else:
                    path.unlink()
        yield


def _play(home: Home, *, broken: bool) -> int:
    sample = home.directory / "monorepo"
    _copy_sample(sample, broken=broken)
    platform = subprocess.Popen(
        [sys.executable, "-m", "forge_api.cli.main", "up", "--runner", "host", "--data-dir", str(home.directory)],
        start_new_session=True,  # Ctrl-C is for the demo, which then stops the platform in order
    )
    try:
        endpoint = _wait_until_ready(home, platform)
        if endpoint is None:
            print(f"demo: the platform did not start; see {shown(home.logs)}", file=sys.stderr)
            return 75
        code = run_checkout(ApiClient(endpoint, home.api_token), home, sample, RunOptions(trigger="push"))
        if code == 0:
            print(how_to_look(home), flush=True)
        return code
    except (ApiUnreachable, ApiRefused) as failure:
        print(f"demo: {failure}; see {shown(home.logs)}", file=sys.stderr)
        return 75
    except KeyboardInterrupt:
        return 130
    finally:
        _stop(platform)


def how_to_look(home: Home) -> str:
    data = shlex.quote(shown(home.directory))
    return f"""
to look at them:
  what is deployed    git --git-dir {data}/gitops.git show main
  what was released   {data}/registry: each manifest by its digest, its one layer a tar of the resources
  all of it, served   {home.command("up")}
  and then            {home.command("releases", "local/monorepo/quote")}
                      skopeo inspect --raw --tls-verify=false --authfile {data}/registry.json docker://<image>"""


def _copy_sample(target: Path, *, broken: bool) -> None:
    shutil.copytree(SAMPLE, target)
    if broken:
        file = target / FAULT_FILE
        before = file.read_text()
        after = before.replace(*FAULT)
        assert after != before, f"{FAULT_FILE} has no {FAULT[0]} to break"
        file.write_text(after)
        print(f"broke {FAULT_FILE} in the copy: {FAULT[0]} -> {FAULT[1]}", flush=True)
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(target),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "demo",
        "GIT_AUTHOR_EMAIL": "demo@localhost",
        "GIT_COMMITTER_NAME": "demo",
        "GIT_COMMITTER_EMAIL": "demo@localhost",
    }
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "The sample monorepo"]):
        subprocess.run(["git", *arguments], cwd=target, env=environment, check=True, timeout=60)


def _wait_until_ready(home: Home, platform: "subprocess.Popen[bytes]") -> str | None:
    deadline = time.monotonic() + READY_S_MAX
    while time.monotonic() < deadline and platform.poll() is None:
        endpoint = home.endpoint()
        if endpoint is not None:
            return endpoint.api
        time.sleep(0.05)
    return None


def _stop(platform: "subprocess.Popen[bytes]") -> None:
    platform.terminate()
    try:
        platform.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        platform.kill()
        platform.wait()


if __name__ == "__main__":
    sys.exit(main())
