"""The Argo Workflow kinds that we emit, field by field, and nothing else of Argo's API.

Field names and meaning are Argo's (argoproj.io/v1alpha1); the order here is the order in the YAML. A field that no
manifest of ours sets does not exist, so neither the emitter nor the local engine can meet one. What Argo offers and
we do not use has a reason:

    failFast           a failed attempt counts as a failed child, so what is to be tried again never is
    when, {{=          fail at run time, by waiting for ever, where a plain tag is checked at submission
    backoff            is waited out before the retry expression is asked, so every final failure ends late
    continueOn         would hide a failure; it is ours to decide that the run ends
    timeout            counts the time in which a pod waits for room, which is nobody's fault
    archiveLogs        false changes nothing: a controller that archives logs does so all the same
    hooks, memoize,    each is one more place for text, and one more way to fail, for what dispatchers do
    synchronization,
    podSpecPatch
"""

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

OUTPUT_DIR: Final = "/tmp/forge"  # noqa: S108 - in the pod's own file system
"""Where the discovery dispatcher leaves its output parameters, one file each, unless told otherwise."""


class _Kind(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """`frozen` and `kw_only` are not inherited, the rest is."""


class Metadata(_Kind, frozen=True, kw_only=True):
    name: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class ValueFrom(_Kind, frozen=True, kw_only=True):
    """A parameter read from a file of the container; the default is taken when the file is not there."""

    path: str
    default: str


class OutputParameter(_Kind, frozen=True, kw_only=True):
    name: str
    value_from: ValueFrom


class Outputs(_Kind, frozen=True, kw_only=True):
    parameters: tuple[OutputParameter, ...]


class InputParameter(_Kind, frozen=True, kw_only=True):
    name: str


class Inputs(_Kind, frozen=True, kw_only=True):
    parameters: tuple[InputParameter, ...]


class Argument(_Kind, frozen=True, kw_only=True):
    name: str
    value: str


class Arguments(_Kind, frozen=True, kw_only=True):
    parameters: tuple[Argument, ...]


class WorkflowStep(_Kind, frozen=True, kw_only=True):
    """`with_param`: JSON list, or a tag that becomes one; a node for each item, none for an empty list."""

    name: str
    template: str
    arguments: Arguments | None = None
    with_param: str | None = None


class EnvVar(_Kind, frozen=True, kw_only=True):
    name: str
    value: str


class ResourceRequirements(_Kind, frozen=True, kw_only=True):
    requests: dict[str, str]
    limits: dict[str, str]


class Capabilities(_Kind, frozen=True, kw_only=True):
    drop: tuple[str, ...]


class ContainerSecurityContext(_Kind, frozen=True, kw_only=True):
    allow_privilege_escalation: bool
    capabilities: Capabilities


class VolumeMount(_Kind, frozen=True, kw_only=True):
    name: str
    mount_path: str
    read_only: bool


class Container(_Kind, frozen=True, kw_only=True):
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: tuple[EnvVar, ...]
    resources: ResourceRequirements
    security_context: ContainerSecurityContext
    volume_mounts: tuple[VolumeMount, ...] = ()


class RetryStrategy(_Kind, frozen=True, kw_only=True):
    """`limit` is a text because Argo's own is: a number or a tag."""

    limit: str
    retry_policy: Literal["Always"]
    expression: str


class Template(_Kind, frozen=True, kw_only=True):
    """Either `steps` (outer list one after another, inner list together) or a leaf with a container."""

    name: str
    inputs: Inputs | None = None
    outputs: Outputs | None = None
    active_deadline_seconds: int | None = None
    retry_strategy: RetryStrategy | None = None
    container: Container | None = None
    steps: tuple[tuple[WorkflowStep, ...], ...] = ()


class PodGC(_Kind, frozen=True, kw_only=True):
    strategy: Literal["OnPodCompletion"]
    delete_delay_duration: str


class TTLStrategy(_Kind, frozen=True, kw_only=True):
    seconds_after_success: int
    seconds_after_failure: int


class SeccompProfile(_Kind, frozen=True, kw_only=True):
    type: Literal["RuntimeDefault"]


class PodSecurityContext(_Kind, frozen=True, kw_only=True):
    run_as_non_root: bool
    run_as_user: int
    seccomp_profile: SeccompProfile


class PodMetadata(_Kind, frozen=True, kw_only=True):
    labels: dict[str, str]
    annotations: dict[str, str]


class Executor(_Kind, frozen=True, kw_only=True):
    service_account_name: str


class SecretVolumeSource(_Kind, frozen=True, kw_only=True):
    secret_name: str


class Volume(_Kind, frozen=True, kw_only=True):
    name: str
    secret: SecretVolumeSource


class WorkflowSpec(_Kind, frozen=True, kw_only=True):
    entrypoint: str
    on_exit: str
    parallelism: int
    active_deadline_seconds: int
    service_account_name: str
    automount_service_account_token: bool
    executor: Executor
    pod_metadata: PodMetadata
    security_context: PodSecurityContext
    pod_gc: PodGC = msgspec.field(name="podGC")
    ttl_strategy: TTLStrategy
    volumes: tuple[Volume, ...] = ()
    templates: tuple[Template, ...]


class Workflow(_Kind, frozen=True, kw_only=True):
    api_version: Literal["argoproj.io/v1alpha1"]
    kind: Literal["Workflow"]
    metadata: Metadata
    spec: WorkflowSpec


def to_builtins(workflow: Workflow) -> dict[str, Any]:
    """The manifest as dictionaries and lists, ready for YAML or JSON."""
    return msgspec.json.decode(msgspec.json.encode(workflow), type=dict[str, Any])
