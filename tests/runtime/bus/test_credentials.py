"""What a credentials file is, told by its content."""

import logging
from pathlib import Path

import pytest

from forge_runtime.bus.credentials import read_credentials
from forge_runtime.settings import BadSettings

URL = "nats://nats:4222"


def file_of(folder: Path, content: str, mode: int = 0o600) -> Path:
    file = folder / "credentials"
    file.write_text(content)
    file.chmod(mode)
    return file


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("a-token\n", {"token": "a-token"}),
        ("worker-tasks\nsecret: with a colon\n", {"user": "worker-tasks", "password": "secret: with a colon"}),
    ],
)
def test_one_line_is_a_token_and_two_are_user_and_password(
    tmp_path: Path, content: str, options: dict[str, str]
) -> None:
    found = read_credentials(file_of(tmp_path, content), URL)

    assert (found.options, found.tls) == (options, None)
    assert "secret" not in repr(found)


def test_creds_file_is_named_and_not_read_here(tmp_path: Path) -> None:
    file = file_of(tmp_path, "-----BEGIN NATS USER JWT-----\ney...\n------END NATS USER JWT------\n")

    assert read_credentials(file, URL).options == {"user_credentials": str(file)}


def test_three_lines_are_nothing_and_are_not_shown(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="no token") as caught:
        read_credentials(file_of(tmp_path, "one\ntwo\nthree\n"), URL)

    assert "two" not in str(caught.value)


def test_encrypted_address_without_files_trusts_the_authorities_of_this_machine() -> None:
    found = read_credentials(None, "tls://nats:4222")

    assert found.tls is not None
    assert found.tls.authority is None


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_secret_that_everybody_can_read_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool
) -> None:
    caplog.set_level(logging.WARNING)

    read_credentials(file_of(tmp_path, "a-token", mode), URL)

    assert ("chmod o-r" in caplog.text) is warned
    assert "a-token" not in caplog.text
