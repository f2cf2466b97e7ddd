#!/usr/bin/env python3
"""Stands for the build CLI: takes its flags, refuses others, reads the files and variables that it reads, and ends as
the file `fake.json` beside it says, with the texts, the manifest and the exit codes of the real one.

`test_cli.py` holds it to the real CLI where that is installed. Known to `fake.json`:

| key | effect |
|---|---|
| `version` | what `--version` tells (0.8.18) |
| `hosts` | {address: behaviour}: what is different on that daemon |
| `daemon` | "dialled": the daemon's port has to accept a connection; else nobody is asked |
| `commands` | [{`command`, `output`, `exit`, `line`}] of the target, until one does not exit with 0 |
| `failure` | {`kind`, `message`}: a failure that is no command's, as the manifest calls it |
| `artifacts` | {path: text} that the target saves; `local` names those that are also saved AS LOCAL |
| `links` | {path: target}: symbolic links among them |
| `images` | {name: id}: what SAVE IMAGE names, handed to the `engine`, a container engine's program |
| `print`, `raw` | lines; hex bytes written as they are, as a command's under RUN --raw-output |
| `flood` | lines of 100 characters |
| `hang`, `ignore_term` | seconds; SIGTERM is ignored |
| `exit` | the exit code, instead of the one that follows |
| `manifest` | "missing", "broken", or what to write instead |
| `signal` | ends itself by that signal |
"""

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
ROOT_FLAGS = {
    "config": str, "ssh-auth-sock": str, "git-username": str, "git-password": str, "git-branch": str, "verbose": bool,
    "debug": bool, "exec-stats": bool, "exec-stats-summary": str, "profiler": bool, "buildkit-host": str,
    "no-buildkit-update": bool, "version-flag-overrides": str, "env-file-path": str, "arg-file-path": str,
    "secret-file-path": str, "logstream-debug-file": str, "logstream-debug-manifest-file": str,
    "server-conn-timeout": str, "artifact": bool, "image": bool, "pull": bool, "push": bool, "ci": bool,
    "ticktock": bool, "output": bool, "no-output": bool, "no-cache": bool, "auto-skip": bool,
    "allow-privileged": bool, "max-remote-cache": bool, "save-inline-cache": bool, "use-inline-cache": bool,
    "interactive": bool, "no-fake-dep": bool, "strict": bool, "global-wait-end": bool, "git-lfs-pull-include": str,
    "auto-skip-db-path": str, "buildkit-image": str, "buildkit-container-name": str, "buildkit-volume-name": str,
    "remote-cache": str, "disable-remote-registry-proxy": bool, "no-auto-skip": bool, "github-annotations": bool,
    "installation-name": str, "a": bool, "P": bool, "V": bool, "D": bool, "i": bool,
}  # fmt: skip
BUILD_FLAGS = {"platform": str, "build-arg": str, "secret": str, "secret-file": str, "cache-from": str}
LOCAL = ("127.0.0.1", "::1", "localhost")
TRUTHS = ("1", "0", "t", "f", "true", "false", "T", "F", "TRUE", "FALSE", "True", "False")


class Usage(Exception):
    """The command line cannot be understood."""


class Ended(Exception):
    """The run is over: exit code, the manifest's kind of failure, and the message."""

    def __init__(self, code, kind=None, message="", command=None):
        super().__init__(message)
        self.code, self.kind, self.command = code, kind, command


def main():
    name = os.environ.get("FAKE_EARTHLY_NAME", "earth")
    script = json.loads((HERE / "fake.json").read_text())
    argv = sys.argv[1:]
    if argv == ["--version"]:
        print(f"{name} version v{script.get('version', '0.8.18')}  linux/amd64; Debian GNU/Linux 12 (bookworm)")
        return 0
    try:
        load_environment_file(argv)
    except OSError as error:
        print(f"Error loading dot-env file {error.filename}: no such file or directory")
        return 1
    try:
        options, rest = parse(argv, {**ROOT_FLAGS, **BUILD_FLAGS})
    except Usage as wrong:
        print(f"Incorrect Usage: {wrong}\n\nNAME:\n   {name} - The CI/CD framework that runs anywhere!\n")
        return 1
    for flag, kind in ROOT_FLAGS.items():
        value = variable(flag.upper().replace("-", "_"))
        if flag not in options and value is not None:
            if kind is bool and value not in TRUTHS:
                print(f'could not parse "{value}" as bool value from environment variable for flag {flag}')
                return 1
            options[flag] = [value]
    record(options, argv)
    host = (options.get("buildkit-host") or [""])[-1]
    script |= script.get("hosts", {}).get(host, {})
    if rest[:1] == ["ls"]:
        return list_targets(rest[1] if len(rest) > 1 else "")
    if script.get("ignore_term"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, cancelled)
    run = Run(script, options, rest, host)
    try:
        run.build()
        ended = Ended(0)
    except Ended as end:
        ended = end
    run.write_manifest(ended)
    if "signal" in script:
        os.kill(os.getpid(), script["signal"])
    return script.get("exit", ended.code)


