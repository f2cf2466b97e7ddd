"""Registering repositories: only what is registered may have runs."""

import re
from urllib.parse import urlsplit

from forge_api.db import query
from forge_api.db.tables import Repository
from forge_api.problem import conflict, invalid, not_found
from forge_api.service import audit
from forge_api.service.audit import Actor, Resource
from forge_api.service.platform import Platform
from forge_api.wire import RegisterRepository, RepositoryView

_SSH_SHORT = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\s]+")


def fold(full_name: str) -> str:
    """The one spelling of a repository's name: hosts do not tell names apart by case."""
    return full_name.lower()


async def put_repository(
    platform: Platform, actor: Actor, full_name: str, request: RegisterRepository
) -> tuple[RepositoryView, bool]:
    """Register, or change what is registered; True if it was new."""
    full_name = fold(full_name)
    _check_clone_url(request.clone_url, files=platform.settings.file_clone)
    async with platform.database.write() as session:
        if request.github_repository_id is not None:
            other = await query.repository_by_github_id(session, request.github_repository_id)
            if other is not None and other.full_name != full_name:
                raise conflict(f"github_repository_id {other.github_repository_id} belongs to {other.full_name}")
        row = await query.repository(session, full_name, lock=True)
        created = row is None
        if row is None:
            row = Repository(full_name=full_name, created_by=actor.subject, created_at=platform.now())
            session.add(row)
        for name, value in request.model_dump().items():
            setattr(row, name, value)
        resource = Resource("repository", full_name)
        await audit.record(session, actor, "repository.put", resource, platform.now(), **request.model_dump())
        return _view(row), created


async def get_repository(platform: Platform, full_name: str) -> RepositoryView:
    async with platform.database.read() as session:
        row = await query.repository(session, fold(full_name))
        if row is None:
            raise not_found(f"repository {full_name}")
        return _view(row)


def _check_clone_url(url: str, *, files: bool) -> None:
    """No secrets in a URL (it is shown, logged, handed to workers), and no transport that runs a command (`ext::`)."""
    if _SSH_SHORT.fullmatch(url):
        return
    try:
        parts = urlsplit(url)
        credentials = parts.password is not None or (parts.scheme != "ssh" and parts.username is not None)
    except ValueError:
        raise invalid("clone_url", "is not a URL") from None
    if credentials:
        raise invalid("clone_url", "must not hold credentials; workers have their own")
    if parts.scheme == "file" and not files:
        raise invalid("clone_url", "file:// is accepted only by a platform on one machine")
    schemes = {"https", "ssh"} | ({"file", "http"} if files else set())
    if parts.scheme not in schemes or not parts.path.strip("/") or (parts.scheme != "file" and not parts.hostname):
        raise invalid("clone_url", f"must be a URL of {', '.join(sorted(schemes))}, or user@host:path")


def _view(row: Repository) -> RepositoryView:
    return RepositoryView(
        full_name=row.full_name,
        clone_url=row.clone_url,
        github_repository_id=row.github_repository_id,
        enabled=row.enabled,
        max_concurrent_runs=row.max_concurrent_runs,
        created_by=row.created_by,
        created_at=row.created_at,
    )
