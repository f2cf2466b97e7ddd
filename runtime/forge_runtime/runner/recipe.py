"""Executing the commands of one target's recipe on this machine.

    request.scratch/targets/<hash>/tree       where the commands run: "/" of WORKDIR and COPY
                                  /artifacts  what SAVE ARTIFACT kept
                                  /local      what of it goes to later phases (AS LOCAL), by its place in the project
    request.scratch/home, tmp                 HOME and TMPDIR of every command

No image is pulled or built: FROM an image and what only describes one (ENTRYPOINT, EXPOSE, ...) are said in a line and
passed over, since the rest of the recipe means the same without them. What would change the meaning is refused, with
file and line.
"""

import json
import posixpath
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from dataclasses import replace as replace_transfer
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from forge_runtime.folder import machine_failed, open_plain, remove_folder
from forge_runtime.process import Program, run_process
from forge_runtime.runner import tree
from forge_runtime.runner.failure import cannot_be_started, command_failed, refused, short
from forge_runtime.runner.supported import IMAGE_ONLY, REFUSED, check_flags, unsupported
from forge_runtime.runner.target import BuiltTarget, Surroundings, Targets
from forge_runtime.thread import in_thread
from forgec.source import Span
from forgec.syntax import earthfile_ast as ast
from forgec.syntax.earthfile_call import parse_reference
from forgec.syntax.earthfile_word import PieceKind, parse_word

CAPTURE_BYTES_MAX: Final = 64 * 1024
"""Of the output of a `$(...)`: values, not files."""