def cancelled(number, _frame):
    print("Received signal terminated. Cleaning up before exiting...\nCanceled", flush=True)
    sys.exit(2)


def load_environment_file(argv):
    """As the real one does: the flag counts only where a parser that knows the root flags alone understands it all."""
    file, named = ".env", False
    if (told := variable("ENV_FILE")) is not None:
        file, named = told, True
    try:
        options, _ = parse(argv, ROOT_FLAGS)
    except Usage:
        options = {}
    if "env-file-path" in options:
        file, named = options["env-file-path"][-1], True
    if not named and not Path(file).exists():
        return
    for line in Path(file).read_text().splitlines():
        name, equal, value = line.partition("=")
        if equal and not line.startswith("#"):
            os.environ.setdefault(name.strip(), value.strip().strip("'\""))


def variable(suffix):
    return os.environ.get(f"EARTH_{suffix}", os.environ.get(f"EARTHLY_{suffix}"))


def parse(argv, known):
    """Flags, then everything from the first word that is none."""
    options, rest = {}, list(argv)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        name, equal, value = word.lstrip("-").partition("=")
        if name not in known:
            raise Usage(f"flag provided but not defined: -{name}")
        if known[name] is str and not equal:
            if not rest:
                raise Usage(f"flag needs an argument: --{name}")
            value = rest.pop(0)
        options.setdefault(name, []).append(value if equal or known[name] is str else "true")
    return options, rest


def record(options, argv):
    files = {}
    for name in ("config", "env-file-path", "arg-file-path", "secret-file-path"):
        for path in options.get(name, []):
            files[f"--{name}"] = Path(path).read_text()
    called = {"argv": argv, "cwd": str(Path.cwd()), "environment": dict(os.environ), "files": files}
    with (HERE / "called.jsonl").open("a") as out:
        out.write(json.dumps(called) + "\n")


def list_targets(directory):
    file = Path(directory, "Earthfile")
    if not file.exists():
        print(f"Error: unable to locate Earthfile under {directory}")
        return 1
    names = [line[:-1] for line in file.read_text().splitlines() if line.endswith(":") and not line.startswith(" ")]
    print("\n".join(f"+{name}" for name in ["base", *sorted(names)]))
    return 0


