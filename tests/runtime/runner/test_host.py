"""The host runner: real Earthfiles, real processes, real files."""

import asyncio
import os
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from forge_runtime.job import JobState
from forge_runtime.mask import Mask
from forge_runtime.runner.host import HostRunner
from forge_runtime.runner.port import StepOutcome, StepRequest


@dataclass
class Step:
    """A workspace and what came out of running targets in it."""

    root: Path
    lines: list[str] = field(default_factory=list)
    runs: int = 0
    saves: bool = False
    image: bool = False

    def write(self, path: str, text: str) -> None:
        file = self.root / "workspace" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def run(self, target: str, *args: str, project: str = ".", timeout_s: float = 30) -> StepOutcome:
        return asyncio.run(self.start(target, *args, project=project, timeout_s=timeout_s))

    async def start(self, target: str, *args: str, project: str = ".", timeout_s: float = 30) -> StepOutcome:
        self.lines.clear()
        return await HostRunner().run(self.request(target, *args, project=project, timeout_s=timeout_s), self._take)

    def request(self, target: str, *args: str, project: str = ".", timeout_s: float = 30) -> StepRequest:
        self.runs += 1
        scratch = self.root / f"scratch-{self.runs}"
        scratch.mkdir()
        return StepRequest(
            workspace=self.root / "workspace",
            project_path=project,
            target=target,
            args=args,
            scratch=scratch,
            timeout_s=timeout_s,
            environment={"FORGE_RUN_ID": "run-1"},
            secrets={"TOKEN": "n0t-t0ld"},
            mask=Mask(["n0t-t0ld"]),
            save_to=self.saved if self.saves else None,
            save_image=self.root / "image.tar" if self.image else None,
        )

    async def _take(self, line: str) -> None:
        self.lines.append(line)

    @property
    def saved(self) -> Path:
        return self.root / "saved"

    @property
    def printed(self) -> list[str]:
        """What commands printed, without the target's name and without the echo of commands."""
        texts = [line.partition(" | ")[2] for line in self.lines]
        return [text for text in texts if text and not text.startswith("-->") and " is not used" not in text]


@pytest.fixture
def step(tmp_path: Path) -> Step:
    (tmp_path / "workspace").mkdir()
    return Step(tmp_path)


def test_commands_run_in_order_in_the_working_directory(step: Step) -> None:
    step.write(
        "Earthfile", "VERSION 0.8\nFROM alpine:3\nWORKDIR /app\ntest:\n  RUN echo a > f\n  RUN cat f && basename $PWD\n"
    )

    outcome = step.run("+test")

    assert (outcome.status, outcome.exit_code, outcome.error) == (JobState.SUCCEEDED, 0, None)
    assert step.printed == ["a", "app"]
    assert "+base | FROM alpine:3 is not used: commands run on this machine" in step.lines
    assert "+test | --> RUN echo a > f" in step.lines


def test_a_failing_command_ends_the_step_with_code_place_and_command(step: Step) -> None:
    step.write("libs/x/Earthfile", "VERSION 0.8\n\ntest:\n  RUN echo before\n  RUN exit 3\n  RUN echo after\n")

    outcome = step.run("+test", project="libs/x")

    assert (outcome.status, outcome.exit_code) == (JobState.FAILED, 3)
    error = outcome.error
    assert error
    assert (error.code, error.error_class, error.retryable) == ("STEP_FAILED", "user", False)
    assert error.location
    assert (error.location.file, error.location.line) == ("libs/x/Earthfile", 5)
    assert error.context == {"command": "RUN exit 3", "target": "+test"}
    assert step.lines[-1] == "libs/x/Earthfile:5:3: RUN exit 3 exited with 3"
    assert "after" not in step.printed


def test_a_command_killed_by_a_signal_has_the_shells_exit_code(step: Step) -> None:
    step.write("Earthfile", "test:\n  RUN kill -9 $$\n")

    outcome = step.run("+test")

    assert outcome.exit_code == 137


