"""A golden case: a directory with an input and what it compiled to.

    discovery.json    the input, a document; or
    case.json         a repository and the event to assume, and the options of the compilation
    plan.json         expected, written by `forgec golden update`
    workflow.yaml     expected, likewise

Both inputs at once are a case of a document with options. Other files are nobody's business.
"""

from typing import Final, Literal

import msgspec

from forgec.compilation import Options
from forgec.diagnostic import Code, ForgeError, fail, has_errors
from forgec.discovery.model import ShortText
from forgec.discovery.place import place
from forgec.discovery.trigger import Trigger
from forgec.source import Source, whole_file
from forgec.syntax.decode import decode
from forgec.syntax.document import parse_json

CASE_FILE: Final = "case.json"
DOCUMENT_FILE: Final = "discovery.json"
PLAN_FILE: Final = "plan.json"
WORKFLOW_FILE: Final = "workflow.yaml"


class Case(Options, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """`directory` is relative to the case; None where the input is a document, which says itself what event it is."""

    directory: ShortText | None = None
    trigger: Literal["push", "pull_request", "manual"] = "manual"
    branch: ShortText | None = None
    tag: ShortText | None = None

    @property
    def event(self) -> Trigger:
        ref = f"refs/heads/{self.branch}" if self.branch else f"refs/tags/{self.tag}" if self.tag else None
        return Trigger(ref=ref, branch=self.branch, tag=self.tag, trigger_type=self.trigger)

    @property
    def options(self) -> Options:
        return Options(**{each.name: getattr(self, each.name) for each in msgspec.structs.fields(Options)})


def read_case(name: str, source: Source | None, *, has_document: bool) -> Case:
    """`name` is what findings call the case, `source` its case.json. Raises ForgeError with what is wrong with it."""
    if source is None:
        if has_document:
            return Case()
        message = f"there are golden files, and neither {DOCUMENT_FILE} nor {CASE_FILE} says what of"
        raise fail(Code.GOLDEN_CASE_INVALID, message, whole_file(name), help="make one of them, or delete the case")
    node = parse_json(source)
    case, problems = decode(node, Case)
    if case is None or has_errors(problems):
        raise ForgeError(problems)
    reason = _contradiction(case, has_document=has_document)
    if reason is not None:
        raise fail(Code.GOLDEN_CASE_INVALID, reason, place(node, "directory"))
    for what, called in (("branch", case.branch), ("tag", case.tag)):
        if called is not None and (not called or called.startswith("refs/")):
            message = f'no {what} is called "{called}"; give its name, without what a full ref has before it'
            raise fail(Code.GOLDEN_CASE_INVALID, message, place(node, what))
    return case


def _contradiction(case: Case, *, has_document: bool) -> str | None:
    with_event = case.trigger != "manual" or case.branch is not None or case.tag is not None
    if case.directory is not None and has_document:
        return f"the case has two inputs, this directory and {DOCUMENT_FILE}"
    if case.directory is None and not has_document:
        return f'the case has no input: give a "directory", or put a {DOCUMENT_FILE} beside this file'
    if case.directory is None and with_event:
        return "an event goes with a directory; a discovery document says itself what event it is of"
    if case.branch is not None and case.tag is not None:
        return "the event has both a branch and a tag; a commit is known by one of them"
    if case.trigger == "push" and case.branch is None and case.tag is None:
        return "a push is of a branch or a tag; give one of them"
    return None
