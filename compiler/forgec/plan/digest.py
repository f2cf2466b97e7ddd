"""Documents by content: canonical JSON, and the digest that names it."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from forgec.plan.model import Plan


def canonical_json(document: msgspec.Struct | Mapping[str, Any]) -> bytes:
    """One text for one value: keys sorted, no spaces, UTF-8; the same on every machine."""
    return msgspec.json.encode(document, order="sorted")


def digest_of(data: bytes) -> str:
    """`sha256:<64 hex>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def plan_digest(plan: Plan) -> str:
    return digest_of(canonical_json(plan))


def read_plan(data: bytes) -> Plan:
    """A stored plan; msgspec.ValidationError where it is none (its digest was verified before)."""
    return msgspec.json.decode(data, type=Plan)
