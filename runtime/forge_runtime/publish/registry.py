"""Registries as publishers reach them: each with its own credential, and failures that are a publisher's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from forge_runtime.http import Http
from forge_runtime.oci.credentials import Credential as Shown
from forge_runtime.oci.credentials import GivenCredentials
from forge_runtime.oci.exchange import RegistryAway, RegistryRefused
from forge_runtime.oci.image import BadImage
from forge_runtime.oci.reference import BadReference
from forge_runtime.oci.registry import RegistryClient
from forge_runtime.publish.port import Publication, PublishAway, PublishRefused


@asynccontextmanager
async def registry_of(http: Http, publication: Publication, host: str) -> AsyncIterator[RegistryClient]:
    """The client for one publication. Who has no credential of the publisher's is nobody there: never the worker.

    What fails inside is raised as PublishRefused or PublishAway.
    """
    known = {}
    if publication.credential is not None:
        login = publication.credential.login()
        known[host] = Shown(user=login.user, password=login.password)
    try:
        yield RegistryClient(http, GivenCredentials(known))
    except (RegistryRefused, BadReference, BadImage) as error:
        raise PublishRefused(str(error)) from None
    except RegistryAway as error:
        raise PublishAway(str(error)) from None
