"""The names of a release beside its commit: what number, tag and branch give it, and whether it may have them.

    number 42               42
    tag web/v1.2.3          v1.2.3       of project web; where one tag is for all projects, the tag as it is
    branch feature/x        feature-x-42

No two releases of a project share a name. A tag or a name that somebody chose has to be free; what the number gives may
be taken already by a tag that looks like one, and then the release does without. A tag that looks like a commit names
nothing: that name is the commit's.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db import release_query
from forge_api.db.release_query import ProjectKey
from forge_api.db.release_tables import AliasType, Release, ReleaseAlias
from forge_api.problem import conflict
from forge_api.release_wire import CreateRelease, Trigger
from forge_runtime.release_client import CONFLICT
from forgec import ids

BRANCH_CHARS_MAX: Final = 100
"""Of a branch's name within an alias, which is to fit a tag of an image (128) with its number."""

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_NO_TAG_CHARACTERS: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Alias:
    name: str
    type: AliasType
    branch: str | None = None

    @property
    def dispensable(self) -> bool:
        return self.type in (AliasType.NUMERIC, AliasType.BRANCH)


def aliases_of(number: int, project: str, trigger: Trigger, custom: Iterable[str] = ()) -> list[Alias]:
    """Without repeats; of two types for one name the first counts."""
    wanted = [Alias(str(number), AliasType.NUMERIC)]
    if trigger.tag is not None and not is_commit(tag := tag_alias(project, trigger.tag)):
        wanted.append(Alias(tag, AliasType.TAG))
    if trigger.branch is not None:
        wanted.append(Alias(f"{folded(trigger.branch)}-{number}", AliasType.BRANCH, trigger.branch))
    wanted += [Alias(name, AliasType.CUSTOM) for name in custom]
    return list({alias.name: alias for alias in reversed(wanted)}.values())[::-1]


def tag_alias(project: str, tag: str) -> str:
    return tag.removeprefix(f"{project}/")


def is_commit(name: str) -> bool:
    """Whether the name is one of a commit, and of nothing else."""
    return _COMMIT.fullmatch(name) is not None


def folded(branch: str) -> str:
    """With slashes, and whatever else a tag of an image cannot hold, as hyphens."""
    return _NO_TAG_CHARACTERS.sub("-", branch)[:BRANCH_CHARS_MAX].lstrip("-.") or "branch"


async def name_release(session: AsyncSession, release: Release, request: CreateRelease) -> Sequence[ReleaseAlias]:
    """Give a release the aliases that it has not got yet; Problem 409 where another one has what must be its own."""
    wanted = aliases_of(release.release_number, release.project, request.trigger, request.aliases)
    key = ProjectKey(release.repository, release.project)
    taken = {alias.alias: alias for alias in await release_query.aliases_named(session, key, [a.name for a in wanted])}
    for alias in wanted:
        other = taken.get(alias.name)
        if other is None:
            session.add(
                ReleaseAlias(
                    id=ids.release_alias_id(release.id, alias.name),
                    release_id=release.id,
                    repository=release.repository,
                    project=release.project,
                    alias=alias.name,
                    alias_type=alias.type,
                    branch=alias.branch,
                )
            )
        elif other.release_id != release.id and not alias.dispensable:
            raise conflict(
                f'the {alias.type} alias "{alias.name}" of {key} belongs to another release; a release keeps its names,'
                " so give this one a new name",
                reason=CONFLICT,
            )
    await session.flush()
    return await release_query.aliases(session, [release.id])
