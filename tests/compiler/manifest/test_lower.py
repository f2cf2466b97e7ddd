"""Both forms of the workflow: what stands in them."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compiler.documents import document, documents, many, project, step
from tests.compiler.manifest.crd import violations, workflow_schema

from forge_runtime.dispatcher import OUTPUT_DIR_DEFAULT
from forgec import ids
from forgec.diagnostic import Code, ForgeError
from forgec.discovery.model import Discovery
from forgec.manifest.argo import OUTPUT_DIR, Workflow, to_builtins
from forgec.manifest.entry import LIST_BYTES_MAX
from forgec.manifest.lower import ManifestOptions, lower_dynamic, lower_plan
from forgec.plan.build import build_plan
from forgec.plan.digest import plan_digest
from forgec.plan.model import Plan

RUN_ID = "0190c6d2-5a58-7c1b-9d6b-8e0b1c7f4a52"
OPTIONS = ManifestOptions()
RETRY = {
    "limit": "2",
    "retryPolicy": "Always",
    "expression": "!(lastRetry.message contains 'deadline') && (lastRetry.status == 'Error' || "
    "asInt(lastRetry.exitCode) in [-1, 64, 65, 75, 137, 143])",
}


def plan_of(phases: dict[str, int], *projects: Any) -> Plan:
    return build_plan(document(phases, projects))


SMALL = plan_of({"lint": 1, "test": 2, "unit": 2}, project("api", {"test": ["t"], "unit": ["u"]}, release=True))


def template(workflow: Workflow, name: str) -> dict[str, Any]:
    (found,) = (t for t in to_builtins(workflow)["spec"]["templates"] if t["name"] == name)
    return dict(found)


def steps(workflow: Workflow) -> list[dict[str, Any]]:
    outer = template(workflow, "main")["steps"]
    assert all(len(inner) == 1 for inner in outer)
    return [inner[0] for inner in outer]


def test_a_static_workflow_writes_the_units_of_each_group_out() -> None:
    workflow = lower_plan(SMALL, OPTIONS)

    assert [(step["name"], json.loads(step["withParam"])) for step in steps(workflow)] == [
        ("group-01", ["g01-test-s001", "g01-unit-s001"]),
        ("release", ["release-s001"]),
    ]
    assert steps(workflow)[0]["arguments"]["parameters"] == [
        {"name": "plan", "value": plan_digest(SMALL)},
        {"name": "unit", "value": "{{item}}"},
    ]


def test_a_dynamic_workflow_has_a_list_for_each_group_there_may_be() -> None:
    entries = steps(lower_dynamic(OPTIONS))

    names = [f"group-{index:02d}" for index in range(1, 17)] + ["release"]
    assert entries[0] == {"name": "discovery", "template": "discovery"}
    assert [(entry["name"], entry["withParam"]) for entry in entries[1:]] == [
        (name, f"{{{{steps.discovery.outputs.parameters.{name}}}}}") for name in names
    ]
    assert {entry["arguments"]["parameters"][0]["value"] for entry in entries[1:]} == {
        "{{steps.discovery.outputs.parameters.plan}}"
    }


def test_discovery_hands_out_every_parameter_that_main_reads_and_has_a_default_for_each() -> None:
    workflow = lower_dynamic(OPTIONS)

    outputs = template(workflow, "discovery")["outputs"]["parameters"]
    assert [output["name"] for output in outputs] == ["plan", *(entry["name"] for entry in steps(workflow)[1:])]
    assert all(output["valueFrom"]["path"] == f"{OUTPUT_DIR}/{output['name']}" for output in outputs)
    assert [output["valueFrom"]["default"] for output in outputs] == ["", *["[]"] * 17]


def test_a_plan_without_work_has_one_empty_group() -> None:
    workflow = lower_plan(plan_of({"test": 1}), OPTIONS)

    assert [(step["name"], step["withParam"]) for step in steps(workflow)] == [("group-01", "[]")]


def test_a_list_too_long_for_one_text_is_cut_into_steps_that_start_together() -> None:
    phase = "p" * 63
    listed = [step(f"s{at:02d}", priority=-at) for at in range(20)]
    plan = build_plan(document({phase: 1, "test": 2}, many(100, {phase: listed, "test": ["t"]})), granularity="step")

    first, second = template(lower_plan(plan, OPTIONS), "main")["steps"]

    assert [part["name"] for part in first] == ["group-01", "group-01-2", "group-01-3"]
    assert [part["name"] for part in second] == ["group-02"]
    units = [unit for part in first for unit in json.loads(part["withParam"])]
    assert units == list(plan.groups[0].unit_ids)
    assert all(len(part["withParam"]) <= LIST_BYTES_MAX for part in first)


def test_two_and_a_half_thousand_steps_fit_a_workflow_each_with_a_dispatcher() -> None:
    listed = {f"p{number}": [step(f"s{at}", priority=-at) for at in range(5)] for number in range(1, 6)}
    phases = {name: number for number, name in enumerate(listed, 1)}
    plan = build_plan(document(phases, many(100, listed)), granularity="step")

    workflow = lower_plan(plan, OPTIONS)

    assert sum(len(json.loads(entry["withParam"])) for entry in steps(workflow)) == 2500


def test_the_number_of_templates_does_not_depend_on_the_repository() -> None:
    large = build_plan(
        document({f"p{n}": n for n in range(1, 17)}, many(100, {"p1": ["x"], "p16": ["y"]}, release=True))
    )

    assert len(lower_plan(large, OPTIONS).spec.templates) == len(lower_plan(SMALL, OPTIONS).spec.templates) == 3
    assert [found.name for found in lower_dynamic(OPTIONS).spec.templates] == ["main", "discovery", "shard", "finish"]


def test_each_leaf_runs_the_dispatcher_with_ids_only() -> None:
    dynamic, static = lower_dynamic(OPTIONS), lower_plan(SMALL, OPTIONS)

    assert template(dynamic, "discovery")["container"]["args"] == ["discover", "--run", "{{workflow.name}}"]
    shard = ["run", "--run", "{{workflow.name}}", "--plan", "{{inputs.parameters.plan}}"]
    shard += ["--unit", "{{inputs.parameters.unit}}"]
    assert template(dynamic, "shard")["container"]["args"] == shard
    assert template(static, "shard")["container"]["args"] == shard
    finish = ["finish", "--run", "{{workflow.name}}", "--status", "{{workflow.status}}"]
    assert template(dynamic, "finish")["container"]["args"] == finish
    assert template(static, "finish")["container"]["args"] == [*finish, "--plan", plan_digest(SMALL)]


@pytest.mark.parametrize(("leaf", "deadline_s"), [("discovery", 14_400), ("shard", 86_400), ("finish", 600)])
def test_leaves_have_command_limits_and_retry_and_main_has_none_of_them(leaf: str, deadline_s: int) -> None:
    found = template(lower_dynamic(OPTIONS), leaf)

    assert found["activeDeadlineSeconds"] == deadline_s
    assert found["retryStrategy"] == RETRY
    assert found["container"]["command"] == ["forge-dispatcher"]
    assert found["container"]["resources"] == {
        "requests": {"cpu": "50m", "memory": "128Mi"},
        "limits": {"cpu": "200m", "memory": "256Mi"},
    }
    assert found["container"]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(template(lower_dynamic(OPTIONS), "main")) == {"name", "steps"}


def test_the_workflow_is_limited_cleaned_up_and_reported() -> None:
    spec = to_builtins(lower_plan(SMALL, OPTIONS))["spec"]

    del spec["templates"]
    assert spec == {
        "entrypoint": "main",
        "onExit": "finish",
        "parallelism": 100,
        "activeDeadlineSeconds": 86_400,
        "serviceAccountName": "forge-dispatcher",
        "automountServiceAccountToken": False,
        "executor": {"serviceAccountName": "forge-executor"},
        "podMetadata": {
            "labels": {"forge.io/run-id": ids.offline_run_id(plan_digest(SMALL))},
            "annotations": {"karpenter.sh/do-not-disrupt": "true"},
        },
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "podGC": {"strategy": "OnPodCompletion", "deleteDelayDuration": "60s"},
        "ttlStrategy": {"secondsAfterSuccess": 3600, "secondsAfterFailure": 86_400},
    }


def test_the_environment_holds_the_address_of_nats_and_the_place_of_its_credentials() -> None:
    workflow = lower_plan(SMALL, ManifestOptions(nats_url="nats://127.0.0.1:1", credentials_path="/a b/token"))

    assert template(workflow, "shard")["container"]["env"] == [
        {"name": "NATS_URL", "value": "nats://127.0.0.1:1"},
        {"name": "NATS_CREDENTIALS", "value": "/a b/token"},
    ]
    assert "volumes" not in to_builtins(workflow)["spec"]


def test_a_credentials_secret_is_mounted_read_only_where_the_path_says() -> None:
    options = ManifestOptions(credentials_path="/etc/nats/user.creds", credentials_secret="nats-user")

    workflow = lower_plan(SMALL, options)

    assert to_builtins(workflow)["spec"]["volumes"] == [
        {"name": "nats-credentials", "secret": {"secretName": "nats-user"}}
    ]
    for leaf in ("shard", "finish"):
        assert template(workflow, leaf)["container"]["volumeMounts"] == [
            {"name": "nats-credentials", "mountPath": "/etc/nats", "readOnly": True}
        ]


def test_a_run_names_the_workflow_and_its_trace_goes_along() -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    options = ManifestOptions(run_id=RUN_ID, traceparent=trace)

    static, dynamic = (to_builtins(found)["metadata"] for found in (lower_plan(SMALL, options), lower_dynamic(options)))

    assert dynamic == {
        "name": f"forge-{RUN_ID}",
        "labels": {"forge.io/run-id": RUN_ID},
        "annotations": {"forge.io/traceparent": trace},
    }
    short = plan_digest(SMALL).removeprefix("sha256:")[:12]
    assert static == {**dynamic, "labels": {"forge.io/run-id": RUN_ID, "forge.io/plan": short}}


def test_without_a_run_the_name_depends_on_the_plan_alone() -> None:
    name = lower_plan(SMALL, OPTIONS).metadata.name

    assert name == lower_plan(SMALL, ManifestOptions(image="other")).metadata.name
    assert name == ids.workflow_name(ids.offline_run_id(plan_digest(SMALL)))
    assert name != lower_plan(plan_of({"test": 1}), OPTIONS).metadata.name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ManifestOptions(image="{{workflow.name}}"), "image"),
        (ManifestOptions(image=""), "image"),
        (ManifestOptions(image="registry/\u202ereversed"), "not seen"),
        (ManifestOptions(credentials_path="/etc/\x00"), "not seen"),
        (ManifestOptions(nats_url="nats://x\n"), "NATS URL"),
        (ManifestOptions(nats_url="nats://user:hunter2@x"), "credentials in it"),
        (ManifestOptions(credentials_path="relative"), "not absolute"),
        (ManifestOptions(service_account="Forge"), "service account"),
        (ManifestOptions(executor_service_account="x_y"), "executor's service account"),
        (ManifestOptions(credentials_secret="-"), "credentials secret"),
        (ManifestOptions(run_id="1"), "run id"),
        (ManifestOptions(traceparent="{{item}}"), "traceparent"),
    ],
)
def test_options_that_do_not_fit_a_manifest_are_refused_in_both_forms(options: ManifestOptions, message: str) -> None:
    with pytest.raises(ForgeError) as static:
        lower_plan(SMALL, options)
    with pytest.raises(ForgeError) as dynamic:
        lower_dynamic(options)

    for raised in (static, dynamic):
        assert {found.code for found in raised.value.diagnostics} == {Code.NAME_INVALID}
        assert message in str(raised.value)
        assert "hunter2" not in str(raised.value)


def test_the_dispatcher_writes_its_outputs_where_the_workflow_reads_them() -> None:
    assert OUTPUT_DIR_DEFAULT == OUTPUT_DIR


few = settings(max_examples=40, deadline=None)


@few
@given(documents(), st.integers(1, 4))
def test_every_static_workflow_holds_against_the_full_definition(found: Discovery, shard_size: int) -> None:
    workflow = to_builtins(lower_plan(build_plan(found, shard_size=shard_size), OPTIONS))

    assert list(violations(workflow, workflow_schema())) == []


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        ManifestOptions(credentials_secret="x", run_id=RUN_ID, traceparent="00-" + "0" * 32 + "-" + "0" * 16 + "-01"),
    ],
)
def test_the_dynamic_workflow_holds_against_the_full_definition(options: ManifestOptions) -> None:
    assert list(violations(to_builtins(lower_dynamic(options)), workflow_schema())) == []


def test_a_manifest_reads_back_as_the_type_it_was_written_from() -> None:
    for workflow in (lower_plan(SMALL, OPTIONS), lower_dynamic(OPTIONS)):
        assert msgspec.convert(to_builtins(workflow), Workflow) == workflow
