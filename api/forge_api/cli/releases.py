"""`forge releases`, `release show`, `deploy` and `approve`: what each asks of the API and shows.

Releases are named OWNER/REPOSITORY/PROJECT/REFERENCE, where a reference is whatever the API knows one by: its number, a
tag, another alias, or at least seven digits of the commit.
"""

import sys
import time
from dataclasses import dataclass
from typing import Any, Final

from forge_api.cli.client import ApiClient
from forge_api.cli.exit import EXIT_FAILED, EXIT_OK
from forge_api.cli.view import clean

WAIT_S_MAX: Final = 900.0
"""As long as a deployment's job may run, and wait in a queue that is short."""

POLL_S: Final = 0.5

_SHOWN_MAX: Final = 20


class BadReference(ValueError):
    """What was given cannot name a project or a release."""


@dataclass(frozen=True, slots=True)
class Named:
    """A project, and of a release the reference."""

    project: str
    reference: str | None = None


def read_name(text: str, *, release: bool) -> Named:
    """BadReference unless it has as many parts as it needs."""
    parts = text.strip("/").split("/", 3)
    if len(parts) != (4 if release else 3) or not all(parts):
        wanted = "OWNER/REPOSITORY/PROJECT" + ("/REFERENCE" if release else "")
        raise BadReference(f'"{text}" is not {wanted}')
    return Named("/".join(parts[:3]), parts[3] if release else None)


def list_releases(client: ApiClient, name: str) -> int:
    named = read_name(name, release=False)
    page = client.releases(named.project)
    for release in page["releases"]:
        print(_line(release))
    if not page["releases"]:
        print(f"no release of {clean(named.project)} yet", file=sys.stderr)
    elif page["total"] > len(page["releases"]):
        print(f"... and {page['total'] - len(page['releases'])} older ones")
    return EXIT_OK


def show_release(client: ApiClient, name: str) -> int:
    release = _find(client, name)
    trigger = release["trigger"]
    origin = trigger["tag"] or trigger["branch"] or "by hand"
    rows = [
        ("release", f"{release['release_number']}" + (" (partial)" if release["partial"] else "")),
        ("commit", release["commit_sha"]),
        ("names", ", ".join(release["aliases"])),
        ("from", f"{trigger['trigger_type']} {origin}, {trigger['triggered_by']}, {trigger['triggered_at']}"),
        ("image", f"{release['oci_uri']} {release['oci_digest']}"),
    ]
    for artifact in release["artifacts"]:
        rows.append(("artifact", f"{artifact['name']} ({artifact['type']}) {artifact['primary_published_uri'] or ''}"))
        rows += [
            ("", f"{place['publisher']} {place['status']} {place['uri'] or ''}") for place in artifact["published"]
        ]
    for label, text in rows:
        print(f"{label:<9} {clean(text).rstrip()}")
    return EXIT_OK


def deploy(client: ApiClient, name: str, environment: str, *, approval: str | None, wait: bool) -> int:
    """Ask for it, with an approval that there is unless one is named, and wait until it is active or failed."""
    release = _find(client, name)
    approval = approval or _approval(client, release["id"], environment)
    deployment = client.deploy(release["id"], environment, approval)
    print(f"deployment {deployment['id']} of {release['canonical_id']} to {environment}: {deployment['status']}")
    deadline = time.monotonic() + WAIT_S_MAX
    while wait and deployment["status"] == "pending":
        if time.monotonic() > deadline:
            print(f"still pending after {WAIT_S_MAX:.0f} s; `forge deploy` again goes on waiting", file=sys.stderr)
            return EXIT_FAILED
        time.sleep(POLL_S)
        deployment = client.deployment(deployment)
    if deployment["status"] == "failed":
        error = deployment["error"] or {}
        print(f"failed: {clean(str(error.get('message')))} ({clean(str(error.get('code')))})", file=sys.stderr)
        return EXIT_FAILED
    if deployment["status"] != "pending":
        print(f"{deployment['status']}, pointer commit {deployment['gitops_commit_sha']}")
    return EXIT_OK


def approve(client: ApiClient, name: str, environment: str, justification: str) -> int:
    release = _find(client, name)
    approval = client.approve(release["id"], environment, justification)
    print(
        f"approval {approval['approval_id']} of {release['canonical_id']} for {environment}"
        f" by {clean(approval['approver'])}, until {approval['expires_at']}"
    )
    return EXIT_OK


def _find(client: ApiClient, name: str) -> dict[str, Any]:
    named = read_name(name, release=True)
    assert named.reference is not None
    return client.release(named.project, named.reference)


def _approval(client: ApiClient, release_id: str, environment: str) -> str | None:
    """The newest one that counts, if there is any."""
    found = client.approvals(release_id, environment)
    return next((str(each["approval_id"]) for each in found if each["status"] == "active"), None)


def _line(release: dict[str, Any]) -> str:
    names = ", ".join(alias for alias in release["aliases"] if alias != str(release["release_number"]))
    partial = "  partial" if release["partial"] else ""
    return clean(
        f"{release['release_number']:>5}  {release['commit_sha'][:10]}  {release['created_at'][:19]}Z  {names}{partial}"
    )
