"""The step runner "host": executes an Earthfile's target on this machine, without containers and without Earthly.

For one's own machine and for trusted repositories: commands run with the rights of the worker. They get a minimal
environment and empty directories, but nothing keeps a command from reading what its user may read.

A target is executed once in a step for each set of args; targets that it names (FROM, COPY, BUILD) come first, one
after the other. Every target begins with the file's base recipe, the commands before the first header.
"""

import asyncio
import hashlib
import os
import posixpath
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forge_runtime.folder import machine_failed, open_plain
from forge_runtime.job import JobState
from forge_runtime.link import followed
from forge_runtime.runner import tree
from forge_runtime.runner.argument import parse_step_arguments
from forge_runtime.runner.failure import StepFailure, config_failure, refused, timed_out
from forge_runtime.runner.port import LineSink, StepOutcome, StepRequest
from forge_runtime.runner.recipe import RecipeRun
from forge_runtime.runner.target import BuiltTarget, Progress, Surroundings
from forge_runtime.thread import in_thread
from forgec.diagnostic import ForgeError
from forgec.nearest import did_you_mean
from forgec.source import Source, Span, whole_file
from forgec.syntax import earthfile_ast as ast
from forgec.syntax.earthfile import parse_earthfile
from forgec.syntax.earthfile_call import declared_args, parse_reference

DEPTH_MAX: Final = 50
"""Targets that wait for each other; with args that change, a target can call itself without being a cycle."""

EARTHFILE_BYTES_MAX: Final = 1024 * 1024
"""What may be read at all; the parser's own limit is 256 Ki characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRunner:
    """`groups`: where process groups are noted for a worker that was killed (see `process.kill_stale_groups`)."""

    groups: Path | None = None
    name: str = "host"
    keeps_outputs: bool = True

    def serving(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def run(self, request: StepRequest, output: LineSink) -> StepOutcome:
        progress = Progress()
        try:
            async with asyncio.timeout(request.timeout_s):
                await _run_step(request, output, self.groups, progress)
        except StepFailure as failure:
            await output(failure.error.message)
            return StepOutcome(status=JobState.FAILED, exit_code=failure.exit_code, error=failure.error)
        except TimeoutError:
            error = timed_out(request.target, request.project_path, request.timeout_s, progress.at)
            await output(error.message)
            return StepOutcome(status=JobState.FAILED, error=error)
        return StepOutcome(status=JobState.SUCCEEDED, exit_code=0)


async def _run_step(request: StepRequest, output: LineSink, groups: Path | None, progress: Progress) -> None:
    arguments = parse_step_arguments(request.args)
    reference = parse_reference(request.target, whole_file(request.target))
    if reference is None or reference.project or reference.path:
        raise config_failure(f'{request.target[:80]!r} is not a target: write "+name"')
    if request.save_image is not None:
        raise config_failure(
            f"{request.target} is wanted as an image, but commands run directly on this machine, where no image is "
            "built: use a worker with the earthly runner"
        )
    surroundings = Surroundings(
        environment=_base_environment(request),
        output=output,
        scratch=request.scratch,
        timeout_s=request.timeout_s,
        groups=groups,
        progress=progress,
        secrets=request.secrets,
        mask=request.mask,
        outputs_of=posixpath.normpath(request.project_path) if request.outputs_to is not None else None,
    )
    project = posixpath.normpath(request.project_path)
    build = _StepBuild(workspace=request.workspace, first=project, surroundings=surroundings)
    built = await build.build_first(reference.name, arguments.build_args)
    if request.save_to is not None:
        await _save(built.artifacts, request.save_to)
    if request.outputs_to is not None:
        for outputs in built.outputs:
            await _save(outputs, request.outputs_to)


async def _save(saved: Path, folder: Path) -> None:
    """Copy what a target saved; a link that leads out of it is refused, since others will follow it."""
    try:
        await in_thread(lambda stop: tree.clone_closed(saved, folder, stop=stop))
    except tree.PathRefused as reason:
        raise config_failure(f"what the target saves cannot be kept: {reason}") from None
    except OSError as error:
        if machine_failed(error):
            raise
        raise config_failure(f"what the target saves cannot be kept: {error.strerror}") from None


def _base_environment(request: StepRequest) -> Mapping[str, str]:
    """Not the worker's environment: that holds credentials."""
    home, temporary = request.scratch / "home", request.scratch / "tmp"
    for path in (home, temporary):
        path.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "CI": "true",
        **request.environment,
    }


