"""Rules on tags: every text of a template is template source to Argo, and `{{` cannot be escaped."""

import re
from collections.abc import Iterator
from typing import Any

from forgec.diagnostic import Code
from forgec.lint.finding import Finding, Path
from forgec.lint.manifest import GROUP_KINDS, Manifest, Template, texts
from forgec.lint.scope import (
    ROOTS,
    Scope,
    call_scope,
    inline_scope,
    output_scope,
    seen_by_calls,
    spec_scope,
    template_scope,
    workflow_scope,
)
from forgec.manifest.target import Target
from forgec.nearest import did_you_mean

_TAG = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_EXPRESSION = "="


def tags(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: a tag names something. Expressions (`{{=`) are evaluated at run time and not read here.

    Outside of the templates only the controller reads tags, and leaves those that name nothing in what it makes.
    """
    base = workflow_scope(manifest)
    for template in manifest.templates:
        for path, text, known in _places(manifest, template, base, base):
            yield from _text(path, text, known)
    outside = {key: value for key, value in manifest.spec.items() if key != "templates"}
    found = _tagged(outside, ("spec",))
    known = spec_scope(base, manifest) if found else base
    for path, text in found:
        yield from _text(path, text, known)


def _places(
    manifest: Manifest, template: Template, around: Scope, workflow: Scope
) -> Iterator[tuple[Path, str, Scope]]:
    """Every text of a template that has a tag, with what may be named there."""
    scope = template_scope(around, template, manifest.retry_of(template))
    if not template.is_group:
        for path, text in _tagged(template.body, template.path):
            yield path, text, scope
        return
    whole = output_scope(scope, manifest, template)
    for call, kind, seen in seen_by_calls(template):
        found = _tagged(call.body, call.path)
        known = call_scope(whole, call, kind, seen) if found else whole
        for path, text in found:
            yield path, text, known
        if call.inline is not None:  # a second time, since Argo reads it as a template of its own as well
            yield from _places(manifest, call.inline, inline_scope(workflow, call), workflow)
    others = {key: value for key, value in template.body.items() if key not in GROUP_KINDS}
    for path, text in _tagged(others, template.path):
        yield path, text, whole


def _tagged(value: Any, path: Path) -> list[tuple[Path, str]]:
    return [found for found in texts(value, path) if "{{" in found[1]]


def _text(path: Path, text: str, scope: Scope) -> Iterator[Finding]:
    for match in _TAG.finditer(text):
        tag = match.group(1)
        name = tag.strip()
        if tag.startswith(_EXPRESSION) or scope.has(name):
            continue
        if name == "item" or name.startswith(ROOTS):
            help_ = did_you_mean(name, scope.known())
            yield Finding(Code.TAG_UNRESOLVED, path, f'"{{{{{tag}}}}}" names nothing that is known here', help=help_)
        else:
            message = f'"{{{{{tag}}}}}" is no variable of Argo\'s, and stays in the text as it is'
            yield Finding(Code.TAG_FOREIGN, path, message, help="if that is meant, nothing is wrong")
    if "{{" in _TAG.sub("", text):
        message = 'a "{{" is not closed in its text, and Argo takes what follows in the manifest for its tag'
        yield Finding(
            Code.TAG_OPEN, path, message, help="braces cannot be escaped: keep the text in a file of the image"
        )
