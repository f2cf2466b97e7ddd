"""What a campaign found, for people (Markdown) and for machines (JSON); the same figures in both."""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from tests.chaos.schedule import LEASE_S, SERVER_KINDS, Fault, Kind, Size, count
from tests.chaos.trial import Recovery, Trial

RECOVERED_KINDS = (Kind.KILL_WORKER, Kind.PAUSE_WORKER, *SERVER_KINDS)


def to_json(seed: int, size: Size, schedule: Sequence[Fault], trials: Sequence[Trial]) -> bytes:
    document = {
        "seed": seed,
        "size": size.name,
        "jobs": size.jobs,
        "lease_s": LEASE_S,
        "schedule": [str(fault) for fault in schedule],
        "trials": [_trial(trial) for trial in trials],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def to_markdown(seed: int, size: Size, schedule: Sequence[Fault], trials: Sequence[Trial]) -> str:
    faults = ", ".join(f"{number} x {kind}" for kind, number in count(schedule).items())
    lines = [
        f"# Chaos, size {size.name}, seed {seed}",
        "",
        f"{size.jobs} jobs, {size.workers} workers of {size.slots} slots, {size.runs * size.units} dispatchers; "
        f"lease and ack wait {LEASE_S:g} s.",
        f"Faults: {faults}.",
        "",
        *_comparison(trials),
    ]
    for trial in trials:
        lines += ["", f"## {trial.design}", "", *_details(trial)]
    return "\n".join(lines) + "\n"


def headline(trial: Trial) -> str:
    verdict = trial.verdict
    return (
        f"{trial.design}: {verdict.jobs} jobs, {verdict.executions} executions, {verdict.lost} lost, "
        f"{verdict.twice} completed twice, {verdict.stuck} stuck, {trial.ended_well} of "
        f"{len(trial.exit_codes)} dispatchers ended well, {trial.work_s:.0f} s"
    )


def _comparison(trials: Sequence[Trial]) -> Iterator[str]:
    rows: dict[str, Sequence[object]] = {
        "jobs": [trial.verdict.jobs for trial in trials],
        "executions begun": [trial.verdict.executions for trial in trials],
        "**jobs completed more than once**": [trial.verdict.twice for trial in trials],
        "**jobs lost** (nobody was told, or can find out, how they ended)": [trial.verdict.lost for trial in trials],
        "**messages stuck** in the queue at the end": [trial.verdict.stuck for trial in trials],
        "dispatchers that ended well": [f"{trial.ended_well} of {len(trial.exit_codes)}" for trial in trials],
        "until the last dispatcher ended": [f"{trial.work_s:.0f} s" for trial in trials],
        **{
            f"recovery after: {kind}, median (longest)": [_recovery(trial.faults, kind) for trial in trials]
            for kind in RECOVERED_KINDS
        },
    }
    yield f"| | {' | '.join(trial.design for trial in trials)} |"
    yield f"|---|{'---|' * len(trials)}"
    for name, values in rows.items():
        yield f"| {name} | {' | '.join(map(str, values))} |"


def _details(trial: Trial) -> Iterator[str]:
    yield ", ".join(f"{name}: {number}" for name, number in trial.verdict.counts.items()) + "."
    yield f"Processes started: {trial.starts}."
    yield ""
    for finding in trial.findings or ["no findings"]:
        yield f"- {finding}"
    yield ""
    yield "| at | victim | its clock | what happened | jobs in hand | recovery |"
    yield "|---|---|---|---|---|---|"
    for fault in trial.faults:
        hit = fault.hit
        yield (
            f"| {hit.at_s:.1f} s | {hit.name} | {f'{hit.clock_s:+.1f} s' if hit.clock_s else 'right'} "
            f"| {hit.fault.kind} ({hit.fault.amount_s:+.1f} s) | {len(hit.held)} | {_seconds(fault.recovery_s)} |"
        )


def _recovery(faults: Sequence[Recovery], kind: Kind) -> str:
    times = [fault.recovery_s for fault in faults if fault.hit.fault.kind is kind and fault.recovery_s is not None]
    return f"{_seconds(statistics.median(times))} ({_seconds(max(times))})" if times else "-"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return "never" if math.isinf(value) else f"{value:.1f} s"


def _trial(trial: Trial) -> dict[str, Any]:
    verdict = trial.verdict
    return {
        "design": trial.design,
        "jobs": verdict.jobs,
        "executions": verdict.executions,
        "twice": verdict.twice,
        "lost": verdict.lost,
        "stuck": verdict.stuck,
        **verdict.counts,
        "findings": trial.findings,
        "work_s": round(trial.work_s, 1),
        "exit_codes": trial.exit_codes,
        "faults": [
            {
                "at_s": round(fault.hit.at_s, 1),
                "kind": fault.hit.fault.kind,
                "victim": fault.hit.name,
                "amount_s": fault.hit.fault.amount_s,
                "in_hand": len(fault.hit.held),
                "clock_s": fault.hit.clock_s,
                "recovery_s": None if fault.recovery_s is None else _finite(fault.recovery_s),
            }
            for fault in trial.faults
        ],
    }


def _finite(value: float) -> float | str:
    return "never" if math.isinf(value) else round(value, 2)
