"""Whether a workflow is what its input compiles to: digests of input, plan and output, each from whoever knows it.

              file                        receipt    recompiled
    input     -                           yes        the document that is given now
    plan      named in the manifest (*)   yes        yes
    output    its bytes                   yes        yes

    (*) not in the dynamic form, whose plan is found at run time

A receipt is what `forgec compile --receipt` leaves beside the workflow. It holds the options too; without one a
compilation with the default options is assumed.
"""

import enum
import re
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from forgec.compilation import Compiled, Options
from forgec.diagnostic import ForgeError, has_errors
from forgec.discovery.model import Discovery, ShortText
from forgec.plan.digest import canonical_json, digest_of, plan_digest
from forgec.source import Source
from forgec.syntax.decode import decode
from forgec.syntax.document import parse_json

Digest = Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z", description='"sha256:" and 64 hexadecimal digits')]

_NAMED_PLAN = re.compile(rb"(?<![\w@])sha256:[0-9a-f]{64}")  # after @ it is an image's


class Receipt(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """`compiler` is the version of forgec that made it."""

    schema_version: Literal[1] = 1
    compiler: ShortText
    options: Options
    input: Digest
    plan: Digest
    output: Digest


class State(enum.StrEnum):
    SAME = "same"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One of input, plan and output; `digests` by who says so."""

    what: str
    digests: dict[str, str]

    @property
    def state(self) -> State:
        """Unknown where fewer than two say anything."""
        if len(set(self.digests.values())) > 1:
            return State.DIFFERS
        return State.SAME if len(self.digests) > 1 else State.UNKNOWN


def receipt_of(document: Discovery, compiled: Compiled, options: Options, *, compiler: str) -> Receipt:
    return Receipt(
        compiler=compiler,
        options=options,
        input=input_digest(document),
        plan=plan_digest(compiled.plan),
        output=digest_of(compiled.workflow),
    )


def input_digest(document: Discovery) -> str:
    """Of what the document says, however it is spaced and ordered."""
    return digest_of(canonical_json(document))


def emit_receipt(receipt: Receipt) -> bytes:
    return msgspec.json.format(msgspec.json.encode(receipt), indent=2) + b"\n"


def read_receipt(source: Source) -> Receipt:
    """Raises ForgeError where it is none."""
    receipt, problems = decode(parse_json(source), Receipt)
    if receipt is None or has_errors(problems):
        raise ForgeError(problems)
    return receipt


def verify(workflow: bytes, *, receipt: Receipt | None, recompiled: Receipt | None) -> tuple[Check, ...]:
    """Of input, plan and output. `recompiled` is the receipt of compiling the input that is given now."""
    named = {match.group().decode() for match in _NAMED_PLAN.finditer(workflow)}
    in_file = {"file": " and ".join(sorted(named))} if named else {}
    receipts = {who: each for who, each in (("receipt", receipt), ("recompiled", recompiled)) if each is not None}
    return (
        Check(what="input", digests={who: each.input for who, each in receipts.items()}),
        Check(what="plan", digests=in_file | {who: each.plan for who, each in receipts.items()}),
        Check(
            what="output",
            digests={"file": digest_of(workflow)} | {who: each.output for who, each in receipts.items()},
        ),
    )
