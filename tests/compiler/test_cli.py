"""The `forgec` command from outside: golden transcripts, and what a transcript cannot show.

A case of golden/cli is one text file (txtar): a comment, the command line, the files it finds, then what it must do.

    What this shows, in a sentence.
    $ forgec compile discovery.json -o out.yaml          (variables may stand before it: $ CI=true forgec ...)
    -- discovery.json --        a file; `name.hex` is written as the bytes of its hexadecimal digits; one that begins
                                with `#!` can be started, as what stands for another program with PATH=bin
    -- stdin --                 standard input
    -- exit --  -- stdout --  -- stderr --
    -- after/out.yaml --        a file that is new or changed when the command has ended; no other may be

Lines `$ git ...` before that of `forgec` are run first, among the files. `FORGE_GOLDEN=write` rewrites everything after
the files. The lines of argparse's usage are left out, since their form is Python's; the folder of the case is `$PWD`.
"""

import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from forgec import pipeline
from forgec.adapter.git import git_environment
from forgec.cli import command
from forgec.cli.main import main

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
CASES = sorted((GOLDEN / "cli").glob("*.txtar"))
DOCUMENT = GOLDEN / "plans" / "many-projects" / "discovery.json"
REWRITE = os.environ.get("FORGE_GOLDEN") == "write"
FORGEC = (sys.executable, "-m", "forgec")
LIMIT_S = 60

_MARKER = re.compile(r"^-- (.+) --\n", re.MULTILINE)
_USAGE = re.compile(r"^usage: .*?(?=^forgec)", re.MULTILINE | re.DOTALL)
_RESULTS = ("exit", "stdout", "stderr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    head: str
    files: dict[str, str]
    results: dict[str, str]

    @property
    def argv(self) -> list[str]:
        return self._words[self._words.index("forgec") + 1 :]

    @property
    def environment(self) -> dict[str, str]:
        """What the case sets; continuous integration's own mark is not the case's."""
        given = (word.partition("=") for word in self._words[: self._words.index("forgec")])
        return {"CI": "", **{name: value for name, _, value in given}}

    @property
    def setup(self) -> list[list[str]]:
        return self._commands[:-1]

    @property
    def _words(self) -> list[str]:
        return self._commands[-1]

    @property
    def _commands(self) -> list[list[str]]:
        return [shlex.split(line)[1:] for line in self.head.splitlines() if line.startswith("$ ")]


def read_case(path: Path) -> Case:
    head, *parts = _MARKER.split(path.read_text(encoding="utf-8"))
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    results = {name: text for name, text in sections.items() if name in _RESULTS or name.startswith("after/")}
    return Case(head=head, files={n: t for n, t in sections.items() if n not in results}, results=results)


def written(case: Case, results: dict[str, str]) -> str:
    sections = {**case.files, **results}
    return case.head + "".join(f"-- {name} --\n{text}" for name, text in sections.items())


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().decode(errors="replace")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def play(case: Case, folder: Path) -> dict[str, str]:
    for name, text in case.files.items():
        if name != "stdin":
            path = folder / name.removesuffix(".hex")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes.fromhex(text) if name.endswith(".hex") else text.encode())
            path.chmod(0o755 if text.startswith("#!") else 0o644)
    for argv in case.setup:
        subprocess.run(argv, cwd=folder, env=git_environment(), capture_output=True, timeout=LIMIT_S, check=True)
    before = contents(folder)
    done = run(*case.argv, cwd=folder, stdin=case.files.get("stdin", "").encode(), **case.environment)
    after = {f"after/{name}": text for name, text in contents(folder).items() if before.get(name) != text}
    stderr = _USAGE.sub("", done.stderr.decode()).replace(str(folder.resolve()), "$PWD")
    return {"exit": f"{done.returncode}\n", "stdout": done.stdout.decode(), "stderr": stderr, **after}


def run(*argv: str, cwd: Path, stdin: bytes = b"", **environment: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*FORGEC, *argv],
        cwd=cwd,
        input=stdin,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_transcript_is_the_golden_one(path: Path, tmp_path: Path) -> None:
    case = read_case(path)
    absent = [argv[0] for argv in case.setup if shutil.which(argv[0]) is None]
    if absent:
        pytest.skip(f"{absent[0]} is not on the PATH")

    results = play(case, tmp_path)

    assert results["exit"] != f"{command.BUG}\n", results["stderr"]
    if REWRITE:
        path.write_text(written(case, results), encoding="utf-8")
    assert results == read_case(path).results, "FORGE_GOLDEN=write accepts the change"


def test_only_transcripts_lie_in_their_folder() -> None:
    assert sorted((GOLDEN / "cli").iterdir()) == CASES


@pytest.mark.parametrize("case", ["unusual-names", "release", "sharded-100-projects"])
def test_output_depends_on_the_document_alone(case: str, tmp_path: Path) -> None:
    document = GOLDEN / "plans" / case / "discovery.json"
    golden = (GOLDEN / "plans" / case / "workflow.yaml").read_bytes()

    outputs = [
        run("compile", str(document), cwd=tmp_path, PYTHONHASHSEED="1", LC_ALL="C", TZ="Asia/Tokyo"),
        run("compile", os.path.relpath(document, GOLDEN), cwd=GOLDEN, PYTHONHASHSEED="2", LC_ALL="C.UTF-8"),
        run("compile", "-", cwd=Path("/"), stdin=document.read_bytes(), PYTHONUTF8="0", PYTHONOPTIMIZE="1"),
    ]

    assert [(done.returncode, done.stderr) for done in outputs] == [(0, b"")] * 3
    assert {done.stdout for done in outputs} == {golden}


