"""The compiler on one page. Read this first: each stage is one function from one type to the next.

    files of a commit --discover--+
                                  v
    JSON document -----read--> Discovery --plan--> Plan --lower--> Workflow --emit--> text

Every stage is pure and gives the same output for the same input on every machine; what it cannot accept it raises as
a ForgeError that carries every finding. Nothing here touches a file, a clock or the network: `forgec.adapter` brings
the files, `forgec.cli` the arguments.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec

from forgec.diagnostic import Diagnostic, ForgeError, has_errors
from forgec.discovery.check import locate_document, read_document
from forgec.discovery.model import Discovery
from forgec.discovery.places import NO_PLACES, Located, Places
from forgec.discovery.tree import Tree
from forgec.discovery.trigger import Trigger
from forgec.lint.workflow import lint_workflow
from forgec.manifest.argo import Workflow, to_builtins
from forgec.manifest.entry import dynamic_entries
from forgec.manifest.lower import ManifestOptions, lower_dynamic, lower_plan
from forgec.manifest.node import check_nodes
from forgec.manifest.size import check_size, size_of
from forgec.manifest.target import TARGETS
from forgec.manifest.yaml import emit_yaml
from forgec.plan.build import build_plan
from forgec.plan.model import Granularity, Plan
from forgec.syntax.document import read_text

if TYPE_CHECKING:
    from forgec.discovery.discover import Survey
    from forgec.discovery.evaluate import Evaluate

Warn = Callable[[Iterable[Diagnostic]], None]


def _unheard(_warnings: Iterable[Diagnostic]) -> None:
    """For callers whom only errors keep from going on."""


def discover(tree: Tree, trigger: Trigger, evaluate: "Evaluate | None" = None) -> Discovery:
    """The `.forge` directories of a commit, evaluated for the event that brought it.

    `evaluate` makes data of a file; None is the built-in evaluator, which is loaded when it is needed.
    """
    return survey(tree, evaluate).document(trigger)


def discover_located(tree: Tree, trigger: Trigger, evaluate: "Evaluate | None" = None) -> Located:
    """The same with the places of what the files say, for the findings of later stages."""
    return survey(tree, evaluate).located(trigger)


def survey(tree: Tree, evaluate: "Evaluate | None" = None) -> "Survey":
    """The same before the event: what every event has in common, for whoever asks about several."""
    from forgec.discovery.discover import survey as survey_tree
    from forgec.discovery.evaluate import evaluate_builtin

    return survey_tree(tree, evaluate or evaluate_builtin)


def read(name: str, data: bytes) -> Discovery:
    """A discovery document from JSON; `name` is what findings call it."""
    return read_document(read_text(name, data))


def read_located(name: str, data: bytes, *, limited: bool = True) -> Located:
    """The same with the places of what it says, for the findings of later stages; if not `limited`, of any size."""
    return locate_document(read_text(name, data, limited=limited), limited=limited)


def plan(
    discovery: Discovery, *, shard_size: int, granularity: Granularity = "shard", places: Places = NO_PLACES
) -> Plan:
    """What a run will do, in the order it will do it."""
    return build_plan(discovery, shard_size=shard_size, granularity=granularity, places=places)


def lower(
    plan: Plan, options: ManifestOptions, *, dynamic: bool, places: Places = NO_PLACES, warn: Warn = _unheard
) -> Workflow:
    """The plan as an Argo Workflow, or the workflow that finds its plan at run time and would become this one.

    `warn` takes what is no error of it, and yet unwise.
    """
    workflow = lower_dynamic(options) if dynamic else lower_plan(plan, options, places)
    found = lint_workflow(workflow, TARGETS[options.argo_target])
    if dynamic:
        found += check_nodes(workflow.metadata.name, plan, dynamic=True, places=places)
        found += check_size(size_of(workflow, dynamic_entries(plan)), "the workflow once it has its units")
    if has_errors(found):
        raise ForgeError(found)
    warn(found)
    return workflow


def emit(workflow: Workflow) -> bytes:
    return emit_yaml(to_builtins(workflow)).encode()


def emit_plan(plan: Plan) -> bytes:
    """For people: fields in the order of their meaning, with line breaks. The digest is of the canonical form."""
    return msgspec.json.format(msgspec.json.encode(plan, order="deterministic"), indent=2) + b"\n"
