"""Where the API refuses to start."""

from pathlib import Path

import pytest
from tests.api import harness

from forge_api.app import create_app
from forge_api.auth.token import LOCAL, read_tokens
from forge_api.settings import SettingsInvalid, read_settings
from forge_runtime.blob import DirectoryBlob
from forge_runtime.bus.memory import MemoryBus
from forge_runtime.engine.memory import MemoryEngine


def test_environment_gives_the_settings_of_one_machine(tmp_path: Path) -> None:
    settings = read_settings(
        {"FORGE_DATA_DIR": str(tmp_path), "FORGE_API_PORT": "9000", "NATS_CREDENTIALS": "/n", "NATS_URL": "nats://h:1"}
    )

    assert settings.token_file == tmp_path / "api.token"
    assert settings.database_url == f"sqlite+aiosqlite:///{tmp_path}/forge.db"
    assert (settings.host, settings.port, settings.file_clone) == ("127.0.0.1", 9000, False)
    assert (settings.nats_url, settings.nats_credentials) == ("nats://h:1", Path("/n"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FORGE_API_HOST", "0.0.0.0"),
        ("FORGE_API_HOST", "10.0.0.1"),
        ("FORGE_ENVIRONMENT", "production"),
        ("FORGE_API_PORT", "70000"),
        ("FORGE_API_PORT", "-1"),
        ("FORGE_ENGINE", "cloud"),
        ("NATS_URL", "nats://user:hunter2@127.0.0.1"),
    ],
)
def test_wrong_variable_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsInvalid, match=name):
        read_settings({name: value})


@pytest.mark.parametrize("fields", [{"host": "0.0.0.0"}, {"environment": "production"}], ids=str)
def test_application_checks_again_whoever_made_its_settings(tmp_path: Path, fields: dict[str, str]) -> None:
    ports = harness.ports(MemoryBus(), MemoryEngine(), DirectoryBlob(tmp_path), harness.Clock())

    with pytest.raises(SettingsInvalid):
        create_app(harness.settings(tmp_path, **fields), ports)


@pytest.mark.parametrize(("mode", "text"), [(0o644, "t" * 43), (0o600, "short"), (0o600, "")])
def test_token_file_that_others_may_read_or_that_is_weak_is_refused(tmp_path: Path, mode: int, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(mode)

    with pytest.raises(SettingsInvalid, match=str(path)):
        read_tokens(path)


def test_missing_token_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="No such file"):
        read_tokens(tmp_path / "token")


def test_token_opens_only_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("s" * 43 + "\n")
    path.chmod(0o600)

    token = read_tokens(path)

    assert token.principal(f"Bearer {'s' * 43}") == LOCAL
    assert token.principal(f"bearer {'s' * 43}") == LOCAL
    for header in (None, "", "Bearer", "Bearer ", f"Bearer {'s' * 42}", f"Bearer {'s' * 44}", f"Basic {'s' * 43}"):
        assert token.principal(header) is None