@pytest.mark.parametrize(
    "argv",
    [("--help",), ("compile", str(DOCUMENT)), ("check", str(DOCUMENT)), ("diff", str(DOCUMENT), str(DOCUMENT))],
)
def test_json_is_compiled_without_the_cue_parser(argv: tuple[str, ...], tmp_path: Path) -> None:
    loaded = modules_of(*argv, cwd=tmp_path)

    assert not loaded & {"lark", "re2", "yaml", "asyncio", "subprocess", "forgec.syntax.parse"}
    assert argv != ("--help",) or not loaded & {"msgspec", "dataclasses", "forgec.pipeline"}
    assert argv[0] != "compile" or not loaded & {"dataclasses", "pathlib", "difflib", "inspect"}


def test_a_directory_is_read_without_lark(tmp_path: Path) -> None:
    (tmp_path / ".forge").mkdir()
    (tmp_path / ".forge/repo.cue").write_text('package repo\nforgeVersion: "v1.0.0"\ntagging: strategy: "monorepo"\n')

    loaded = modules_of("discover", ".", cwd=tmp_path)

    assert "forgec.syntax.parse" in loaded
    assert not loaded & {"lark", "dataclasses", "re2", "inspect"}


def modules_of(*argv: str, cwd: Path) -> set[str]:
    """What a command has loaded at its end."""
    script = (
        "import atexit, sys; from forgec.cli.main import main\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *argv], cwd=cwd, capture_output=True, timeout=LIMIT_S, check=True
    )
    return set(done.stderr.decode().split())


def test_findings_are_coloured_on_a_terminal_unless_no_color_is_set(tmp_path: Path) -> None:
    assert b"\x1b[" in on_terminal(tmp_path, NO_COLOR="", TERM="xterm")
    assert b"\x1b[" not in on_terminal(tmp_path, NO_COLOR="1", TERM="xterm")
    assert b"\x1b[" not in on_terminal(tmp_path, NO_COLOR="", TERM="dumb")
    assert b"\x1b[" not in run("compile", "missing.json", cwd=tmp_path, NO_COLOR="", TERM="xterm").stderr


def on_terminal(folder: Path, **environment: str) -> bytes:
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            [*FORGEC, "compile", "missing.json"],
            cwd=folder,
            env={**os.environ, **environment},
            stderr=theirs,
            timeout=LIMIT_S,
            check=False,
        )
        return os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_reader_that_leaves_is_no_error_worth_a_word(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)

    done = subprocess.run(
        [*FORGEC, "compile", str(DOCUMENT)],
        cwd=tmp_path,
        stdout=theirs,
        stderr=subprocess.PIPE,
        timeout=LIMIT_S,
        check=False,
    )

    os.close(theirs)
    assert (done.returncode, done.stderr) == (command.BROKEN_PIPE, b"")


def test_standard_output_that_takes_no_more_is_an_error_with_a_reason(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*FORGEC, "compile", str(DOCUMENT)],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=LIMIT_S,
            check=False,
        )

    expected = b"error[FC604]: cannot write to standard output: No space left on device\n\n1 error\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_an_interrupt_ends_it_without_a_traceback(tmp_path: Path) -> None:
    pipe = tmp_path / "document"
    os.mkfifo(pipe)
    child = subprocess.Popen([*FORGEC, "compile", str(pipe)], stderr=subprocess.PIPE)

    with pipe.open("wb"):  # returns once the child reads
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=LIMIT_S)

    assert (child.returncode, stderr) == (command.INTERRUPTED, b"")


def test_a_bug_is_one_line_that_asks_for_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(pipeline, "plan", broken)

    assert main(["compile", str(DOCUMENT)]) == command.BUG

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("forgec: internal error: KeyError: 'lost'; please report it")
    assert err.count("\n") == 1

    monkeypatch.setenv("FORGE_TRACEBACK", "1")
    with pytest.raises(KeyError):
        main(["compile", str(DOCUMENT)])


def test_output_goes_to_a_device_without_replacing_it(tmp_path: Path) -> None:
    done = run("compile", str(DOCUMENT), "-o", "/dev/null", cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert Path("/dev/null").is_char_device()


def test_output_follows_a_link_and_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.yaml").symlink_to(tmp_path / "real" / "out.yaml")

    run("compile", str(DOCUMENT), "-o", "link.yaml", cwd=tmp_path)

    assert (tmp_path / "link.yaml").is_symlink()
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["out.yaml"]
    assert (tmp_path / "real" / "out.yaml").read_bytes() == (DOCUMENT.parent / "workflow.yaml").read_bytes()


@pytest.mark.parametrize(("value", "code"), [("", 0), ("0", 0), ("False", 0), ("1", 2), ("true", 2), ("yes", 2)])
def test_golden_files_are_updated_unless_ci_is_set_to_what_is_not_a_word_for_off(
    value: str, code: int, tmp_path: Path
) -> None:
    case = tmp_path / "case"
    case.mkdir()
    (case / "discovery.json").write_bytes(DOCUMENT.read_bytes())

    assert run("golden", "update", str(case), cwd=tmp_path, CI=value).returncode == code
    assert (case / "workflow.yaml").exists() == (code == 0)
