"""No input is too strange: each is compiled or refused in words. `make fuzz` tries many more."""

import subprocess
import sys

import pytest
from tests.fuzz.campaign import Failure, failures, make_input
from tests.fuzz.corpus import KINDS, ROOT, Kind, seeds
from tests.fuzz.trial import try_input

SEED = 20_26
SHARE = 200
SHARES = 10


@pytest.mark.parametrize("share", range(SHARES))
def test_every_input_is_compiled_or_refused_in_words(share: int) -> None:
    numbers = range(share * SHARE, (share + 1) * SHARE)

    assert list(failures(SEED, numbers, lambda _number, _compiled: None)) == []


def test_an_input_is_made_from_seed_and_number_alone() -> None:
    first = [make_input(SEED, number) for number in range(50)]
    again = [make_input(SEED, number) for number in reversed(range(50))]

    assert first == again[::-1]
    assert len({data for _, data in first}) > 40
    assert {kind for kind, _ in first} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_corpus_has_inputs_that_are_compiled_and_such_that_are_refused(kind: Kind) -> None:
    ends = {try_input(kind, text.encode()) for text in seeds()[kind]}

    assert ends == {True, False}


def test_an_input_that_breaks_the_compiler_is_found_and_made_small() -> None:
    def breaks(_kind: Kind, data: bytes) -> bool:
        if b"{" in data:
            raise KeyError("brace")
        return True

    (failure, *_) = failures(SEED, range(9), lambda _number, _compiled: None, breaks)

    assert isinstance(failure, Failure)
    assert failure.what.startswith("KeyError at ")
    assert failure.data == b"{"


def test_the_command_tells_what_became_of_every_input() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "-n", "30", "--seed", "7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fuzzing: 30 inputs, seed 7, 2 processes\n30 inputs in ")
    assert done.stdout.endswith("; 0 failed\n")
