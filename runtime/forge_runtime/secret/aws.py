"""Secrets in AWS Secrets Manager: `ci/npm-token` is the secret of that name in the worker's region, or the named one.

Credentials are found as boto3 finds them; the role of a worker allows `secretsmanager:GetSecretValue` on its scope.
"""

import asyncio
from functools import lru_cache
from typing import Any, Final

from forge_runtime.secret.port import SecretRefused, SecretStoreAway, text_of

REGIONS_MAX: Final = 8
"""Whose clients are kept: repositories name regions, and a client takes half a megabyte."""


class AwsSecrets:
    """`endpoint_url` is for tests, and for networks with an endpoint of their own."""

    def __init__(self, endpoint_url: str | None = None) -> None:
        self._endpoint_url = endpoint_url
        self._client = lru_cache(maxsize=REGIONS_MAX)(self._new_client)

    async def read(self, name: str, region: str | None) -> str | None:
        return await asyncio.to_thread(self._read, name, region)

    def _read(self, name: str, region: str | None) -> str | None:
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            EndpointConnectionError,
            InvalidRegionError,
            NoCredentialsError,
            NoRegionError,
        )

        try:
            answer = self._client(region).get_secret_value(SecretId=name)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code == "ResourceNotFoundException":
                return None
            if code in _REFUSALS:
                raise SecretRefused(f"secret {name}: AWS answers {code}") from None
            raise SecretStoreAway(f"secret {name}: AWS answers {code}") from None
        except (InvalidRegionError, NoCredentialsError, NoRegionError) as error:
            raise SecretRefused(f"secret {name}: {error}") from None
        except BotoCoreError as error:
            if isinstance(error, EndpointConnectionError) and not _is_known(region):
                raise SecretRefused(f"secret {name}: nothing answers in {region}, which is no region known") from None
            raise SecretStoreAway(f"secret {name}: {error}") from None
        text = answer.get("SecretString")
        return text_of(answer["SecretBinary"] if text is None else text.encode(), name)

    def _new_client(self, region: str | None) -> Any:
        import boto3  # here: 200 ms, and only this provider needs it
        from botocore.config import Config

        config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})
        return boto3.client("secretsmanager", region_name=region, endpoint_url=self._endpoint_url, config=config)


def _is_known(region: str | None) -> bool:
    """To boto3, which is older than some regions; the worker's own counts as known."""
    import boto3

    session = boto3.Session()
    partitions = session.get_available_partitions()
    known = (session.get_available_regions("secretsmanager", partition_name=partition) for partition in partitions)
    return region is None or any(region in regions for regions in known)


_REFUSALS: Final = frozenset(
    {
        "AccessDeniedException",
        "DecryptionFailure",
        "InvalidParameterException",
        "InvalidRequestException",
        "UnrecognizedClientException",
        "ValidationException",
    }
)
"""Answers that stay the same until somebody changes the secret or the role."""
