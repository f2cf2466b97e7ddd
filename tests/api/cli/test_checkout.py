"""What `forge run` asks for: the commit of a checkout, under the names of the event that it plays."""

import subprocess
from pathlib import Path

import pytest

from forge_api.cli.checkout import Checkout, NotACheckout, Trigger, read_checkout


def git(directory: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
    subprocess.run(["git", "-C", str(directory), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    repository = tmp_path / "shop"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    git(repository, "commit", "-q", "--allow-empty", "-m", "first")
    return repository


@pytest.mark.parametrize("trigger", ["manual", "push"])
def test_a_branch_is_named_by_name_and_reference(directory: Path, trigger: Trigger) -> None:
    checkout = read_checkout(directory)

    assert checkout.run_request(trigger) == {
        "repository": "local/shop",
        "commit_sha": checkout.commit_sha,
        "trigger_type": trigger,
        "branch": "main",
        "ref": "refs/heads/main",
    }


def test_a_pushed_tag_is_a_push_without_a_branch(directory: Path) -> None:
    git(directory, "tag", "web/v1.0.0")

    body = read_checkout(directory).run_request("tag")

    assert (body["trigger_type"], body["ref"], "branch" in body) == ("push", "refs/tags/web/v1.0.0", False)


def test_one_of_several_tags_has_to_be_named(directory: Path) -> None:
    git(directory, "tag", "v1")
    git(directory, "tag", "v2")
    checkout = read_checkout(directory)

    assert checkout.run_request("tag", "v2")["ref"] == "refs/tags/v2"
    with pytest.raises(NotACheckout, match="at HEAD: v1, v2; name one with --tag"):
        checkout.run_request("tag")
    with pytest.raises(NotACheckout, match="tag v3 is not at HEAD"):
        checkout.run_request("tag", "v3")


def test_a_tag_that_is_not_there_is_told(directory: Path) -> None:
    with pytest.raises(NotACheckout, match="there is none at HEAD"):
        read_checkout(directory).run_request("tag")


def test_a_commit_on_no_branch_can_be_run_and_not_pushed(directory: Path) -> None:
    git(directory, "checkout", "-q", "--detach")
    checkout: Checkout = read_checkout(directory)

    assert "ref" not in checkout.run_request("manual")
    with pytest.raises(NotACheckout, match="on no branch"):
        checkout.run_request("push")
