"""What a version's text says of the CLI."""

import pytest

from forge_runtime.runner.cli import Cli, find_cli, parse_version


@pytest.mark.parametrize(
    ("text", "name", "version", "prefixes"),
    [
        ("earth version v0.8.18 6ff704d linux/amd64; Debian GNU/Linux 12", "earth", (0, 8, 18), ("EARTH_",)),
        ("earth version v0.9.0  linux/arm64", "earth", (0, 9, 0), ("EARTH_",)),
        ("earthly version v0.8.16 c489052 linux/amd64", "earthly", (0, 8, 16), ("EARTH_", "EARTHLY_")),
        ("WARNING: something\nearthly version v0.8.15 x", "earthly", (0, 8, 15), ("EARTH_", "EARTHLY_")),
        ("earth version dev-main abc linux/amd64", "earth", None, ("EARTH_", "EARTHLY_")),
    ],
)
def test_name_version_and_the_variables_that_it_reads(
    text: str, name: str, version: tuple[int, int, int] | None, prefixes: tuple[str, ...]
) -> None:
    cli = parse_version("/bin/x", text)

    assert cli == Cli(path="/bin/x", name=name, version=version)
    assert cli.prefixes == prefixes
    assert cli.variables({"ENV_FILE": "/e"}) == {f"{prefix}ENV_FILE": "/e" for prefix in prefixes}


@pytest.mark.parametrize("text", ["", "hello", "the earth version", "docker version 28"])
def test_another_programs_text_is_not_taken_for_it(text: str) -> None:
    assert parse_version("/bin/x", text) is None


def test_no_program_is_none() -> None:
    assert find_cli(lambda _name: None) is None
