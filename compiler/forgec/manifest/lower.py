"""From a plan to an Argo Workflow, in two forms over the same templates.

    main       steps: [discovery] -> group-01 -> ... -> release       each entry starts `shard` once per unit
    discovery  forge-dispatcher discover --run ...                    in the dynamic form only
    shard      forge-dispatcher run --run ... --plan ... --unit ...
    finish     forge-dispatcher finish --run ... --status ...         exit handler, also after a stop

The *static* form has its plan in hand and writes the units of each group out, for looking, diffing and golden files.
The *dynamic* form is what the platform submits: its first node finds the plan and hands out the lists of unit ids as
output parameters; it is the same for every run but for name, labels and trace.

Whatever the repository's size there is a constant number of templates, and no text of a user enters a manifest: every
string of a workflow is template source to Argo, where `{{` cannot be escaped.
"""

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from forgec import ids
from forgec.diagnostic import Code, Diagnostic, ForgeError
from forgec.discovery.places import NO_PLACES, Places
from forgec.manifest import argo
from forgec.manifest.check import check_workflow
from forgec.manifest.entry import DISCOVERY, RELEASE, RETRIES_MAX, group_name, list_text, static_entries
from forgec.manifest.name import is_dns_label
from forgec.manifest.node import check_nodes
from forgec.manifest.size import check_size, size_of
from forgec.manifest.target import TARGET_DEFAULT, TARGETS
from forgec.plan.digest import plan_digest
from forgec.plan.model import GROUPS_MAX, Plan

RUN_LABEL: Final = "forge.io/run-id"
PLAN_LABEL: Final = "forge.io/plan"
TRACE_ANNOTATION: Final = "forge.io/traceparent"

DYNAMIC_RUN_ID: Final = ids.offline_run_id("dynamic")
"""The run of a dynamic manifest that nobody submits: it has seen no plan, so it is always the same one."""

PARALLELISM: Final = 100
"""Pods of a workflow at a time: one for each project that a repository may have."""

WORKFLOW_DEADLINE_S: Final = 86_400
DISCOVERY_DEADLINE_S: Final = 14_400
SHARD_DEADLINE_S: Final = 86_400
FINISH_DEADLINE_S: Final = 600
"""The last resort only: the exact limits of jobs and units are kept by workers and dispatchers.

The leaves have their own because the workflow's does not reach the exit handler, and counts from the start of the run,
not of the pod. Argo 4 refuses a deadline on a template with steps.
"""

RETRY_EXPRESSION: Final = (
    "!(lastRetry.message contains 'deadline') && (lastRetry.status == 'Error' || "
    "asInt(lastRetry.exitCode) in [-1, 64, 65, 75, 137, 143])"
)
"""Infrastructure alone.

    Error                    the controller's own trouble: a pod that was deleted, an init container that failed
    -1                       no exit code is known: evicted, node lost
    64, 65                   Argo's own process in the container failed, before ours began
    75                       the dispatcher could not go on; it had tried again itself, with growing pauses
    137, 143                 killed: memory, node shutdown

Not 1 (a job failed), 76 (the run was cancelled or failed elsewhere), 78 (plan or configuration is bad). A pod beyond
its deadline ends by a signal too; the kubelet's message "Pod was active on the node longer than the specified deadline"
is all that tells it from a node's shutdown. Argo hands out `exitCode` as a text. Nothing is tried again once the
workflow is stopped, whatever this says.
"""

_PLAN: Final = "plan"
_UNIT: Final = "unit"
_MAIN: Final = "main"
_SHARD: Final = "shard"
_FINISH: Final = "finish"
_RUN_AS_USER: Final = 65532  # "nonroot" in images without a shell
_CREDENTIALS_VOLUME: Final = "nats-credentials"
_POD_ANNOTATIONS: Final = {"karpenter.sh/do-not-disrupt": "true"}
"""A node is not emptied for tidiness while a dispatcher is on it: that would use up one of its few retries."""