@dataclass(slots=True, kw_only=True)
class _StepBuild:
    """The targets of one step; implements `Targets` for the recipes."""

    workspace: Path
    first: str
    surroundings: Surroundings
    files: dict[str, ast.Earthfile] = field(default_factory=dict)
    built: dict[str, BuiltTarget] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)
    """Targets that are being executed, outermost first: key to label."""

    async def build_first(self, name: str, args: Mapping[str, str]) -> BuiltTarget:
        """The step's own target. Of args that it does not declare discovery has seen that a target it calls does."""
        directory = self.first
        at = whole_file(_earthfile_path(directory))
        earthfile = self._earthfile(directory, at)
        return await self._once(directory, _target(earthfile, name, at), args, at)

    async def build(self, reference: ast.Reference, args: Mapping[str, str], directory: str) -> BuiltTarget:
        directory = _directory_of(reference, directory)
        earthfile = self._earthfile(directory, reference.span)
        return await self._once(directory, _target(earthfile, reference.name, reference.span), args, reference.span)

    async def _once(self, directory: str, target: ast.Target, args: Mapping[str, str], at: Span) -> BuiltTarget:
        label = self._label(directory, target.name)
        key = "\0".join([directory, target.name, *(f"{name}={value}" for name, value in sorted(args.items()))])
        if key in self.built:
            return self.built[key]
        if key in self.running:
            chain = " -> ".join([*self.running.values(), label])
            raise refused(f"targets need each other: {chain}", at)
        if len(self.running) >= DEPTH_MAX:
            raise refused(f"more than {DEPTH_MAX} targets wait for each other", at)
        self.running[key] = label
        self.built[key] = await self._execute(directory, target, args, key)
        del self.running[key]
        return self.built[key]

    def _label(self, directory: str, name: str) -> str:
        return f"+{name}" if directory == self.first else f"{directory}+{name}"

    async def _execute(self, directory: str, target: ast.Target, args: Mapping[str, str], key: str) -> BuiltTarget:
        earthfile = self.files[directory]
        run = self._recipe_run(directory, args, self.running[key], key)
        if target.name != BASE:
            base_target = ast.Target(name=BASE, docs="", recipe=earthfile.base, span=target.span)
            of_base = declared_args(earthfile.base)
            base_args = {name: value for name, value in args.items() if name in of_base}
            base = await self._once(directory, base_target, base_args, target.span)
            await run.inherit(base)
        await run.run(target.recipe)
        return run.result()

    def _recipe_run(self, directory: str, args: Mapping[str, str], label: str, key: str) -> RecipeRun:
        area = self.surroundings.scratch / "targets" / hashlib.sha256(key.encode()).hexdigest()[:16]
        (area / "tree").mkdir(parents=True)
        (area / "artifacts").mkdir()
        project = self.workspace / directory
        hidden = {project / name for name in ("Earthfile", ".earthlyignore", ".earthignore")}
        return RecipeRun(
            label=label,
            directory=directory,
            origin=tree.Origin(
                directory=project, boundary=self.workspace, hidden=frozenset({*hidden, self.workspace / ".git"})
            ),
            surroundings=self.surroundings,
            targets=self,
            imports=dict(self.files[directory].imports),
            overrides=args,
            root=area / "tree",
            artifacts=area / "artifacts",
            local=area / "local",
        )

    def _earthfile(self, directory: str, at: Span) -> ast.Earthfile:
        if directory not in self.files:
            name = _earthfile_path(directory)
            real = followed(self.workspace / name, os.path.realpath(self.workspace))
            if real is None:
                raise refused(f"{name} lies outside of the repository", at)
            try:
                with open_plain(Path(real)) as file:
                    data = file.read(EARTHFILE_BYTES_MAX + 1)
            except OSError as error:
                if machine_failed(error):
                    raise
                raise refused(f"{name} cannot be read: {error.strerror}", at) from None
            self.files[directory] = _parse(name, data)
        return self.files[directory]


def _parse(name: str, data: bytes) -> ast.Earthfile:
    if len(data) > EARTHFILE_BYTES_MAX:
        raise refused(f"the Earthfile is larger than {EARTHFILE_BYTES_MAX} bytes", whole_file(name))
    try:
        return parse_earthfile(Source(name, data.decode("utf-8")))
    except UnicodeDecodeError:
        raise refused("the Earthfile is not UTF-8", whole_file(name)) from None
    except ForgeError as error:
        first = error.diagnostics[0]
        raise refused(first.message, first.span or whole_file(name)) from None


def _target(earthfile: ast.Earthfile, name: str, at: Span) -> ast.Target:
    if name == BASE:
        return ast.Target(name=BASE, docs="", recipe=earthfile.base, span=whole_file(earthfile.source.name))
    if name not in earthfile.targets:
        close = did_you_mean(f"+{name}", (f"+{target}" for target in earthfile.targets), quoted=False)
        hint = f" ({close})" if close else ""
        raise refused(f"{earthfile.source.name} has no target +{name[:80]}{hint}", at)
    return earthfile.targets[name]


def _directory_of(reference: ast.Reference, directory: str) -> str:
    """The directory, relative to the workspace, of the Earthfile that a reference names."""
    project, at = reference.project, reference.span
    if not project:
        return directory
    if "*" in project or project.partition("/")[0] not in (".", ".."):
        raise refused(
            f"{reference.target} is not supported when commands run directly on this machine: "
            "only targets of this repository, by relative path",
            at,
        )
    path = posixpath.normpath(posixpath.join(directory, project))
    if path == ".." or path.startswith("../"):
        raise refused(f"{reference.target} lies outside of the repository", at)
    return path


def _earthfile_path(directory: str) -> str:
    return posixpath.normpath(posixpath.join(directory, "Earthfile"))


BASE: Final = "base"
"""The language's own name for the commands before the first header."""
