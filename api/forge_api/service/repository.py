"""Registering repositories: only what is registered may have runs."""

from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db import query
from forge_api.db.tables import Repository
from forge_api.problem import conflict, forbidden, invalid, not_found
from forge_api.service import audit
from forge_api.service.audit import Actor, Resource
from forge_api.service.platform import Platform
from forge_api.settings import LOCAL_OWNER
from forge_api.wire import RegisterRepository, RepositoryView
from forge_runtime.git.clone_url import CloneUrl, protocols
from forge_runtime.git.error import UrlRefused
from forge_runtime.release_client import POLICY


def fold(full_name: str) -> str:
    """The one spelling of a repository's name: hosts do not tell names apart by case."""
    return full_name.lower()


async def put_repository(
    platform: Platform, actor: Actor, full_name: str, request: RegisterRepository
) -> tuple[RepositoryView, bool]:
    """Register, or change what is registered; True if it was new."""
    full_name = fold(full_name)
    local = platform.settings.file_clone and full_name.startswith(f"{LOCAL_OWNER}/")
    _check_clone_url(request.clone_url, files=local)
    async with platform.database.write() as session:
        await query.hold_name(session, "repositories")  # of names and GitHub's ids alike: they are registered rarely
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


async def registered(session: AsyncSession, full_name: str, *, lock: bool = False) -> Repository:
    """A repository that work may be done for, by its folded name. Locked, admissions to it come one after another."""
    row = await query.repository(session, full_name, lock=lock)
    if row is None:
        raise forbidden(
            f"repository {full_name} is not registered; PUT /v1/repositories/{full_name} registers it", reason=POLICY
        )
    if not row.enabled:
        raise forbidden(f"repository {full_name} is disabled", reason=POLICY)
    return row


def _check_clone_url(url: str, *, files: bool) -> None:
    """The workers' own rule, so that nothing is registered whose every run would fail."""
    try:
        CloneUrl(url, protocols=protocols(files=files))
    except UrlRefused as refused:
        raise invalid("clone_url", str(refused)) from None


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
