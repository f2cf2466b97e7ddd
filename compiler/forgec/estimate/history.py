"""Measured durations, from a file: what steps really took, for an estimate that is better than their time limits.

    {"version": 1,
     "durations": {"api": {"test": {"unit": [61.5, 58, 90.25], "lint": 4}}}}

Project, phase and step, then seconds: a number, or a list of measurements, of which the median counts. Work that has
no phase of the repository stands under `_discovery` and `_release`, as in the platform's own records: project
`_repository` with step `discover`; each project with steps `artifact:<name>`, `release` and `deploy:<environment>`.
Deployments of a release run together, so the longest counts; `deploy` is all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta, Struct

from forgec import ids
from forgec.diagnostic import ForgeError
from forgec.estimate.work import DEPLOYMENT, Address
from forgec.syntax.decode import decode
from forgec.syntax.document import parse_json, read_text
from forgec.units import DURATION_S_MAX

Seconds = Annotated[float, Meta(ge=0, le=DURATION_S_MAX, description="seconds from 0 to 86400")]
Measurements = Annotated[tuple[Seconds, ...], Meta(min_length=1, max_length=1000)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]


class History(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file. Steps that a repository no longer has may stay in it."""

    version: Literal[1]
    durations: dict[Name, dict[Name, dict[Name, Seconds | Measurements]]]


def read_history(name: str, data: bytes) -> History:
    """ForgeError with everything that is wrong, each with its place; `name` is what findings call the file."""
    history, problems = decode(parse_json(read_text(name, data)), History)
    if history is None:
        raise ForgeError(problems)
    return history


@dataclass(slots=True)
class Recall:
    """A history as durations of jobs. `measured` and `assumed` tell of which it knew one."""

    history: History
    measured: list[Address] = field(default_factory=list)
    assumed: list[Address] = field(default_factory=list)

    def duration(self, address: Address, limit_s: float) -> float:
        """Seconds; of a job that nobody measured its time limit."""
        steps: Mapping[str, float | tuple[float, ...]]
        steps = self.history.durations.get(address.project, {}).get(address.phase, {})
        names = [address.step]
        if (address.phase, address.step) == (ids.RELEASE_PHASE, DEPLOYMENT) and DEPLOYMENT not in steps:
            names = [name for name in steps if ids.deployment_environment(name) is not None]
        found = [steps[name] for name in names if name in steps]
        if not found:
            self.assumed.append(address)
            return limit_s
        self.measured.append(address)
        return max(each if isinstance(each, float) else median(each) for each in found)


def median(values: tuple[float, ...]) -> float:
    """The middle one, or the mean of both."""
    ranked = sorted(values)
    return (ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2
