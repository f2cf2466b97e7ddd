"""References to secrets become values under the names that the build knows."""

from typing import Any

import pytest

from forge_runtime.secret.environment import EnvironmentSecrets
from forge_runtime.secret.port import SecretRefused
from forge_runtime.secret.resolve import STEP_SCOPE, Secrets

SECRETS = Secrets(
    stores={
        "env": EnvironmentSecrets(
            {
                "FORGE_SECRET_CI_NPM_TOKEN": "n0t-t0ld",
                "FORGE_SECRET_CI_DB": '{"user": "u", "password": "p", "port": 5432, "nested": {}}',
                "FORGE_SECRET_PUBLISHERS_DOCKER": "d",
            }
        )
    }
)


async def bound(**reference: Any) -> dict[str, str]:
    return await SECRETS.bound([{"provider": "env", **reference}], STEP_SCOPE)


async def test_a_secret_has_the_name_that_the_step_gives_it() -> None:
    assert await bound(secretName="npm-token", name="TOKEN") == {"TOKEN": "n0t-t0ld"}
    assert await bound(path="ci/npm-token", name="TOKEN") == {"TOKEN": "n0t-t0ld"}


async def test_keys_of_a_json_secret_are_secrets() -> None:
    assert await bound(secretName="db", name="PW", key="password") == {"PW": "p"}
    assert await bound(secretName="db", maps={"USER": "user", "PORT": "port"}) == {"USER": "u", "PORT": "5432"}


async def test_an_optional_secret_may_be_missing() -> None:
    assert await bound(secretName="none", name="TOKEN", optional=True) == {}


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ({"secretName": "none", "name": "T"}, 'no secret ci/none at the provider "env"'),
        ({"secretName": "../publishers/docker", "name": "T"}, 'not the name of a secret below "ci/"'),
        ({"secretName": "/npm-token", "name": "T"}, 'not the name of a secret below "ci/"'),
        ({"secretName": "x" * 256, "name": "T"}, 'not the name of a secret below "ci/"'),
        ({"secretName": "npm\0token", "name": "T"}, r"'npm\x00token' is not the name of a secret"),
        ({"secretName": "npm\ud800token", "name": "T"}, r"'npm\ud800token' is not the name of a secret"),
        ({"secretName": "npm-token", "name": "T", "key": "user"}, 'is not JSON, so it has no key "user"'),
        ({"secretName": "db", "name": "T", "key": "token"}, 'has no key "token"'),
        ({"secretName": "db", "name": "T", "key": "nested"}, "is no text"),
        ({"secretName": "npm-token", "name": "T", "provider": "aws"}, "(it has: env)"),
        ({"secretName": "npm-token", "name": "T", "surprise": 1}, "not a reference to a secret"),
    ],
)
async def test_what_cannot_be_resolved_says_why_and_shows_no_value(reference: dict[str, Any], reason: str) -> None:
    with pytest.raises(SecretRefused) as refused:
        await bound(**reference)

    assert reason in str(refused.value)
    assert "n0t-t0ld" not in str(refused.value)


async def test_a_publishers_secret_is_out_of_a_steps_reach() -> None:
    with pytest.raises(SecretRefused):
        await bound(secretName="publishers/docker", name="T")
