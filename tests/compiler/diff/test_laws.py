"""What holds for the changes between any two legal documents."""

from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compiler.documents import complete, decoded, documents, shuffled

from forgec.diff.compare import compare
from forgec.diff.model import Change, Kind
from forgec.diff.planned import compare_plans
from forgec.discovery.model import Discovery, Phase, Project, Step
from forgec.plan.build import build_plan
from forgec.plan.digest import plan_digest


@st.composite
def edited(draw: st.DrawFn, document: Discovery) -> Discovery:
    """A later state of a document: phases and projects that stayed, went, came, moved or have another name."""
    names = {name: draw(st.sampled_from([name, f"{name[:50]}-2"])) for name in document.repository.phases}
    kept = [name for name in names if draw(st.integers(0, 5))]
    phases = {names[name]: draw(_regrouped(document.repository.phases[name])) for name in kept}
    projects = [
        msgspec.structs.replace(
            project,
            name=draw(st.sampled_from([project.name, f"{project.name[:50]}-2"])),
            path=draw(st.sampled_from([project.path, f"moved/{project.path}"])),
            phases=draw(_exchanged({names[name]: project.phases.get(name, ()) for name in kept})),
        )
        for project in document.projects
        if draw(st.integers(0, 5))
    ]
    return complete(phases, projects)


def _regrouped(phase: Phase) -> st.SearchStrategy[Phase]:
    groups = st.sampled_from([phase.group, phase.group, 1, 16])
    return groups.map(lambda group: msgspec.structs.replace(phase, group=group))


@st.composite
def _exchanged(draw: st.DrawFn, phases: dict[str, tuple[Step, ...]]) -> dict[str, tuple[Step, ...]]:
    """Two phases with each other's steps, and some steps under another name."""
    if len(phases) > 1 and draw(st.booleans()):
        one, other = draw(st.permutations(list(phases)))[:2]
        phases = {**phases, one: phases[other], other: phases[one]}
    return {
        name: tuple(
            step if draw(st.booleans()) else msgspec.structs.replace(step, name=f"s{at}")
            for at, step in enumerate(steps)
        )
        for name, steps in phases.items()
    }


pairs = documents().flatmap(lambda document: st.tuples(st.just(document), documents() | edited(document)))
few = settings(max_examples=80, deadline=None)
many = settings(max_examples=200, deadline=None)


@few
@given(documents())
def test_a_document_does_not_differ_from_itself(document: Discovery) -> None:
    assert compare(document, document) == ()


@many
@given(pairs)
def test_the_way_back_is_the_mirror_of_the_way_there(pair: tuple[Discovery, Discovery]) -> None:
    before, after = pair

    there, back = compare(before, after), compare(after, before)

    assert sorted((change.mirrored() for change in there), key=Change.sort_key) == list(back)


@many
@given(pairs)
def test_documents_without_a_change_have_one_plan(pair: tuple[Discovery, Discovery]) -> None:
    before, after = pair

    if plan_digest(build_plan(before)) != plan_digest(build_plan(after)):
        assert compare(before, after)


@many
@given(pairs)
def test_plans_without_their_documents_differ_where_their_digests_do(pair: tuple[Discovery, Discovery]) -> None:
    before, after = map(build_plan, pair)

    changes = compare_plans(before, after, labels=("before", "after")).changes

    assert bool(changes) is (plan_digest(before) != plan_digest(after))


@few
@given(documents(), st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_written_is_no_change(document: Discovery, random: Random) -> None:
    raw = shuffled(decoded(document), lambda keys: random.sample(keys, len(keys)))
    random.shuffle(raw["projects"])
    for project in raw["projects"]:
        for steps in project["phases"].values():
            random.shuffle(steps)

    assert compare(document, msgspec.convert(raw, Discovery)) == ()


@few
@given(documents(), st.randoms(use_true_random=False))
def test_the_order_of_arguments_is_told_as_an_order(document: Discovery, random: Random) -> None:
    raw = decoded(document)
    for project in raw["projects"]:
        for steps in project["phases"].values():
            for step in steps:
                random.shuffle(step.get("args", []))

    changes = compare(document, msgspec.convert(raw, Discovery))

    assert {change.kind for change in changes} <= {Kind.REORDERED}


@few
@given(documents(), st.integers(1, 1000), st.integers(2, 9))
def test_groups_that_keep_their_order_are_renumbered(document: Discovery, offset: int, factor: int) -> None:
    phases = {
        name: msgspec.structs.replace(phase, group=phase.group * factor + offset)
        for name, phase in document.repository.phases.items()
    }

    changes = compare(document, complete(phases, document.projects))

    assert {change.kind for change in changes} == ({Kind.RENUMBERED} if phases else set())
    assert len(changes) == len(phases)


@few
@given(documents(), st.sampled_from(["name", "path", "both"]))
def test_a_project_that_is_called_otherwise_is_one_change(document: Discovery, what: str) -> None:
    """Without a new path its name does not matter, without a new name its path does not."""
    if not document.projects:
        return
    first, *others = document.projects
    name = "renamed" if what != "path" else first.name
    path = "elsewhere/renamed" if what != "name" else first.path
    if what == "both" and not _has_content_of_its_own(first, others):
        return
    renamed = msgspec.structs.replace(first, name=name, path=path)

    (change,) = compare(document, complete(document.repository.phases, [renamed, *others]))

    assert change.kind is (Kind.MOVED if what == "path" else Kind.RENAMED)
    assert (change.before and change.before.name, change.after and change.after.name) == (first.name, name)


def _has_content_of_its_own(project: Project, others: list[Project]) -> bool:
    content = (project.phases, project.artifacts)
    return any(project.phases.values()) and content not in [(other.phases, other.artifacts) for other in others]