_PLAN_LABEL_LENGTH: Final = 12  # hex digits; a label's value ends at 63, the digest has 64
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class ManifestOptions(Struct, frozen=True, kw_only=True):
    """What a manifest says of the platform and of its run; the defaults fit the platform's own manifests.

    `credentials_path` is where the dispatcher reads its NATS credentials. With `credentials_secret` the directory of
    that path is the mounted Secret, whose key is the file's name; without one the file is simply there (one machine).
    `run_id` names the workflow; None for a compilation that belongs to no run. `argo_target` is the version of Argo
    that the manifest is for: it takes away nothing that we emit, and says what the lint holds the manifest against.
    """

    image: str = "catalyst-forge/dispatcher:latest"
    nats_url: str = "nats://nats:4222"
    credentials_path: str = "/etc/forge/nats/credentials"
    credentials_secret: str | None = None
    service_account: str = "forge-dispatcher"
    executor_service_account: str = "forge-executor"
    run_id: str | None = None
    traceparent: str | None = None
    argo_target: str = TARGET_DEFAULT


def lower_plan(plan: Plan, options: ManifestOptions, places: Places = NO_PLACES) -> argo.Workflow:
    """The static form; ForgeError with everything that Argo or Kubernetes would not accept."""
    workflow = static_workflow(plan, options)
    return _accepted(
        workflow,
        [
            *(_check_options(options) or check_workflow(workflow, dynamic_workflow(options))),
            *check_size(size_of(workflow, static_entries(plan))),
            *check_nodes(workflow.metadata.name, plan, dynamic=False, places=places),
        ],
    )


def lower_dynamic(options: ManifestOptions) -> argo.Workflow:
    """The dynamic form; ForgeError where the options do not fit Argo or Kubernetes.

    Its nodes are not known yet: whoever makes the plan calls `check_nodes` before it hands out the units. The platform
    submits it without linting it: only the options, which are checked here, differ from run to run, and a test lints it
    for every version of Argo.
    """
    workflow = dynamic_workflow(options)
    return _accepted(workflow, _check_options(options) or check_workflow(workflow, workflow))


def static_workflow(plan: Plan, options: ManifestOptions) -> argo.Workflow:
    """The static form, not checked: for who wants to know what is wrong with it, such as its size."""
    digest = plan_digest(plan)
    entries = [
        [_units(name, plan=digest, units=list_text(items)) for name, items in entry.steps()]
        for entry in static_entries(plan)
    ]
    return _workflow(
        options,
        run_id=options.run_id or ids.offline_run_id(digest),
        labels={PLAN_LABEL: digest.removeprefix("sha256:")[:_PLAN_LABEL_LENGTH]},
        templates=(_main(entries), _shard(options), _finish(options, plan=digest)),
    )


def dynamic_workflow(options: ManifestOptions) -> argo.Workflow:
    """The dynamic form, not checked."""
    lists = [[_units(name, plan=_discovered(_PLAN), units=_discovered(name))] for name in _list_names()]
    entries = [[argo.WorkflowStep(name=DISCOVERY, template=DISCOVERY)], *lists]
    return _workflow(
        options,
        run_id=options.run_id or DYNAMIC_RUN_ID,
        labels={},
        templates=(_main(entries), _discovery(options), _shard(options), _finish(options, plan=None)),
    )


def _accepted(workflow: argo.Workflow, problems: Sequence[Diagnostic]) -> argo.Workflow:
    if problems:
        raise ForgeError(problems)
    return workflow


def _check_options(options: ManifestOptions) -> list[Diagnostic]:
    """What a manifest with these options would carry is told here, and not again where the manifest is read."""
    return [Diagnostic(Code.NAME_INVALID, message) for message in _bad_options(options)]


