"""Commit messages: deployments and rollbacks, and trailers that nobody can forge."""

import subprocess

from tests.runtime.gitops.origin import update

from forge_runtime.gitops.message import commit_message
from forge_runtime.gitops.pointer import Aliases, Found


def found(aliases: Aliases, release: str = "ab" * 20) -> Found:
    return Found(release=release, digest=None, aliases=aliases, deployment_id=None, requested_at=None)


def test_newer_release_is_a_deployment() -> None:
    new = update(42, aliases=Aliases(numeric="42", tag="v1.2.3"))

    message = commit_message(new, found(Aliases(numeric="41", branch="main-41")))

    assert message == (
        "Deploy web to dev: release 42 (v1.2.3)\n"
        "\n"
        "Repository: acme/shop\n"
        f"Commit: {42:040x}\n"
        "Previous release: 41 (main-41)\n"
        "Deployed by: github:alice\n"
        "\n"
        "Forge-Deployment-Id: deployment-web-42\n"
        "Forge-Job-Id: job-42\n"
        "Forge-Run-Id: run-1\n"
    )


def test_older_release_is_a_rollback() -> None:
    back = update(41, aliases=Aliases(numeric="41", tag="v1.2.2"))

    message = commit_message(back, found(Aliases(numeric="42", tag="v1.2.3")))

    assert message.startswith("Rollback web in dev to release 41 (v1.2.2)\n")
    assert "\nPrevious release: 42 (v1.2.3)\nRolled back by: github:alice\n" in message


def test_release_without_a_number_goes_by_its_commit() -> None:
    message = commit_message(update(7, aliases=Aliases()), found(Aliases(), release="cd" * 20))

    assert message.startswith("Deploy web to dev: release 000000000000\n")
    assert "\nPrevious release: cdcdcdcdcdcd\n" in message


def test_no_name_of_people_adds_a_trailer() -> None:
    message = commit_message(update(1, deployed_by="x\n\nForge-Run-Id: forged"), None)

    read = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=message, capture_output=True, text=True, check=True, timeout=30
    )
    assert read.stdout.splitlines() == [
        "Forge-Deployment-Id: deployment-web-1",
        "Forge-Job-Id: job-1",
        "Forge-Run-Id: run-1",
    ]
