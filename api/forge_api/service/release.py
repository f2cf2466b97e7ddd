"""Releases: registered once a commit, numbered without gaps, looked up by any of their names."""

import logging
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.auth.permission import Role
from forge_api.db import query, release_query
from forge_api.db.release_query import ProjectKey
from forge_api.db.release_tables import AliasType, Release, ReleaseAlias, ReleaseArtifact, ReleaseTrigger
from forge_api.environment import Origin, automatic
from forge_api.problem import conflict, forbidden, invalid, not_found
from forge_api.release_wire import CreateRelease, RegisteredView, ReleasePage, ReleaseView
from forge_api.service import audit
from forge_api.service.alias import folded, is_commit, name_release, tag_alias
from forge_api.service.audit import Actor, Resource
from forge_api.service.idempotency import Asked
from forge_api.service.platform import Platform
from forge_api.service.release_view import canonical_id, registered_view, release_summary, release_view
from forge_api.service.repository import fold, registered
from forge_runtime.release_client import FAILED
from forgec import ids

NUMBER_MAX: Final = 2**31 - 1

_log = logging.getLogger(__name__)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}")
_COMMIT_PREFIX: Final = re.compile(r"[0-9a-f]{7,39}")


async def create_release(platform: Platform, asked: Asked, request: CreateRelease) -> tuple[RegisteredView, bool]:
    """The release, and True if it was made now.

    One commit of a project has one release. One that is complete stays as it is, whatever is sent again; a partial one
    is completed in place. In both cases a tag or branch that it did not come from before becomes one more alias.
    """
    actor, now = asked.actor, platform.now()
    if actor.principal.role is Role.OPERATOR and request.trigger.trigger_type != "manual":
        raise forbidden("a release of a push or a tag is registered by its pipeline; by hand its trigger is manual")
    async with platform.database.write() as session:
        repository = await registered(session, fold(request.repository))
        key = ProjectKey(repository.full_name, request.project)
        await _check_run(session, key, request)
        counter = await release_query.counter(session, key)
        if (release_id := await asked.before(session, now)) is not None:
            return await _registered(platform, session, release_id), False
        release = await release_query.release_of_commit(session, key, request.commit_sha)
        created = release is None
        if release is None:
            counter.last += 1
            release = _new_release(key, request, counter.last, actor, now)
            session.add(release)
            await session.flush()
            session.add(_trigger(release, request, actor, now))
            await _put_artifacts(session, release, request, now)
            await _record(session, actor, "release.create", release, now)
        elif release.partial:
            await _put_artifacts(session, release, request, now)
            await _record(session, actor, "release.complete", release, now)
        await name_release(session, release, request)
        asked.remember(session, release.id, now)
        found = await _registered(platform, session, release.id)
    facts = {"release": found.canonical_id, "number": found.release_number, "partial": found.partial}
    _log.info("release registered" if created else "release was registered already", extra=facts)
    return found, created


async def get_release(platform: Platform, key: ProjectKey, reference: str) -> ReleaseView:
    async with platform.database.read() as session:
        release = await find_release(session, key, reference)
        if release is None:
            raise not_found(f'release "{reference}" of {key}')
        return release_view(
            release,
            await release_query.aliases(session, [release.id]),
            await release_query.trigger(session, release.id),
            await release_query.artifacts(session, release.id),
        )


async def list_releases(platform: Platform, key: ProjectKey, limit: int, offset: int) -> ReleasePage:
    async with platform.database.read() as session:
        found, total = await release_query.releases(session, key, limit, offset)
        aliases = await release_query.aliases(session, [release.id for release in found])
    views = [release_summary(release, aliases) for release in found]
    return ReleasePage(releases=views, total=total, limit=limit, offset=offset)


async def find_release(session: AsyncSession, key: ProjectKey, reference: str) -> Release | None:
    """By commit; else by alias, as it is or as tag and branch are folded into one; then by number; then by the
    beginning of its commit, which Problem 409 says to be ambiguous where it is that of several."""
    if is_commit(reference):
        return await release_query.release_of_commit(session, key, reference)
    for alias in dict.fromkeys((reference, tag_alias(key.project, reference), folded(reference))):
        release = await release_query.release_of_alias(session, key, alias)
        if release is not None:
            return release
    if _NUMBER.fullmatch(reference) and int(reference) <= NUMBER_MAX:
        release = await release_query.release_of_number(session, key, int(reference))
        if release is not None:
            return release
    if not _COMMIT_PREFIX.fullmatch(reference):
        return None
    found = await release_query.releases_of_prefix(session, key, reference, limit=2)
    if len(found) > 1:
        commits = " and ".join(release.commit_sha for release in found)
        raise conflict(f'"{reference}" is ambiguous: {commits} begin so; give more of the commit')
    return found[0] if found else None