def _bad_options(options: ManifestOptions) -> Iterator[str]:
    texts = {"image": options.image, "NATS URL": options.nats_url, "credentials path": options.credentials_path}
    for what, text in texts.items():
        if not text or "{{" in text or not text.isprintable():
            yield f'the {what} {json.dumps(text)} is empty or has "{{{{" or characters in it that are not seen'
    if "@" in options.nats_url:
        yield "the NATS URL has credentials in it, and a manifest is no secret: give them as a file"
    if not posixpath.isabs(options.credentials_path):
        yield f"the credentials path {json.dumps(options.credentials_path)} is not absolute"
    names = {
        "service account": options.service_account,
        "executor's service account": options.executor_service_account,
        "credentials secret": options.credentials_secret,
    }
    for what, name in names.items():
        if name is not None and not is_dns_label(name):
            yield f"the {what} {json.dumps(name)} is not a DNS-1123 label"
    if options.run_id is not None and not ids.is_run_id(options.run_id):
        yield f"the run id {json.dumps(options.run_id)} is not a UUID in lower case"
    if options.argo_target not in TARGETS:
        yield f"Argo {json.dumps(options.argo_target)} is not one of the versions known here: {', '.join(TARGETS)}"
    if options.traceparent is not None and not _TRACEPARENT.fullmatch(options.traceparent):
        yield f"the traceparent {json.dumps(options.traceparent)} is not one of W3C's trace context"


def _workflow(
    options: ManifestOptions, *, run_id: str, labels: dict[str, str], templates: tuple[argo.Template, ...]
) -> argo.Workflow:
    annotations = {TRACE_ANNOTATION: options.traceparent} if options.traceparent else {}
    return argo.Workflow(
        api_version="argoproj.io/v1alpha1",
        kind="Workflow",
        metadata=argo.Metadata(
            name=ids.workflow_name(run_id), labels={RUN_LABEL: run_id, **labels}, annotations=annotations
        ),
        spec=argo.WorkflowSpec(
            entrypoint=_MAIN,
            on_exit=_FINISH,
            parallelism=PARALLELISM,
            active_deadline_seconds=WORKFLOW_DEADLINE_S,
            service_account_name=options.service_account,
            # A dispatcher speaks to NATS only, so nothing that gets into it can ask Kubernetes for anything. Argo's own
            # sidecar reports results by an account of its own, which needs no more than to write task results.
            automount_service_account_token=False,
            executor=argo.Executor(service_account_name=options.executor_service_account),
            pod_metadata=argo.PodMetadata(labels={RUN_LABEL: run_id}, annotations=_POD_ANNOTATIONS),
            security_context=argo.PodSecurityContext(
                run_as_non_root=True,
                run_as_user=_RUN_AS_USER,
                seccomp_profile=argo.SeccompProfile(type="RuntimeDefault"),
            ),
            # Later than at once, so that the log of a dispatcher that just ended can still be read; not at the end of
            # the workflow, when thousands of ended pods would lie in the cluster's store.
            pod_gc=argo.PodGC(strategy="OnPodCompletion", delete_delay_duration="60s"),
            # Long enough to look at what failed. Without it workflows stay for ever and fill the store.
            ttl_strategy=argo.TTLStrategy(seconds_after_success=3600, seconds_after_failure=86_400),
            volumes=_volumes(options),
            templates=templates,
        ),
    )


def _main(entries: Iterable[Iterable[argo.WorkflowStep]]) -> argo.Template:
    """Entries one after another. Argo ends no running sibling of what failed; dispatchers end themselves when they see
    the run's cancel flag, within 2 s, and since the entry then has failed no later one starts."""
    return argo.Template(name=_MAIN, steps=tuple(tuple(entry) for entry in entries))


def _units(name: str, *, plan: str, units: str) -> argo.WorkflowStep:
    """An entry with a node for each unit of a JSON list; an empty list is a Skipped node, so no guard is needed."""
    arguments = (argo.Argument(name=_PLAN, value=plan), argo.Argument(name=_UNIT, value="{{item}}"))
    return argo.WorkflowStep(
        name=name, template=_SHARD, arguments=argo.Arguments(parameters=arguments), with_param=units
    )


