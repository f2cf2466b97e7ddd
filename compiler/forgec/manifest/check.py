"""Where every text of a finished manifest comes from: never from a user.

A static manifest may say what the dynamic one of the same options says, which has seen no repository, and besides that
only ids that the compiler made. Tags are those of a closed list. How large it may be is in `size`; what holds for any
workflow, whoever made it, is the lint's to check.
"""

import re
from collections.abc import Iterator
from typing import Any

from forgec.diagnostic import Code, Diagnostic
from forgec.manifest import argo

_TAG = re.compile(
    r"\{\{(?:item|workflow\.(?:name|status)|inputs\.parameters\.(?:plan|unit)"
    r"|steps\.discovery\.outputs\.parameters\.(?:plan|release|group-[0-9]{2}))\}\}"
)
_MADE = re.compile(
    r"sha256:[0-9a-f]{64}|forge\.io/plan|[0-9a-f]{12}"  # the plan's digest, its label
    r"|(?:forge-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # the run's id, the workflow's name
    r'|\[(?:"[a-z0-9-]{1,80}"(?:,"[a-z0-9-]{1,80}")*)?\]'  # unit ids
    r"|(?:group-[0-9]{2}|release)-[0-9]+"  # a further step of an entry whose list is cut
)


def check_workflow(workflow: argo.Workflow, known: argo.Workflow) -> list[Diagnostic]:
    """Every broken rule; `known` is the dynamic manifest of the same options, and may be the workflow itself."""
    texts = set(_strings(argo.to_builtins(workflow)))
    own = set(_strings(argo.to_builtins(known)))
    foreign = sorted(text for text in texts if text not in own and not _MADE.fullmatch(text))
    tagged = sorted(text for text in texts if "{{" in _TAG.sub("", text))
    found = [f"the manifest would carry a text that the compiler did not make: {text!r}" for text in foreign]
    found += [f"the manifest would carry a tag that the compiler does not know: {text!r}" for text in tagged]
    return [Diagnostic(Code.NAME_INVALID, message) for message in found]


def _strings(value: Any) -> Iterator[str]:
    """Every text of a document, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