@dataclass(slots=True, kw_only=True)
class RecipeRun:
    """One target's execution; `overrides` are the values that its ARGs were given."""

    label: str
    directory: str
    origin: tree.Origin
    surroundings: Surroundings
    targets: Targets
    imports: dict[str, str]
    overrides: Mapping[str, str]
    root: Path
    artifacts: Path
    local: Path
    workdir: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    global_args: dict[str, str] = field(default_factory=dict)
    settable: set[str] = field(default_factory=set)
    outputs: list[Path] = field(default_factory=list)

    async def run(self, recipe: ast.Recipe) -> None:
        """Raises StepFailure at the first command that fails or cannot be done here."""
        for command in recipe:
            await self._run_command(command)

    async def inherit(self, base: BuiltTarget) -> None:
        """Begin where another target ended."""
        self.environment.update(base.environment)
        self.variables.update(base.global_args)
        self.workdir = base.workdir
        await in_thread(lambda stop: tree.clone(base.tree, self.root, stop=stop))

    def result(self) -> BuiltTarget:
        return BuiltTarget(
            tree=self.root,
            workdir=self.workdir,
            environment=self.environment,
            artifacts=self.artifacts,
            global_args=self.global_args,
            outputs=tuple(dict.fromkeys(self.outputs)),
        )

    async def _run_command(self, command: ast.Command) -> None:
        match command:
            case ast.From():
                await self._from(command)
            case ast.Run():
                await self._run(command)
            case ast.Copy():
                await self._copy(command)
            case ast.Workdir():
                self.workdir = self._inside(await self._expand(command.path, command.span)).inside
                self._workdir(command.span)
            case ast.SaveArtifact():
                await self._save_artifact(command)
            case ast.Arg():
                await self._arg(command)
            case ast.Assign():
                await self._assign(command)
            case ast.Build():
                check_flags(command.flags, "BUILD")
                self.outputs += (await self._build(command.target, command.flags)).outputs
            case ast.If():
                await self._if(command)
            case ast.For():
                await self._for(command)
            case ast.Wait():
                await self.run(command.body)
            case ast.Import():
                self.imports[command.alias] = command.path
            case ast.SaveImage():
                await self._say("SAVE IMAGE is not used: no image is built")
            case ast.Other():
                await self._other(command)
            case ast.Do() | ast.FromDockerfile() | ast.Try() | ast.WithDocker():
                raise unsupported(REFUSED[type(command)], command.span)

    async def _from(self, command: ast.From) -> None:
        check_flags(command.flags, "FROM")
        self.environment.clear()
        self.workdir = "/"
        try:
            await in_thread(lambda _stop: _empty(self.root))
        except OSError as error:
            if machine_failed(error):
                raise
            raise refused(f"FROM cannot empty the target's directory: {error.strerror}", command.span) from None
        text = await self._expand(command.base.text, command.base.span)
        if parse_reference(text, command.base.span):
            await self.inherit(await self._build(command.base, command.flags))
        else:
            await self._say(f"FROM {text} is not used: commands run on this machine")

    async def _run(self, command: ast.Run) -> None:
        secrets: dict[str, str] = {}
        for flag in command.flags:
            kind = (flag.value or "").partition(",")[0]
            if flag.name == "secret":
                secrets |= self._secret(flag)
            elif flag.name == "mount" and kind in ("type=cache", "type=tmpfs"):
                await self._say(f"RUN --mount={kind} is not used: the command sees the target's own directory")
            elif flag.name not in ("push", "no-cache", "raw-output"):
                raise unsupported(f"RUN --{flag.name}", flag.span)
        if any(flag.name == "push" for flag in command.flags):
            await self._say(f"RUN --push {short(command.text)} is skipped: this step does not push")
            return
        if not command.text:
            raise refused("RUN has no command", command.span)
        await self._say(f"--> RUN {command.text}")
        exit_code = await self._execute(_argv(command.text), command.span, secrets)
        if exit_code != 0:
            raise command_failed(f"RUN {command.text}", exit_code, command.span, self.label)

    def _secret(self, flag: ast.Flag) -> Mapping[str, str]:
        """`--secret NAME` and `--secret VARIABLE=NAME`: a variable of this one command."""
        variable, equal, name = (flag.value or "").partition("=")
        name = name if equal else variable
        known = self.surroundings.secrets
        if name not in known:
            raise refused(
                f"the step has no secret {name[:80]} (it has: {', '.join(sorted(known)) or 'none'})", flag.span
            )
        return {variable: known[name]}

    async def _copy(self, command: ast.Copy) -> None:
        check_flags(command.flags, "COPY")
        names = {flag.name for flag in command.flags}
        destination = self._inside(await self._expand(command.destination, command.span))
        for operand in command.sources:
            pattern = await self._expand(operand.text, operand.span)
            origin = self.origin
            reference = parse_reference(pattern, operand.span)
            if reference is not None:
                if not reference.path:
                    raise refused(f"COPY takes files: name an artifact, as in {pattern}/file", operand.span)
                artifacts = (await self._build(operand, command.flags)).artifacts
                origin = tree.Origin(directory=artifacts, boundary=artifacts, links_checked=False)
                pattern = reference.path
            transfer = tree.Transfer(
                origin=origin,
                pattern=pattern,
                destination=destination,
                keep_directories="dir" in names,
                several=len(command.sources) > 1,
            )
            await self._transfer(transfer, operand.span, optional="if-exists" in names)

    async def _save_artifact(self, command: ast.SaveArtifact) -> None:
        check_flags(command.flags, "SAVE ARTIFACT")
        source = self._inside(await self._expand(command.source, command.span))
        path = "./" if command.destination is None else await self._expand(command.destination, command.span)
        destination = tree.Destination(root=self.artifacts, workdir="/", path=path)
        transfer = tree.Transfer(
            origin=tree.Origin(directory=self.root, boundary=self.root, links_checked=False),
            pattern=source.inside,
            destination=destination,
            keep_directories=destination.is_directory,
        )
        optional = any(flag.name == "if-exists" for flag in command.flags)
        await self._transfer(transfer, command.span, optional=optional)
        if command.local is not None:
            await self._save_locally(transfer, await self._expand(command.local, command.span), command.span, optional)

    async def _save_locally(self, saved: tree.Transfer, path: str, span: Span, optional: bool) -> None:
        """For later phases, which get it in their checkout; this step's own stays as it is."""
        if self.surroundings.outputs_of is None:
            await self._say(f"AS LOCAL {path} is not used: a step leaves the checkout as it is")
            return
        if self.surroundings.outputs_of != self.directory:
            await self._say(f"AS LOCAL {path} is not used: only a step's own project gets files for later phases")
            return
        inside = posixpath.normpath(path)
        if path.startswith("/") or inside.partition("/")[0] == "..":
            raise refused(f"AS LOCAL {short(path)}: later phases get files within the project's directory", span)
        destination = tree.Destination(root=self.local, workdir="/", path=path)
        kept = replace_transfer(saved, destination=destination, keep_directories=destination.is_directory)
        await self._transfer(kept, span, optional=optional)
        self.outputs.append(self.local)

    async def _transfer(self, transfer: tree.Transfer, span: Span, *, optional: bool) -> None:
        try:
            count = await in_thread(lambda stop: tree.copy(transfer, stop))
        except tree.PathRefused as reason:
            raise refused(f"cannot copy {transfer.pattern}: {reason}", span) from None
        except OSError as error:
            if machine_failed(error):
                raise
            raise refused(f"cannot copy {transfer.pattern}: {error.strerror}", span) from None
        if count == 0 and not optional:
            raise refused(f"{transfer.pattern} is not there to copy", span)

    async def _arg(self, command: ast.Arg) -> None:
        if command.name in self.overrides:
            value = self.overrides[command.name]
        elif command.default is not None:
            value = await self._expand(command.default, command.span)
        elif command.required:
            raise refused(f"ARG {command.name} is required: pass --{command.name}=value", command.span)
        else:
            value = _BUILT_IN.get(command.name, "")
        self.variables[command.name] = value
        if command.is_global:
            self.global_args[command.name] = value

    async def _assign(self, command: ast.Assign) -> None:
        value = await self._expand(command.value, command.span)
        if command.keyword == "ENV":
            self.environment[command.name] = value
            return
        if command.keyword == "LET":
            self.settable.add(command.name)
        elif command.name not in self.settable:
            raise refused(f"SET {command.name}: declare it with LET first", command.span)
        self.variables[command.name] = value

    async def _build(self, operand: ast.Operand, flags: tuple[ast.Flag, ...]) -> BuiltTarget:
        """A target that a command names. One of the same Earthfile is given what this one was given as well."""
        text = await self._expand(operand.text, operand.span)
        reference = parse_reference(text, operand.span)
        if reference is None:
            raise refused(f"{text} is no reference to a target", operand.span)
        passes = any(flag.name == "pass-args" and flag.value != "false" for flag in flags)
        args = {} if reference.project and not passes else dict(self.overrides)
        for arg in operand.args:
            if arg.value is None:
                raise refused(f"--{arg.name} needs a value: --{arg.name}=value", arg.span)
            args[arg.name] = await self._expand(arg.value, arg.span)
        project = self.imports.get(reference.project, reference.project)
        return await self.targets.build(replace(reference, project=project), args, self.directory)

    async def _if(self, command: ast.If) -> None:
        for branch in command.branches:
            check_flags(branch.flags, "IF")
            await self._say(f"--> IF {branch.condition}")
            if await self._execute(("sh", "-c", branch.condition), branch.span) == 0:
                await self.run(branch.body)
                return
        await self.run(command.otherwise)

    async def _for(self, command: ast.For) -> None:
        check_flags(command.flags, "FOR")
        flag = next((flag.value for flag in command.flags if flag.name == "sep"), None)
        separator = await self._expand(flag or "", command.span)
        text = await self._capture(f"set -f; printf '%s\\n' {command.items}", command.span)
        found = re.split(f"[{re.escape(separator)}]+", text) if separator else text.split()
        for item in found:
            if item:
                self.variables[command.name] = item
                await self.run(command.body)

    async def _other(self, command: ast.Other) -> None:
        if command.keyword in IMAGE_ONLY:
            await self._say(f"{command.keyword} is not used: no image is built")
        elif command.keyword == "CACHE":
            await self._say(f"CACHE {command.text} is not used: each step starts with empty directories")
        elif command.keyword != "PROJECT":
            raise unsupported(command.keyword, command.span)

    async def _expand(self, word: str, span: Span) -> str:
        try:
            pieces = parse_word(word)
        except ValueError as error:
            raise refused(f"{short(word)}: {error}", span) from None
        values = self._visible()
        texts = []
        for piece in pieces:
            match piece.kind:
                case PieceKind.LITERAL:
                    texts.append(piece.text)
                case PieceKind.VARIABLE:
                    texts.append(values.get(piece.text, ""))
                case PieceKind.SHELL:
                    texts.append(await self._capture(piece.text, span))
        return "".join(texts)

    def _visible(self) -> Mapping[str, str]:
        """What a command finds in its environment; ENV wins over ARG and LET, as in an image build."""
        return {**self.surroundings.environment, **self.variables, **self.environment}

    async def _capture(self, script: str, span: Span) -> str:
        """What a script prints, without its last line breaks; its errors go to the log."""
        file = self.surroundings.scratch / "captured"
        exit_code = await self._execute(("sh", "-c", f"(\n{script}\n) > {shlex.quote(str(file))}"), span)
        if exit_code != 0:
            raise command_failed(f"$({script})", exit_code, span, self.label)
        try:
            with open_plain(file) as captured:
                data = captured.read(CAPTURE_BYTES_MAX + 1)
        except OSError as error:
            if machine_failed(error):
                raise
            raise refused(f"$({short(script)}): what it prints cannot be read: {error.strerror}", span) from None
        file.unlink()
        if len(data) > CAPTURE_BYTES_MAX:
            raise refused(f"$({short(script)}) prints more than {CAPTURE_BYTES_MAX} bytes", span)
        return data.decode("utf-8", errors="replace").rstrip("\n")

    async def _execute(
        self, argv: tuple[str, ...], span: Span, secrets: Mapping[str, str] = MappingProxyType({})
    ) -> int:
        """Run a program in the working directory; its exit code, 128 + n for signal n as a shell says it."""
        self.surroundings.progress.at = span
        cwd = self._workdir(span)
        shared = self.surroundings
        environment = {**self._visible(), **secrets}
        program = Program(argv=argv, cwd=cwd, environment=environment, mask=shared.mask, marked=True, legible=True)
        try:
            end = await run_process(program, timeout_s=shared.timeout_s, output=self._say, groups=shared.groups)
        except ValueError as error:
            raise refused(f"{short(' '.join(argv))} cannot be started: {error}", span) from None
        except OSError as error:
            if not cannot_be_started(error):
                raise
            raise refused(f"{short(' '.join(argv))} cannot be started: {error}", span) from None
        if end.exit_code is None:
            raise TimeoutError
        return end.exit_code if end.exit_code >= 0 else 128 - end.exit_code

    def _workdir(self, span: Span) -> Path:
        try:
            return tree.make_directory(tree.Destination(root=self.root, workdir=self.workdir, path="."))
        except tree.PathRefused as reason:
            raise refused(f"WORKDIR {self.workdir}: {reason}", span) from None
        except OSError as error:
            if machine_failed(error):
                raise
            raise refused(f"WORKDIR {self.workdir}: {error.strerror}", span) from None

    async def _say(self, line: str) -> None:
        for part in line.split("\n"):
            await self.surroundings.output(f"{self.label} | {part}")

    def _inside(self, path: str) -> tree.Destination:
        return tree.Destination(root=self.root, workdir=self.workdir, path=path)


def _argv(text: str) -> tuple[str, ...]:
    """A JSON list of strings is run as it is, anything else by a shell."""
    with suppress(ValueError, RecursionError):
        argv = json.loads(text)
        if isinstance(argv, list) and argv and all(isinstance(arg, str) for arg in argv):
            return tuple(argv)
    return ("sh", "-c", text)


def _empty(directory: Path) -> None:
    remove_folder(directory)
    directory.mkdir()


_BUILT_IN: Final = {"EARTHLY_CI": "true", "EARTH_CI": "true"}
"""Of the ARGs that a build tool sets itself; the others describe images and platforms and stay empty."""
