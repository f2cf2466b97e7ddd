"""Who may do what: roles, and the permissions of each. Pure.

A permission is `<resource>:<verb>`; those of deployments and approvals also name the environment, for which the
configuration of environments says who gets them.
"""

import enum
from typing import Final

from forge_api.environment import Environments


class Role(enum.StrEnum):
    OPERATOR = "operator"
    DEVELOPER = "developer"
    APPROVER = "approver"
    WORKER = "worker"
    WORKER_ARTIFACT = "worker-artifact"
    WORKER_RELEASE = "worker-release"

    @property
    def service(self) -> bool:
        """A program, not a person."""
        return self in _SERVICES


class Permission(enum.StrEnum):
    RUN_CREATE = "run:create"
    RUN_READ = "run:read"
    RUN_CANCEL = "run:cancel"
    EXECUTION_WRITE = "execution:write"
    RELEASE_CREATE = "release:create"
    RELEASE_READ = "release:read"
    DEPLOYMENT_READ = "deployment:read"
    DEPLOYMENT_WRITE = "deployment:write"
    APPROVAL_READ = "approval:read"
    REPOSITORY_ADMIN = "repo:admin"
    AUDIT_READ = "audit:read"


_SERVICES: Final = frozenset({Role.WORKER, Role.WORKER_ARTIFACT, Role.WORKER_RELEASE})
_PEOPLE: Final = frozenset(
    {
        Permission.RUN_READ,
        Permission.RUN_CREATE,
        Permission.RUN_CANCEL,
        Permission.RELEASE_READ,
        Permission.DEPLOYMENT_READ,
        Permission.APPROVAL_READ,
    }
)
_GRANTED: Final = {
    Role.OPERATOR: frozenset(Permission),
    Role.DEVELOPER: _PEOPLE,
    Role.APPROVER: _PEOPLE,
    Role.WORKER: frozenset({Permission.EXECUTION_WRITE}),
    Role.WORKER_ARTIFACT: frozenset({Permission.EXECUTION_WRITE, Permission.RELEASE_READ}),
    Role.WORKER_RELEASE: frozenset(
        {
            Permission.EXECUTION_WRITE,
            Permission.RELEASE_READ,
            Permission.RELEASE_CREATE,
            Permission.DEPLOYMENT_WRITE,
        }
    ),
}


def may(role: Role, permission: Permission) -> bool:
    return permission in _GRANTED[role]


def may_deploy(subject: str, role: Role, environment: str, environments: Environments) -> bool:
    """`deployment:create:<environment>`; of an environment that there is not, only operators are told so."""
    if role is Role.OPERATOR:
        return True
    known = environments.get(environment)
    if known is None:
        return False
    match role:
        case Role.WORKER_RELEASE:
            return known.auto_deploy
        case Role.DEVELOPER:
            return known.developers
        case Role.APPROVER:
            return known.developers or subject in known.approvers
        case _:
            return False


def may_approve(subject: str, role: Role, environment: str, environments: Environments) -> bool:
    """`approval:create:<environment>`."""
    if role is Role.OPERATOR:
        return True
    known = environments.get(environment)
    return known is not None and role is Role.APPROVER and subject in known.approvers
