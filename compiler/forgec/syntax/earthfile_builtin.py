"""The ARGs that an Earthfile's build tool sets itself: nobody may pass them."""

from typing import Final

_OF_THE_BUILD: Final = (
    *("BUILD_SHA", "CI", "CI_RUNNER", "LOCALLY", "PUSH", "SOURCE_DATE_EPOCH", "VERSION"),
    *("GIT_AUTHOR", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_NAME", "GIT_BRANCH", "GIT_CO_AUTHORS", "GIT_CONTENT_HASH"),
    *("GIT_COMMIT_AUTHOR_TIMESTAMP", "GIT_COMMIT_TIMESTAMP", "GIT_HASH", "GIT_ORIGIN_URL", "GIT_ORIGIN_URL_SCRUBBED"),
    *("GIT_PROJECT_NAME", "GIT_REFS", "GIT_SHORT_HASH", "GIT_TAG"),
    *("TARGET", "TARGET_NAME", "TARGET_PROJECT", "TARGET_PROJECT_NO_TAG", "TARGET_TAG", "TARGET_TAG_DOCKER"),
)
_OF_A_PLATFORM: Final = ("ARCH", "OS", "PLATFORM", "VARIANT")

BUILT_IN_ARGS: Final = frozenset(
    {f"{prefix}_{name}" for prefix in ("EARTH", "EARTHLY") for name in _OF_THE_BUILD}
    | {f"{whose}{name}" for whose in ("NATIVE", "TARGET", "USER") for name in _OF_A_PLATFORM}
)
"""Both spellings: the tool was renamed, and reads the older one still."""