def _discovery(options: ManifestOptions) -> argo.Template:
    defaults = {_PLAN: "", **dict.fromkeys(_list_names(), "[]")}
    parameters = tuple(
        argo.OutputParameter(name=name, value_from=argo.ValueFrom(path=f"{argo.OUTPUT_DIR}/{name}", default=default))
        for name, default in defaults.items()
    )
    return argo.Template(
        name=DISCOVERY,
        outputs=argo.Outputs(parameters=parameters),
        active_deadline_seconds=DISCOVERY_DEADLINE_S,
        retry_strategy=_RETRY,
        container=_container(options, "discover"),
    )


def _shard(options: ManifestOptions) -> argo.Template:
    inputs = (argo.InputParameter(name=_PLAN), argo.InputParameter(name=_UNIT))
    args = ("--plan", _input(_PLAN), "--unit", _input(_UNIT))
    return argo.Template(
        name=_SHARD,
        inputs=argo.Inputs(parameters=inputs),
        active_deadline_seconds=SHARD_DEADLINE_S,
        retry_strategy=_RETRY,
        container=_container(options, "run", *args),
    )


def _finish(options: ManifestOptions, *, plan: str | None) -> argo.Template:
    """An exit handler cannot read a step's outputs: in the dynamic form the dispatcher looks the plan up itself."""
    args = ("--status", "{{workflow.status}}", *(("--plan", plan) if plan else ()))
    return argo.Template(
        name=_FINISH,
        active_deadline_seconds=FINISH_DEADLINE_S,
        retry_strategy=_RETRY,
        container=_container(options, "finish", *args),
    )


_RETRY: Final = argo.RetryStrategy(limit=str(RETRIES_MAX), retry_policy="Always", expression=RETRY_EXPRESSION)
"""On leaves only: on a template with steps a whole group would start again. `Always`, since policy and expression must
both agree, and an eviction is `Failed` to Argo, which `OnError` does not try again."""


def _container(options: ManifestOptions, command: str, *args: str) -> argo.Container:
    """The command is always given: without one the controller would ask the image's registry for its entrypoint."""
    mount = argo.VolumeMount(
        name=_CREDENTIALS_VOLUME, mount_path=posixpath.dirname(options.credentials_path), read_only=True
    )
    return argo.Container(
        image=options.image,
        command=("forge-dispatcher",),
        args=(command, "--run", "{{workflow.name}}", *args),
        env=(
            argo.EnvVar(name="NATS_URL", value=options.nats_url),
            argo.EnvVar(name="NATS_CREDENTIALS", value=options.credentials_path),
        ),
        resources=argo.ResourceRequirements(
            requests={"cpu": "50m", "memory": "128Mi"}, limits={"cpu": "200m", "memory": "256Mi"}
        ),
        # It binds no low port and starts no other user's process, so it needs none of the capabilities.
        security_context=argo.ContainerSecurityContext(
            allow_privilege_escalation=False, capabilities=argo.Capabilities(drop=("ALL",))
        ),
        volume_mounts=(mount,) if options.credentials_secret else (),
    )


def _volumes(options: ManifestOptions) -> tuple[argo.Volume, ...]:
    if options.credentials_secret is None:
        return ()
    secret = argo.SecretVolumeSource(secret_name=options.credentials_secret)
    return (argo.Volume(name=_CREDENTIALS_VOLUME, secret=secret),)


def _list_names() -> tuple[str, ...]:
    """The lists of unit ids that discovery hands out, each an entry, an output parameter and a file of one name."""
    return (*(group_name(index) for index in range(1, GROUPS_MAX + 1)), RELEASE)


def _discovered(parameter: str) -> str:
    return f"{{{{steps.{DISCOVERY}.outputs.parameters.{parameter}}}}}"


def _input(parameter: str) -> str:
    return f"{{{{inputs.parameters.{parameter}}}}}"
