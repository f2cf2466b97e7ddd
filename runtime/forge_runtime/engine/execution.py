"""One workflow on its way to its end, with Argo's meaning and plain processes.

    main     group after group; the leaves of a group together; a group fails when all its leaves ended and one failed
    leaf     attempt after attempt: exit code 0 succeeds, else the retry strategy's expression is asked, `limit` times;
             never after a shutdown or a deadline
    exit     the exit handler runs last, whatever happened, unless the workflow was terminated; if it fails, so did all

A failure ends no running sibling (Argo does not either): dispatchers see the run's cancel flag and end themselves.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forge_runtime.engine.port import ManifestRefused, WorkflowPhase
from forge_runtime.engine.reading import Reading, items_of, output_file, substitute
from forge_runtime.engine.state import NodeState, Shutdown, StateStore, WorkflowState
from forge_runtime.process import Program, run_process
from forge_runtime.tasks import end_tasks
from forgec.manifest.argo import Template, WorkflowStep
from forgec.manifest.node import node_id

STOP_GRACE_S: Final = 15.0
"""SIGTERM to SIGKILL of a dispatcher; settling its jobs may take it 10 s."""

DEADLINE_MESSAGE: Final = "Pod was active on the node longer than the specified deadline"
"""The kubelet's words, which retry expressions look for."""

UNKNOWN_EXIT_CODE: Final = -1
"""Argo's word for an attempt that left no exit code."""