def test_the_workers_environment_does_not_reach_commands(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_TOKEN", "hush")
    step.write("Earthfile", "test:\n  RUN env; test -w $HOME && test -w $TMPDIR\n")

    outcome = step.run("+test")

    assert outcome.status is JobState.SUCCEEDED
    assert "FORGE_RUN_ID=run-1" in step.printed
    assert {"CI=true", "LANG=C.UTF-8"} <= set(step.printed)
    assert not [line for line in step.lines if "hush" in line]


def test_from_a_target_begins_where_that_target_ended(step: Step) -> None:
    step.write(
        "Earthfile",
        "deps:\n  WORKDIR /src\n  ENV MODE=fast\n  RUN echo built > lib; echo ran\n"
        "test:\n  FROM +deps\n  RUN cat lib; echo $MODE\nboth:\n  BUILD +test\n  BUILD +deps\n",
    )

    outcome = step.run("+both")

    assert outcome.status is JobState.SUCCEEDED
    assert step.printed == ["ran", "built", "fast"], "+deps runs once"


def test_trees_of_targets_do_not_touch_each_other(step: Step) -> None:
    step.write(
        "Earthfile",
        "a:\n  RUN touch from-a\nb:\n  FROM +a\n  RUN touch from-b\nc:\n  BUILD +b\n  FROM +a\n  RUN ls\n",
    )

    step.run("+c")

    assert step.printed == ["from-a"]


def test_args_have_defaults_overrides_and_shell_defaults(step: Step) -> None:
    step.write(
        "Earthfile",
        "VERSION 0.8\nARG --global region=eu\ntest:\n  ARG who=world\n  ARG n=$(echo $((6 * 7)))\n"
        '  RUN echo "$who $n $region"\nother:\n  BUILD +test --who="two words"\n',
    )

    step.run("+test")
    defaults = step.printed
    step.run("+test", "--who=you", "--region=us")
    overridden = step.printed
    step.run("+other")

    assert defaults == ["world 42 eu"]
    assert overridden == ["you 42 us"]
    assert step.printed == ["two words 42 eu"]


def test_args_of_the_base_recipe_can_be_set_but_only_global_ones_reach_targets(step: Step) -> None:
    step.write("Earthfile", "ARG dir=a\nARG --global n=1\nWORKDIR /$dir\ntest:\n  RUN basename $PWD; echo [$dir] $n\n")

    step.run("+test", "--dir=b", "--n=2")

    assert step.printed == ["b", "[] 2"]


def test_an_arg_reaches_the_targets_of_the_same_earthfile_and_others_only_with_pass_args(step: Step) -> None:
    step.write(
        "Earthfile",
        "deep:\n  ARG who=nobody\n  RUN echo deep $who\n"
        "test:\n  BUILD +deep\n  BUILD ./other+far\n  BUILD --pass-args ./other+far\n  BUILD +deep --who=her\n",
    )
    step.write("other/Earthfile", "far:\n  ARG who=nobody\n  RUN echo far $who\n")

    step.run("+test", "--who=you")

    assert step.printed == ["deep you", "far nobody", "far you", "deep her"]


def test_a_required_arg_without_value_is_a_config_error(step: Step) -> None:
    step.write("Earthfile", "test:\n  ARG --required who\n")

    outcome = step.run("+test")

    assert outcome.error
    assert outcome.error.message == "Earthfile:2:3: ARG who is required: pass --who=value"


def test_let_and_set_change_a_variable_and_set_alone_is_refused(step: Step) -> None:
    step.write("Earthfile", "test:\n  LET x=1\n  SET x=${x}2\n  RUN echo $x\nbad:\n  SET y=1\n")

    step.run("+test")
    printed = step.printed
    outcome = step.run("+bad")

    assert printed == ["12"]
    assert outcome.error
    assert "declare it with LET first" in outcome.error.message


def test_if_takes_the_first_branch_whose_command_succeeds(step: Step) -> None:
    step.write(
        "Earthfile",
        "test:\n  ARG n=2\n  IF [ $n = 1 ]\n    RUN echo one\n  ELSE IF [ $n = 2 ]\n    RUN echo two\n"
        "  ELSE\n    RUN echo many\n  END\n",
    )

    step.run("+test")
    second = step.printed
    step.run("+test", "--n=9")

    assert second == ["two"]
    assert step.printed == ["many"]


def test_for_runs_over_words_variables_and_command_output(step: Step) -> None:
    step.write(
        "Earthfile",
        'test:\n  ARG list="a b"\n  FOR x IN $list $(echo "c\nd") *\n    RUN printf "%s\\n" "<$x>"\n  END\n',
    )

    step.run("+test")

    assert step.printed == ["<a>", "<b>", "<c>", "<d>", "<*>"]


@pytest.mark.parametrize(
    ("separator", "items"),
    [("", ["a,b", "c"]), ("--sep=,", ["a", "b c"]), ('--sep ""', ["a,b", "c"]), ("--sep=^]-", ["a,b c"])],
)
def test_for_cuts_its_words_at_the_separator(step: Step, separator: str, items: list[str]) -> None:
    step.write("Earthfile", f'test:\n  FOR {separator} x IN "a,b c"\n    RUN echo "$x"\n  END\n')

    step.run("+test")

    assert step.printed == items


def test_exec_form_runs_without_a_shell(step: Step) -> None:
    step.write("Earthfile", 'test:\n  RUN ["printf", "%s", "$HOME"]\n')

    step.run("+test")

    assert step.printed == ["$HOME"]


def test_copy_of_files_directories_and_globs_follows_docker(step: Step) -> None:
    for path in ("src/a.py", "src/sub/b.py", "docs/c.md", "x1.txt", "x2.txt", ".hidden.txt"):
        step.write(path, path)
    step.write(
        "Earthfile",
        "test:\n  COPY src ./code\n  COPY --dir src docs ./kept/\n  COPY *.txt texts/\n  COPY x1.txt renamed\n"
        "  COPY x2.txt kept\n  COPY --if-exists no-such ./\n  RUN find . -type f | sort\n",
    )

    outcome = step.run("+test")

    assert outcome.error is None
    assert step.printed == [
        "./code/a.py",
        "./code/sub/b.py",
        "./kept/docs/c.md",
        "./kept/src/a.py",
        "./kept/src/sub/b.py",
        "./kept/x2.txt",
        "./renamed",
        "./texts/.hidden.txt",
        "./texts/x1.txt",
        "./texts/x2.txt",
    ]


def test_artifacts_travel_between_projects(step: Step) -> None:
    step.write(
        "libs/x/Earthfile",
        "dist:\n  ARG name=x\n  RUN mkdir -p out/sub; echo $name > out/sub/f; echo w > w.whl\n"
        "  SAVE ARTIFACT out\n  SAVE ARTIFACT out renamed\n  SAVE ARTIFACT *.whl wheels/ AS LOCAL dist/\n",
    )
    step.write(
        "apps/y/Earthfile",
        "IMPORT ../../libs/x AS lib\ntest:\n  COPY ../../libs/x+dist/out ./contents\n  COPY --dir lib+dist/renamed ./\n"
        "  COPY (../../libs/x+dist/out/sub/f --name=other) ./f\n  COPY lib+dist/wheels/*.whl ./\n"
        "  RUN cat contents/sub/f renamed/sub/f f w.whl\n",
    )

    outcome = step.run("+test", project="apps/y")

    assert outcome.error is None
    assert step.printed[-4:] == ["x", "x", "other", "w"]
    assert not (step.root / "workspace" / "apps/y/dist").exists()


@pytest.mark.parametrize(
    ("earthfile", "place", "words"),
    [
        ("test:\n  COPY ../secret ./\n", "Earthfile:2", "use an artifact of another target"),
        ("test:\n  COPY escape ./\n", "Earthfile:2", "a link that leads out of the repository"),
        ("test:\n  COPY dir ./\n", "Earthfile:2", "a link that leads out of the repository"),
        ("test:\n  COPY nothing ./\n", "Earthfile:2", "nothing is not there to copy"),
        ("test:\n  COPY fifo ./\n", "Earthfile:2", "'fifo' is no regular file"),
        ("test:\n  RUN ln -s /tmp out\n  COPY a out/\n", "Earthfile:3", "leads out of the target's directory"),
        ("test:\n  RUN ln -s /tmp out\n  WORKDIR out/x\n", "Earthfile:3", "leads out of the target's directory"),
        ("test:\n  RUN ln -s /etc/hosts f\n  SAVE ARTIFACT f\n", "Earthfile:3", "leads out of"),
        ("test:\n  COPY ../..+x/f ./\n", "Earthfile:2", "lies outside of the repository"),
        ("test:\n  BUILD github.com/a/b+c\n", "Earthfile:2", "only targets of this repository"),
        ("test:\n  BUILD ./no+c\n", "Earthfile:2", "no/Earthfile cannot be read"),
        ("test:\n  FROM +tset\n", "Earthfile:2", "did you mean +test?"),
        ("a:\n  BUILD +test\ntest:\n  FROM +a\n", "Earthfile:2", "targets need each other: +test -> +a -> +test"),
        ("test:\n  ARG n=x\n  BUILD +test --n=${n}x\n", "Earthfile:3", "more than 50 targets wait"),
        ("test:\n  RUN --privileged true\n", "Earthfile:2", "RUN --privileged is not supported"),
        ("test:\n  RUN --mount type=secret,id=x true\n", "Earthfile:2", "RUN --mount is not supported"),
        ("test:\n  LOCALLY\n", "Earthfile:2", "LOCALLY is not supported"),
        ("test:\n  WITH DOCKER\n    RUN true\n  END\n", "Earthfile:2", "WITH DOCKER is not supported"),
        ("test:\n  WORKDIR ${x:-y}\n", "Earthfile:2", "only ${name} is supported"),
        ("test:\n  RUN cat <<EOF\n", "Earthfile:2", "here-documents are not supported"),
        ("test:\n  NONSENSE x\n", "Earthfile:2", "no Earthfile command"),
    ],
)
def test_what_cannot_be_done_is_a_config_error_at_its_place(step: Step, earthfile: str, place: str, words: str) -> None:
    step.write("Earthfile", earthfile)
    step.write("a", "a")
    workspace = step.root / "workspace"
    (step.root / "secret").write_text("secret")
    (workspace / "escape").symlink_to(step.root / "secret")
    (workspace / "dir").mkdir()
    (workspace / "dir" / "deep").symlink_to("../../secret")
    os.mkfifo(workspace / "fifo")

    outcome = step.run("+test")

    assert outcome.error
    assert (outcome.error.code, outcome.error.error_class) == ("CONFIG_INVALID", "config")
    assert words in outcome.error.message
    assert outcome.error.location
    assert f"{outcome.error.location.file}:{outcome.error.location.line}" == place


@pytest.mark.parametrize("arg", ["--push", "--buildkit-host=tcp://evil", "--config", "-i", "word", "--no-such-flag"])
def test_flags_that_could_redirect_the_runner_are_refused(step: Step, arg: str) -> None:
    step.write("Earthfile", "test:\n  RUN true\n")

    outcome = step.run("+test", arg)

    assert outcome.error
    assert outcome.error.error_class == "config"
    assert repr(arg) in outcome.error.message or "declares no ARG" in outcome.error.message


def test_harmless_flags_are_accepted(step: Step) -> None:
    step.write(
        "Earthfile", "test:\n  RUN --no-cache --mount type=cache,target=/c -- echo ran\n  RUN --push echo pushed\n"
    )

    outcome = step.run("+test", "--ci", "--strict", "--no-cache", "--platform=linux/amd64")

    assert outcome.error is None
    assert "ran" in step.printed
    assert "pushed" not in step.printed
    assert "+test | RUN --push echo pushed is skipped: this step does not push" in step.lines


def test_a_command_that_is_not_installed_gets_a_hint(step: Step) -> None:
    step.write("Earthfile", "test:\n  RUN no-such-tool\n")

    outcome = step.run("+test")

    assert outcome.exit_code == 127
    assert outcome.error
    assert "has to be installed on this machine" in outcome.error.message


def test_an_image_recipe_runs_without_building_an_image(step: Step) -> None:
    step.write("Earthfile", 'test:\n  RUN true\n  EXPOSE 80\n  ENTRYPOINT ["x"]\n  SAVE IMAGE --push org/x:1\n')

    outcome = step.run("+test")

    assert outcome.error is None
    assert "+test | SAVE IMAGE is not used: no image is built" in step.lines


def test_the_time_limit_covers_the_whole_step(step: Step) -> None:
    step.write("Earthfile", "test:\n  RUN sleep 0.3\n  RUN sleep 0.3\n  RUN sleep 60\n")
    began = time.monotonic()

    outcome = step.run("+test", timeout_s=1)

    assert time.monotonic() - began < 3
    assert outcome.status is JobState.FAILED
    assert outcome.error
    assert (outcome.error.code, outcome.error.error_class) == ("STEP_TIMEOUT", "timeout")
    assert outcome.error.message == "Earthfile:4:3: +test of . ran longer than 1 s, at last in RUN sleep 60"


def test_cancelling_ends_all_processes_within_two_seconds(step: Step) -> None:
    step.write("Earthfile", "test:\n  RUN sh -c 'sleep 60 & echo pid $!; wait' & echo pid $!; sleep 60\n")

    async def cancel() -> float:
        task = asyncio.create_task(step.start("+test"))
        async with asyncio.timeout(10):
            while sum("| pid " in line for line in step.lines) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    took_s = asyncio.run(cancel())

    assert took_s < 2
    pids = [int(line.removeprefix("pid ")) for line in step.printed]
    assert [alive(pid) for pid in pids] == [False, False]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_secret_may_have_another_name_in_the_command(step: Step) -> None:
    step.write("Earthfile", "test:\n  RUN --secret NPM=TOKEN test $NPM = n0t-t0ld && echo $NPM\n  RUN echo [$NPM]\n")

    step.run("+test")

    assert step.printed == ["***", "[]"]


def test_a_secret_that_the_step_does_not_have_is_a_config_error(step: Step) -> None:
    step.write("Earthfile", "test:\n  RUN --secret OTHER true\n")

    outcome = step.run("+test")

    assert outcome.error
    assert outcome.error.message == "Earthfile:2:7: the step has no secret OTHER (it has: TOKEN)"


def test_what_the_target_saves_is_given_under_its_saved_names(step: Step) -> None:
    step.saves = True
    step.write(
        "Earthfile",
        "VERSION 0.8\n"
        "lib:\n  RUN echo no > lib.txt\n  SAVE ARTIFACT lib.txt\n"
        "dist:\n  COPY +lib/lib.txt .\n  RUN mkdir out && echo a > out/a && ln -s a out/b\n"
        "  SAVE ARTIFACT out/* /bundle/\n  SAVE ARTIFACT out/a renamed\n",
    )

    outcome = step.run("+dist")

    assert outcome.status is JobState.SUCCEEDED
    files = sorted(str(path.relative_to(step.saved)) for path in step.saved.rglob("*") if not path.is_dir())
    assert files == ["bundle/a", "bundle/b", "renamed"]


@pytest.mark.parametrize("place", ["/etc/passwd", "../../../../../../etc/passwd"])
def test_a_saved_link_that_leads_out_is_refused(step: Step, place: str) -> None:
    step.saves = True
    step.write("Earthfile", f"VERSION 0.8\ndist:\n  RUN mkdir d && ln -s {place} d/x\n  SAVE ARTIFACT d\n")

    outcome = step.run("+dist")

    assert outcome.error
    assert outcome.error.error_class == "config"
    assert "'d/x' is a link that leads out of what is saved" in outcome.error.message


def test_an_image_is_refused_before_anything_runs(step: Step) -> None:
    step.image = True
    step.write("Earthfile", "VERSION 0.8\nimage:\n  RUN echo ran\n  SAVE IMAGE app\n")

    outcome = step.run("+image")

    assert outcome.error
    assert (outcome.error.code, outcome.error.error_class) == ("CONFIG_INVALID", "config")
    assert "no image is built" in outcome.error.message
    assert not step.printed


def test_a_daemon_that_a_command_starts_ends_with_the_command(step: Step) -> None:
    script = "setsid sh -c 'echo $$ > pid; exec sleep 300' & while ! test -s pid; do :; done; cat pid"
    step.write("Earthfile", f"VERSION 0.8\nserve:\n  RUN {script}\n")

    outcome = step.run("+serve")

    assert outcome.status is JobState.SUCCEEDED
    status = Path(f"/proc/{int(step.printed[0])}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()  # nobody has asked yet how it ended


@pytest.mark.parametrize(
    "command", ["RUN true", "SAVE ARTIFACT f", "COPY g ./", "FROM scratch", "ARG X=$(echo x)", "BUILD ./lib+test"]
)
def test_what_the_machine_lacks_is_not_the_repositorys_fault(step: Step, command: str) -> None:
    step.write("Earthfile", f"test:\n  RUN echo f > f && echo lack\n  {command}\n")
    step.write("lib/Earthfile", "test:\n  RUN true\n")
    step.write("g", "")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def output(line: str) -> None:
        if line.endswith("| lack"):  # from here on nothing can be opened
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))

    try:
        with pytest.raises(OSError, match="Too many open files"):
            asyncio.run(HostRunner().run(step.request("+test"), output))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="without /dev/full")
