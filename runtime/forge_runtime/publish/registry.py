"""Registries as publishers reach them: each with its own credential, and failures that are a publisher's.

Who has no credential of the publisher's is nobody at a registry: never the worker, which may write to the platform's
own. Only a registry that the platform puts in the place of others is asked with the platform's credentials.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from forge_runtime.http import Http
from forge_runtime.oci.credentials import Credential as Shown
from forge_runtime.oci.credentials import Credentials, GivenCredentials
from forge_runtime.oci.exchange import RegistryAway, RegistryRefused
from forge_runtime.oci.image import BadImage
from forge_runtime.oci.mirrors import Mirrors
from forge_runtime.oci.reference import BadReference
from forge_runtime.oci.registry import RegistryClient
from forge_runtime.publish.port import Publication, PublishAway, PublishRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIns:
    """Registries that stand in for those that repositories name, and who we are there."""

    mirrors: Mirrors = field(default_factory=Mirrors)
    credentials: Credentials = field(default_factory=GivenCredentials)


@asynccontextmanager
async def registry_of(
    http: Http, stand_ins: StandIns, publication: Publication, host: str
) -> AsyncIterator[RegistryClient]:
    """The client for one publication. What fails inside is raised as PublishRefused or PublishAway."""
    credentials: Credentials = GivenCredentials()
    if stand_ins.mirrors.asked_for(host) != host:
        credentials = stand_ins.credentials
    elif publication.credential is not None:
        login = publication.credential.login()
        credentials = GivenCredentials({host: Shown(user=login.user, password=login.password)})
    try:
        yield RegistryClient(http, credentials, mirrors=stand_ins.mirrors)
    except (RegistryRefused, BadReference, BadImage) as error:
        raise PublishRefused(str(error)) from None
    except RegistryAway as error:
        raise PublishAway(str(error)) from None