class Run:
    """One build: prints as it goes, and raises Ended unless it succeeds."""

    def __init__(self, script, options, rest, host):
        self.script, self.options, self.host = script, options, host
        self.words = [word for word in rest if not word.startswith("--")]
        self.commands = {}
        self.target = ""

    def build(self):
        on = {name for name, values in self.options.items() if values[-1] not in ("false", "0")}
        if {"ci", "interactive"} <= on:
            message = "unable to use --ci flag in combination with --interactive flag"
            self.fail(1, "INVALID_PARAM", message)
        if "image" in on and "artifact" in on:
            self.fail(1, "INVALID_PARAM", "both image and artifact modes cannot be active at the same time")
        if not self.words:
            self.fail(1, "INVALID_PARAM", "no target reference provided. Try earth +<target-name>")
        self.target = self.words[0].rpartition("/")[0] if "artifact" in on else self.words[0]
        self.say("_generic:default", " Init \N{ROCKET}\n" + "\N{EM DASH}" * 80 + "\n\n")
        for name in self.options.get("secret", []):
            key, equal, _ = name.partition("=")
            if not equal and key not in os.environ:
                self.fail(1, "OTHER", f'failed to set secret "{key}" via --secret flag without a value')
        self.connect()
        for line in self.script.get("print", []):
            print(line, flush=True)
        raw = bytes.fromhex(self.script.get("raw", ""))
        sys.stdout.buffer.write(raw)
        sys.stdout.flush()
        self.event("sha256:7d1f/raw", raw)
        for _ in range(self.script.get("flood", 0)):
            print("x" * 100)
        time.sleep(self.script.get("hang", 0))
        for number, command in enumerate(self.script.get("commands", [])):
            self.command(number, **command)
        if failure := self.script.get("failure"):
            codes = {"CONNECTION_FAILURE": 6, "BUILDKIT_CRASHED": 7, "NEEDS_PRIVILEGED": 9}
            self.fail(codes.get(failure["kind"], 1), failure["kind"], failure["message"])
        if "artifact" in on:
            self.save_artifacts(Path(self.words[1] if len(self.words) > 1 else "./"))
        if "image" in on:
            for name, image_id in self.script.get("images", {}).items():
                self.save_image(name, image_id)
        print("=" * 27 + " \N{EARTH GLOBE EUROPE-AFRICA} Earth Build  \N{WHITE HEAVY CHECK MARK} SUCCESS " + "=" * 27)

    def connect(self):
        parts = urlsplit(self.host)
        if not self.host:
            self.fail(1, "OTHER", "could not determine buildkit address - is Docker or Podman running?")
        if parts.hostname in LOCAL:
            print("           buildkitd | Is  installed and running? Are you part of any needed groups?")
            self.fail(1, "OTHER", "build new buildkitd client:  not available")
        self.say("_generic:buildkitd", f"Connecting to {self.host}...\n", "           buildkitd | ")
        if self.script.get("daemon") == "dialled":
            try:
                socket.create_connection((parts.hostname, parts.port), timeout=self.timeout_s()).close()
            except OSError as error:
                self.fail(
                    6,
                    "CONNECTION_FAILURE",
                    f"build new buildkitd client: connect provided buildkit: timeout {self.timeout_s()}s: could not "
                    f"connect to buildkit: {error}: buildkitd did not respond (in time)",
                )
        print("           buildkitd | ...Done", flush=True)

    def timeout_s(self):
        text = Path(self.options["config"][-1]).read_text() if "config" in self.options else "{}"
        return json.loads(text).get("global", {}).get("buildkit_restart_timeout_s", 60)

    def command(self, number, command, output=(), exit=0, line=1):  # noqa: A002 - the script's word
        directory = self.target.rpartition("+")[0].removeprefix("./").strip("/")
        file = f"{directory}/Earthfile" if directory not in ("", ".") else "Earthfile"
        prefix = f"{self.target:>20} | "
        print(f"{prefix}--> {command}", flush=True)
        for text in output:
            print(f"{prefix}{text}", flush=True)
        message = ""
        if exit:
            message = (
                f"ERROR {file}:{line}:3\n      The command\n          {command}\n"
                f"      did not complete successfully. Exit code {exit}"
            )
            print("\n".join(prefix + each for each in message.split("\n")), flush=True)
        place = {"file": file, "startLine": line, "startColumn": 3, "endLine": line + 1, "endColumn": 1}
        status = "RUN_STATUS_FAILURE" if exit else "RUN_STATUS_SUCCESS"
        self.commands[f"target/{number}"] = {"name": command, "status": status, "errorMessage": message} | {
            "sourceLocation": place
        }
        if exit:
            bar = "=" * 35 + " \N{CROSS MARK} FAILURE " + "=" * 35
            print(f"{bar}\n\n{prefix}Repeating the failure error...")
            print("\n".join(prefix + each for each in message.split("\n")), flush=True)
            raise Ended(1, "NONZERO_EXIT", message, f"target/{number}")

    def save_artifacts(self, folder):
        artifacts, links = self.script.get("artifacts", {}), self.script.get("links", {})
        if not artifacts and not links:
            self.fail(1, "OTHER", f"build target: cannot save artifact {self.words[0]}, since it does not exist")
        for place in [folder, *([folder / f"index-{'aZ3' * 10}xy"] if self.script.get("local") else [])]:
            for path, text in artifacts.items():
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                (place / path).write_text(text)
        for path, target in links.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(target)
        for path in artifacts:
            print(f"Artifact {self.target}/{path} output as {folder}/{path}")

    def save_image(self, name, image_id):
        """As the engine's `load` takes it."""
        document = json.dumps([{"Config": image_id.removeprefix("sha256:"), "RepoTags": [name]}]).encode()
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as tar:
            entry = tarfile.TarInfo("manifest.json")
            entry.size = len(document)
            tar.addfile(entry, io.BytesIO(document))
        subprocess.run([self.script["engine"], "load"], input=file.getvalue(), check=True)
        self.say("_generic:default", f"Image {self.target} output as {name}\n")

    def say(self, command_id, text, prefix=""):
        print(prefix + text, end="", flush=True)
        self.event(command_id, text.encode())

    def event(self, command_id, data):
        for path in self.options.get("logstream-debug-file", []):
            log = {"commandId": command_id, "timestampUnixNanos": str(time.time_ns())}
            with Path(path).open("a") as file:
                file.write(json.dumps({"deltaLog": log | {"data": base64.b64encode(data).decode()}}) + "\n")

    def fail(self, code, kind, message):
        print(f"Error: {message}\n", flush=True)
        raise Ended(code, kind, message, "_generic:default")

    def write_manifest(self, ended):
        told = self.script.get("manifest")
        if "logstream-debug-manifest-file" not in self.options or told == "missing":
            return
        failure = None
        if ended.kind is not None:
            failure = {"type": f"FAILURE_TYPE_{ended.kind}", "targetId": "", "commandId": ended.command or ""} | {
                "errorMessage": str(ended),
                "output": "",
                "helpMessage": "",
            }
        manifest = {
            "buildId": "f1dddbe6-086d-4cf4-b148-c821bf650221",
            "version": 2,
            "createdAtUnixNanos": "1796033429903567765",
            "status": "RUN_STATUS_FAILURE" if ended.code else "RUN_STATUS_SUCCESS",
            "targets": {},
            "commands": self.commands,
            "failure": failure,
            "isCi": False,
        }
        text = '{"commands": [' if told == "broken" else json.dumps(told or manifest)
        Path(self.options["logstream-debug-manifest-file"][-1]).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