def test_a_log_that_cannot_be_written_is_not_the_repositorys_fault(step: Step) -> None:
    step.write("Earthfile", "test:\n  RUN echo printed\n")

    async def output(line: str) -> None:
        if line.endswith("| printed"):
            Path("/dev/full").write_text(line)  # noqa: ASYNC240 - a device of the kernel

    with pytest.raises(OSError, match="No space left on device"):
        asyncio.run(HostRunner().run(step.request("+test"), output))


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("ARG X=$(rm $HOME/../captured; mkfifo $HOME/../captured)", "what it prints cannot be read"),
        ("ARG X=$(rm $HOME/../captured; ln -s /etc/passwd $HOME/../captured)", "what it prints cannot be read"),
        ("ARG X=$(rm $HOME/../captured)", "what it prints cannot be read"),
        ("RUN mkfifo {workspace}/lib/Earthfile\n  BUILD ./lib+test", "lib/Earthfile cannot be read"),
    ],
)
def test_a_file_that_a_command_made_a_pipe_or_a_link_holds_nobody_up(step: Step, recipe: str, words: str) -> None:
    step.write("Earthfile", f"test:\n  {recipe.replace('{workspace}', str(step.root / 'workspace'))}\n")
    (step.root / "workspace" / "lib").mkdir()

    outcome = step.run("+test")

    assert outcome.error
    assert outcome.error.error_class == "config"
    assert words in outcome.error.message
