"""What can go wrong with a repository, by what it means for the job: its code and its class."""

from typing import ClassVar


class GitError(Exception):
    """Git could not do it now; the same may succeed later. The message is fit for people and holds no secret."""

    code: ClassVar[str] = "GIT_FETCH_FAILED"
    error_class: ClassVar[str] = "infra"
    retryable: ClassVar[bool] = True


class CommitNotFound(GitError):
    """The repository is there and does not hold the commit."""

    code = "COMMIT_NOT_FOUND"
    error_class = "config"
    retryable = False


class ObjectRefused(GitError):
    """The repository holds an object that git does not let in, since its checkout could do harm."""

    code = "CONFIG_INVALID"
    error_class = "config"
    retryable = False


class AccessRefused(GitError):
    """The server is there and does not let us in, or has no such repository: asking again changes nothing."""

    error_class = "config"
    retryable = False


class TooLarge(GitError):
    """The commit, or what the server sends for it, is beyond a limit of the cache."""

    code = "CONFIG_INVALID"
    error_class = "config"
    retryable = False


class FileRefused(GitError):
    """The commit has a path, or a link, that no file system here takes."""

    code = "CONFIG_INVALID"
    error_class = "config"
    retryable = False


class TimeLimit(GitError):
    """A command was stopped at its limit."""


class UrlRefused(GitError):
    """A clone URL that is never passed to git."""

    code = "CONFIG_INVALID"
    error_class = "config"
    retryable = False
