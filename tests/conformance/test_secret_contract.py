"""One contract for all places where secrets are kept; AWS Secrets Manager through a real HTTP server on this machine.

moto's server stands for AWS. It takes any signature and knows no roles, so no test here sees AWS refuse a role.
"""

import gc
import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from forge_runtime.secret.aws import REGIONS_MAX, AwsSecrets
from forge_runtime.secret.directory import DirectorySecrets
from forge_runtime.secret.environment import EnvironmentSecrets, variable_of
from forge_runtime.secret.port import VALUE_BYTES_MAX, SecretRefused, SecretStore, SecretStoreAway


@dataclass(frozen=True)
class Kept:
    """A store, and how somebody puts a secret into it."""

    store: SecretStore
    put: Callable[[str, str], None]


@pytest.fixture
def aws(aws_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    urllib.request.urlopen(urllib.request.Request(f"{aws_endpoint}/moto-api/reset", method="POST"), timeout=5).close()

    def put(name: str, value: str) -> None:
        client = boto3.client("secretsmanager", region_name="us-east-1", endpoint_url=aws_endpoint)
        client.create_secret(Name=name, SecretString=value)

    return Kept(AwsSecrets(aws_endpoint), put)


@pytest.fixture(params=["environment", "directory", "aws"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    if request.param == "environment":
        environ: dict[str, str] = {}
        return Kept(EnvironmentSecrets(environ), lambda name, value: environ.update({variable_of(name): value}))
    if request.param == "directory":

        def put(name: str, value: str) -> None:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value, encoding="utf-8")

        return Kept(DirectorySecrets(tmp_path), put)
    found: Kept = request.getfixturevalue("aws")
    return found


async def test_a_value_is_read_as_it_was_put(kept: Kept) -> None:
    kept.put("ci/npm-token", "s3cr3t ÄÖ\nsecond line")

    assert await kept.store.read("ci/npm-token", None) == "s3cr3t ÄÖ\nsecond line"


async def test_a_secret_that_is_not_there_is_none(kept: Kept) -> None:
    kept.put("ci/npm-token", "s3cr3t")

    assert await kept.store.read("ci/other", None) is None
    assert await kept.store.read("publishers/npm-token", None) is None


async def test_a_value_beyond_the_limit_is_refused_without_being_shown(tmp_path: Path) -> None:
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "large").write_bytes(b"s3cr3t" * VALUE_BYTES_MAX)

    with pytest.raises(SecretRefused) as refused:
        await DirectorySecrets(tmp_path).read("ci/large", None)

    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "reason"), [(b"a\0b", "NUL"), (b"\xff\xfe", "UTF-8")], ids=["a NUL byte", "no UTF-8"]
)
async def test_what_is_no_text_is_refused(tmp_path: Path, value: bytes, reason: str) -> None:
    (tmp_path / "token").write_bytes(value)

    with pytest.raises(SecretRefused, match=reason):
        await DirectorySecrets(tmp_path).read("token", None)


async def test_one_line_break_at_the_end_of_a_file_is_not_the_secrets(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cr3t\n\n")

    assert await DirectorySecrets(tmp_path).read("token", None) == "s3cr3t\n"


async def test_links_within_the_directory_are_followed_and_none_out_of_it(tmp_path: Path) -> None:
    root = tmp_path / "secrets"
    (root / "..data").mkdir(parents=True)
    (root / "..data" / "token").write_text("s3cr3t")
    (root / "token").symlink_to("..data/token")
    (tmp_path / "passwd").write_text("other")
    (root / "out").symlink_to(tmp_path / "passwd")
    store = DirectorySecrets(root)

    assert await store.read("token", None) == "s3cr3t"
    with pytest.raises(SecretRefused, match="outside"):
        await store.read("out", None)


@pytest.mark.parametrize("name", ["x" * 300, "/".join(["x" * 200] * 30), "a\0b", "\ud800"])
async def test_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "ci").mkdir()

    with pytest.raises(SecretRefused):
        await DirectorySecrets(tmp_path).read(f"ci/{name}", None)


async def test_other_variables_of_the_worker_are_no_secrets() -> None:
    store = EnvironmentSecrets({"AWS_SECRET_ACCESS_KEY": "k", "CI_TOKEN": "t"})

    assert await store.read("AWS_SECRET_ACCESS_KEY", None) is None
    assert await store.read("ci/token", None) is None


async def test_aws_that_does_not_answer_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    with pytest.raises(SecretStoreAway):
        await AwsSecrets("http://127.0.0.1:9").read("ci/token", "us-east-1")


@pytest.mark.parametrize("region", ["eu west", "a.b/c", "eu-nowhere-1"])
async def test_region_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, region: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    with pytest.raises(SecretRefused, match="region"):
        await AwsSecrets("http://127.0.0.1:9").read("ci/token", region)


async def test_clients_of_regions_that_repositories_name_are_few(aws: Kept) -> None:
    def clients() -> int:
        gc.collect()
        return sum(type(each).__name__ == "SecretsManager" for each in gc.get_objects())

    regions = boto3.Session().get_available_regions("secretsmanager")[: REGIONS_MAX + 4]
    before = clients()

    for region in regions:
        await aws.store.read("ci/token", region)

    assert clients() - before == REGIONS_MAX


async def test_aws_without_a_region_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    with pytest.raises(SecretRefused, match="region"):
        await AwsSecrets().read("ci/token", None)


async def test_a_value_of_aws_in_another_form_is_read_as_well(aws: Kept) -> None:
    aws.put("ci/db", json.dumps({"user": "u"}))

    assert await aws.store.read("ci/db", "us-east-1") == '{"user": "u"}'