SIGNAL_BASE: Final = 128
"""A container killed by signal n reports 128 + n."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaf:
    """A node to run: its Argo name, its template, and the values of its tags."""

    node: str
    template: Template
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """How one process ended; `final` attempts are not retried."""

    phase: str
    message: str = ""
    exit_code: int | None = None
    duration_s: float = 0.0
    final: bool = False


class Execution:
    """`environment` is every dispatcher's, and wins over the manifest's variables: it knows where things are now, a
    manifest where they were when it was submitted. `capacity` is the machine's."""

    def __init__(
        self,
        state: WorkflowState,
        reading: Reading,
        store: StateStore,
        environment: Mapping[str, str],
        capacity: asyncio.Semaphore,
    ) -> None:
        self.state = state
        self.task: asyncio.Task[None] | None = None
        self._reading = reading
        self._store = store
        self._environment = environment
        self._capacity = capacity
        self._parallelism = asyncio.Semaphore(reading.workflow.spec.parallelism)
        self._halted = asyncio.Event()
        self._terminated = asyncio.Event()
        self._halt_message = ""
        if state.shutdown:
            self._shut_down(state.shutdown)

    def shut_down(self, how: Shutdown) -> None:
        """Stop or terminate; a stopped workflow may still be terminated, not the other way round."""
        if self.state.shutdown in (how, "Terminate"):
            return
        self.state.shutdown = how
        self._store.save(self.state)
        self._shut_down(how)

    async def run(self) -> None:
        state = self.state
        if not state.main.terminal:
            failure = await self._main_within_deadline()
            state.main = WorkflowPhase.FAILED if failure else WorkflowPhase.SUCCEEDED
            state.message = failure
            self._store.save(state)
        phase = state.main
        if not self._terminated.is_set():
            failure = await self._exit_handler()
            if failure:
                phase, state.message = WorkflowPhase.FAILED, state.message or f"exit handler: {failure}"
        state.phase = phase
        state.ended_at = time.time()
        self._store.save(state)

    async def _main_within_deadline(self) -> str:
        left_s = self.state.started_at + self._reading.workflow.spec.active_deadline_seconds - time.time()
        deadline = asyncio.get_running_loop().call_later(max(0.0, left_s), self._halt, "workflow exceeded its deadline")
        try:
            return await self._main()
        except ManifestRefused as refused:
            return str(refused)
        finally:
            deadline.cancel()

    async def _main(self) -> str:
        """Why the entry template failed; empty if it succeeded."""
        name = self._reading.name
        values = {"workflow.name": name}
        for index, group in enumerate(self._reading.entry.steps):
            if self._halted.is_set():
                return self._halt_message
            leaves = [leaf for step in group for leaf in self._expand(step, f"{name}[{index}]", values)]
            async with asyncio.TaskGroup() as together:
                nodes = [together.create_task(self._leaf(leaf, self._halted)) for leaf in leaves]
            failed = [node.result() for node in nodes if node.result().phase != "Succeeded"]
            if failed:
                return self._halt_message or failed[0].message
            for step in group:
                if step.with_param is None:
                    outputs = self.state.nodes[f"{name}[{index}].{step.name}"].outputs
                    values |= {f"steps.{step.name}.outputs.parameters.{key}": text for key, text in outputs.items()}
        return ""

    async def _exit_handler(self) -> str:
        """Why the exit handler failed; empty if it succeeded. Only `terminate` ends it early."""
        values = {"workflow.name": self._reading.name, "workflow.status": str(self.state.main)}
        leaf = _Leaf(node=f"{self._reading.name}.onExit", template=self._reading.exit_handler, values=values)
        node = await self._leaf(leaf, self._terminated)
        return "" if node.phase == "Succeeded" else node.message

    def _expand(self, step: WorkflowStep, parent: str, values: Mapping[str, str]) -> list[_Leaf]:
        """The leaves of a step: one, or one for each item of its list."""
        template = self._reading.templates[step.template]
        if step.with_param is None:
            return [self._bind(f"{parent}.{step.name}", step, template, values)]
        items = items_of(substitute(step.with_param, values))
        return [
            self._bind(f"{parent}.{step.name}({at}:{item})", step, template, {**values, "item": item})
            for at, item in enumerate(items)
        ]

    def _bind(self, node: str, step: WorkflowStep, template: Template, values: Mapping[str, str]) -> _Leaf:
        arguments = step.arguments.parameters if step.arguments else ()
        inputs = {f"inputs.parameters.{given.name}": substitute(given.value, values) for given in arguments}
        return _Leaf(node=node, template=template, values={"workflow.name": self._reading.name, **inputs})

    async def _leaf(self, leaf: _Leaf, halted: asyncio.Event) -> NodeState:
        """Run a node to its end, and remember it; a node that ended before a restart is not run again."""
        node = self.state.nodes.setdefault(leaf.node, NodeState())
        strategy = leaf.template.retry_strategy
        retries = int(strategy.limit) if strategy else 0
        while not node.ended:
            async with self._parallelism, self._capacity:
                attempt = await self._attempt(leaf, halted)
            node.attempts += 1
            if (
                attempt.phase == "Succeeded"
                or attempt.final
                or halted.is_set()
                or node.attempts > retries
                or not self._reading.retries[leaf.template.name](_last_retry(attempt))
            ):
                node.phase, node.message, node.exit_code = attempt.phase, attempt.message, attempt.exit_code  # type: ignore[assignment]
                node.outputs = self._outputs(leaf)
            self._store.save(self.state)
        return node

    async def _attempt(self, leaf: _Leaf, halted: asyncio.Event) -> _Attempt:
        """One process, ended by its own exit, its deadline or a halt of the workflow, whichever comes first."""
        if halted.is_set():
            return _Attempt(phase="Failed", message=self._halt_message, final=True)
        began = time.monotonic()
        process = asyncio.create_task(self._process(leaf))
        halt = asyncio.create_task(halted.wait())
        try:
            await asyncio.wait((process, halt), return_when=asyncio.FIRST_COMPLETED)
            if process.done():
                attempt = process.result()
            else:
                attempt = _Attempt(phase="Failed", message=self._halt_message, final=True)
        finally:
            await end_tasks(process, halt)
        return _Attempt(
            phase=attempt.phase,
            message=attempt.message,
            exit_code=attempt.exit_code,
            duration_s=time.monotonic() - began,
            final=attempt.final,
        )

    async def _process(self, leaf: _Leaf) -> _Attempt:
        container = leaf.template.container
        assert container is not None, "checked when the manifest was read"
        directory = self._directory(leaf)
        program = Program(
            argv=tuple(substitute(word, leaf.values) for word in (*container.command, *container.args)),
            cwd=directory,
            environment={
                **{variable.name: substitute(variable.value, leaf.values) for variable in container.env},
                **self._environment,
                "FORGE_OUTPUT_DIR": str(directory),
            },
        )
        with (directory / "main.log").open("a", encoding="utf-8") as log:

            async def write(line: str) -> None:
                log.write(line + "\n")
                log.flush()

            try:
                end = await run_process(
                    program,
                    timeout_s=leaf.template.active_deadline_seconds
                    or self._reading.workflow.spec.active_deadline_seconds,
                    output=write,
                    groups=self._store.groups_directory(),
                    grace_s=STOP_GRACE_S,
                )
            except OSError as error:
                return _Attempt(
                    phase="Error", message=f"{program.argv[0]} cannot be started: {error.strerror}", final=True
                )
        if end.exit_code is None:
            return _Attempt(phase="Failed", message=DEADLINE_MESSAGE, exit_code=UNKNOWN_EXIT_CODE)
        code = end.exit_code if end.exit_code >= 0 else SIGNAL_BASE - end.exit_code
        if code == os.EX_OK:
            return _Attempt(phase="Succeeded", exit_code=code)
        return _Attempt(phase="Failed", message=f"main: Error (exit code {code})", exit_code=code)

    def _outputs(self, leaf: _Leaf) -> dict[str, str]:
        """The output parameters: each file's text, or its default where the file is not there."""
        found = {}
        for parameter in leaf.template.outputs.parameters if leaf.template.outputs else ():
            file = self._directory(leaf) / output_file(parameter.value_from.path)
            try:
                found[parameter.name] = file.read_text(encoding="utf-8").rstrip("\n")
            except FileNotFoundError:
                found[parameter.name] = parameter.value_from.default
        return found

    def _directory(self, leaf: _Leaf) -> Path:
        return self._store.node_directory(self._reading.name, node_id(self._reading.name, leaf.node))

    def _shut_down(self, how: Shutdown) -> None:
        self._halt(f"Stopped with strategy '{how}'")
        if how == "Terminate":
            self._terminated.set()

    def _halt(self, message: str) -> None:
        self._halt_message = self._halt_message or message
        self._halted.set()


def _last_retry(attempt: _Attempt) -> dict[str, str]:
    """What a retry expression may ask, as Argo gives it: all of it text."""
    return {
        "lastRetry.exitCode": str(attempt.exit_code if attempt.exit_code is not None else UNKNOWN_EXIT_CODE),
        "lastRetry.status": attempt.phase,
        "lastRetry.duration": str(int(attempt.duration_s)),
        "lastRetry.message": attempt.message,
    }