async def origins_of(session: AsyncSession, release: Release) -> list[Origin]:
    """What the release came from. A branch or tag that came to its commit later made it a release of that as well."""
    trigger = await release_query.trigger(session, release.id)
    origins = [Origin(trigger.trigger_type, trigger.branch)]
    aliases = await release_query.aliases(session, [release.id])
    branches = (alias.branch for alias in aliases if alias.branch not in (None, trigger.branch))
    origins += [Origin("branch_push", branch) for branch in branches]
    if any(alias.alias_type == AliasType.TAG for alias in aliases):
        origins.append(Origin("tag"))
    return origins


async def later_release(session: AsyncSession, release: Release, environment: str) -> Release | None:
    """A release after this one that is active there: only a person takes an environment back."""
    active = await release_query.active_release(session, ProjectKey(release.repository, release.project), environment)
    return active if active is not None and active.release_number > release.release_number else None


async def _registered(platform: Platform, session: AsyncSession, release_id: str) -> RegisteredView:
    release = await release_query.release(session, release_id)
    assert release is not None
    aliases: Sequence[ReleaseAlias] = await release_query.aliases(session, [release_id])
    origins = await origins_of(session, release)
    taking = () if release.partial else automatic(platform.settings.environments, origins)
    auto_deploy = [name for name in taking if await later_release(session, release, name) is None]
    return registered_view(release, aliases, auto_deploy)


async def _check_run(session: AsyncSession, key: ProjectKey, request: CreateRelease) -> None:
    """Its row is locked before the counter, as by whoever merges events of the run: the other order would be a knot."""
    if request.pipeline_run_id is None:
        return
    run = await query.run(session, request.pipeline_run_id, lock=True)
    if run is None or (run.repository, run.commit_sha) != (key.repository, request.commit_sha):
        raise invalid("pipeline_run_id", "is not a run of this repository and commit")


def _new_release(key: ProjectKey, request: CreateRelease, number: int, actor: Actor, now: datetime) -> Release:
    return Release(
        id=ids.release_id(key.repository, key.project, request.commit_sha),
        repository=key.repository,
        project=key.project,
        commit_sha=request.commit_sha,
        release_number=number,
        pipeline_run_id=request.pipeline_run_id,
        oci_uri=request.oci_uri,
        oci_digest=request.oci_digest,
        partial=False,
        created_at=now,
        created_by=actor.subject,
    )


def _trigger(release: Release, request: CreateRelease, actor: Actor, now: datetime) -> ReleaseTrigger:
    trigger = request.trigger
    return ReleaseTrigger(
        release_id=release.id,
        trigger_type=trigger.trigger_type,
        branch=trigger.branch,
        tag=trigger.tag,
        triggered_by=trigger.triggered_by or actor.subject,
        triggered_at=now,
    )


async def _put_artifacts(session: AsyncSession, release: Release, request: CreateRelease, now: datetime) -> None:
    """The image and the artifacts as they are now; partial where one of them could not be published everywhere."""
    for old in await release_query.artifacts(session, release.id):
        await session.delete(old)
    await session.flush()
    release.oci_uri, release.oci_digest = request.oci_uri, request.oci_digest
    release.partial = any(place.status == FAILED for artifact in request.artifacts for place in artifact.published)
    for artifact in request.artifacts:
        session.add(
            ReleaseArtifact(
                id=ids.release_artifact_id(release.id, artifact.name),
                release_id=release.id,
                artifact_name=artifact.name,
                artifact_type=artifact.type,
                tracking_oci_uri=artifact.tracking_oci_uri,
                tracking_oci_digest=artifact.tracking_oci_digest,
                primary_published_uri=artifact.primary_published_uri,
                published=[place.model_dump() for place in artifact.published],
                created_at=now,
            )
        )
    await session.flush()


async def _record(session: AsyncSession, actor: Actor, action: str, release: Release, now: datetime) -> None:
    await audit.record(
        session,
        actor,
        action,
        Resource("release", release.id),
        now,
        release=canonical_id(release),
        number=release.release_number,
        oci_digest=release.oci_digest,
        partial=release.partial,
    )
