"""What a failed push printed, and what it means."""

import pytest

from forge_runtime.gitops.rejection import WORDS_CHARS_MAX, Cause, read_rejection

REFERENCE = "!\tabc:refs/heads/main\t"


@pytest.mark.parametrize(
    "line",
    [
        "[rejected] (fetch first)",
        "[rejected] (non-fast-forward)",
        "[rejected] (stale info)",
        "[remote rejected] (cannot lock ref 'refs/heads/main': is at 1f but expected 2e)",
        "[remote rejected] (failed to update ref)",
        "[remote rejected] (incorrect old value provided)",
        "[remote rejected] (reference already exists)",
        "[remote rejected] (non-fast-forward)",
        "[remote rejected] (Unable to create '/srv/o.git/refs/heads/main.lock': File exists.)",
    ],
)
def test_race_is_seen_whoever_reports_it(line: str) -> None:
    assert read_rejection(["To x", REFERENCE + line, "Done"]).cause is Cause.RACE


@pytest.mark.parametrize(
    "line",
    [
        "[remote rejected] (pre-receive hook declined)",
        "[remote rejected] (hook declined)",
        "[remote rejected] (protected branch hook declined)",
        "[remote rejected] (push declined due to repository rule violations)",
        "[remote rejected] (branch is currently checked out)",
        "[remote rejected] (deny updating a hidden ref)",
    ],
)
def test_rule_of_the_server_is_told_in_its_words(line: str) -> None:
    said = read_rejection(
        ["remote: error: GH006: Protected branch update failed.", "remote: ", REFERENCE + line, "Done"]
    )

    assert said.cause is Cause.POLICY
    assert line.partition("(")[2].rstrip(")") in said.words
    assert "GH006: Protected branch update failed." in said.words


@pytest.mark.parametrize(
    "output",
    [
        [REFERENCE + "[remote rejected] (unpacker error)"],
        [REFERENCE + "[remote rejected] (Internal Server Error)"],
        [REFERENCE + "[remote failure] (remote failed to report status)"],
        ["fatal: the remote end hung up unexpectedly"],
        ["fatal: unable to access 'https://x/': Could not resolve host: x"],
        ["fatal: unable to access 'https://x/': The requested URL returned error: 502"],
        [],
    ],
)
def test_trouble_may_pass(output: list[str]) -> None:
    assert read_rejection(output).cause is Cause.BROKEN


@pytest.mark.parametrize(
    "line",
    [
        "fatal: Authentication failed for 'https://x/'",
        "fatal: could not read Username for 'https://x': terminal prompts disabled",
        "remote: Permission to acme/gitops.git denied to bot.",
        "fatal: unable to access 'https://x/': The requested URL returned error: 403",
        "git@x: Permission denied (publickey).",
        "fatal: repository 'https://x/' not found",
        "fatal: '/srv/none.git' does not appear to be a git repository",
    ],
)
def test_closed_door_is_for_people(line: str) -> None:
    assert read_rejection([line]).cause is Cause.ACCESS


def test_words_are_short_and_printable() -> None:
    said = read_rejection(
        [*["remote: \x1b[31mno\x07 " + "x" * 500] * 50, REFERENCE + "[remote rejected] (hook declined)"]
    )

    assert len(said.words) <= WORDS_CHARS_MAX
    assert said.words.isprintable()
