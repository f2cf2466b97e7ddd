"""What Argo keeps of a workflow while it runs, and how much of it may be: the one place of these numbers.

    Workflow object    1 MiB of JSON, or the workflow ends with an error
      spec             the manifest, as it is
      status.nodes     a node for each thing in the tree; packed (gzip, base64) once the object is too large without
      task results     an entry for each pod, never packed

An estimate: of nodes and pods the sizes are measured averages, and each dispatcher is counted with its first attempt.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from forgec.diagnostic import Code, Diagnostic
from forgec.manifest import argo
from forgec.manifest.entry import Entry

OBJECT_BYTES_MAX: Final = 838_860
"""0.8 of the 1 MiB at which Argo gives a workflow up; the rest is for retries, messages and what Kubernetes adds."""

PARAMETER_BYTES_MAX: Final = 131_072
"""128 KiB, the longest argument that Argo passes on as it is; a list of unit ids is one parameter."""

NODE_BYTES: Final = 842
"""Of a node in the status: 5,017 nodes with their retry strategy take 4,124 KiB."""

_NODE_BYTES_PACKED: Final = 66  # the same 5,017 nodes take 320 KiB
_POD_BYTES: Final = 55  # of a pod in the list of task results
_LIST_COPIES: Final = 2  # of discovery's lists: outputs of the Retry node and of the pod's
_LIST_PACKING: Final = 4  # how often smaller both copies together are, packed, than one is as it is; at least


class Size(Struct, frozen=True, kw_only=True):
    """`list_bytes`: the lists of unit ids together, `parameter_bytes`: the longest; `handed_out`: by discovery."""

    manifest_bytes: int
    templates: int
    pods: int
    nodes: int
    list_bytes: int
    parameter_bytes: int
    handed_out: bool

    @property
    def status_bytes(self) -> int:
        """`status.nodes` as it is."""
        return self.nodes * NODE_BYTES + self.list_bytes * _LIST_COPIES * self.handed_out

    @property
    def packed_bytes(self) -> int:
        """`status.nodes`, packed."""
        return self.nodes * _NODE_BYTES_PACKED + self.list_bytes * self.handed_out // _LIST_PACKING

    @property
    def results_bytes(self) -> int:
        return self.pods * _POD_BYTES

    @property
    def object_bytes(self) -> int:
        """At the end of the run, when everything that can be packed is."""
        return self.manifest_bytes + self.packed_bytes + self.results_bytes


def size_of(workflow: argo.Workflow, entries: Sequence[Entry]) -> Size:
    """`entries`: the workflow's outer list, as its plan fills it."""
    lists = [len(msgspec.json.encode(entry.items)) for entry in entries if entry.items is not None]
    leaves = sum(1 if entry.items is None else len(entry.items) for entry in entries)
    skipped = sum(entry.items == () for entry in entries)
    pods = leaves + 1  # the exit handler's
    return Size(
        manifest_bytes=len(msgspec.json.encode(workflow)),
        templates=len(workflow.spec.templates),
        pods=pods,
        nodes=1 + len(entries) + skipped + 2 * pods,  # the root, its groups; of each leaf a Retry node and its attempt
        list_bytes=sum(lists),
        parameter_bytes=max(
            (len(msgspec.json.encode(items)) for entry in entries for _, items in entry.steps()), default=0
        ),
        handed_out=any(entry.items is None for entry in entries),
    )


def check_size(size: Size, workflow: str = "the workflow") -> list[Diagnostic]:
    """What is more than Argo can be given; `workflow` is what messages call it."""
    found = []
    advice = "fewer units: shards instead of steps, a shard size just below the number of projects, or fewer phases"
    if size.object_bytes > OBJECT_BYTES_MAX:
        message = (
            f"{workflow} would take about {size.object_bytes} bytes in Argo, more than {OBJECT_BYTES_MAX} "
            f"are not safe ({size.pods} pods, {size.nodes} nodes)"
        )
        found.append(Diagnostic(Code.MANIFEST_TOO_LARGE, message, help=advice))
    if size.parameter_bytes > PARAMETER_BYTES_MAX:
        message = (
            f"the longest list of units of {workflow} has {size.parameter_bytes} bytes, "
            f"Argo passes {PARAMETER_BYTES_MAX} on"
        )
        found.append(Diagnostic(Code.MANIFEST_TOO_LARGE, message, help=advice))
    return found
