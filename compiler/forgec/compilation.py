"""A whole compilation as one call: a document and the options of `forgec compile`, and what comes of them.

For whoever compiles again to compare (golden workflows, `forgec verify`); the stages themselves are in `pipeline`.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

from forgec import pipeline
from forgec.discovery.model import Discovery, ShortText
from forgec.manifest.lower import ManifestOptions
from forgec.plan.model import SHARD_SIZE_DEFAULT, Granularity, Plan

ShardSize = Annotated[int, Meta(ge=1, le=999_999, description="a whole number from 1 to 999999")]


class Options(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """The options of `forgec compile` that say what the workflow becomes; None is the compiler's own choice."""

    shard_size: ShardSize = SHARD_SIZE_DEFAULT
    granularity: Granularity = "shard"
    dynamic: bool = False
    run_id: ShortText | None = None
    image: ShortText | None = None
    argo_target: ShortText | None = None

    def of_manifest(self) -> ManifestOptions:
        given: dict[str, Any] = {"image": self.image, "argo_target": self.argo_target}
        return ManifestOptions(
            run_id=self.run_id, **{name: value for name, value in given.items() if value is not None}
        )


class Compiled(Struct, frozen=True, kw_only=True):
    """`workflow` is the manifest as YAML."""

    plan: Plan
    workflow: bytes


def compile_document(document: Discovery, options: Options) -> Compiled:
    """Raises ForgeError with everything that keeps the document from being compiled."""
    plan = pipeline.plan(document, shard_size=options.shard_size, granularity=options.granularity)
    workflow = pipeline.lower(plan, options.of_manifest(), dynamic=options.dynamic)
    return Compiled(plan=plan, workflow=pipeline.emit(workflow))
