"""What can be wrong with a vertex, in words and places.

The main place is where the user wrote the value; a definition that asks for something else is related.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic, Related
from forgec.nearest import did_you_mean
from forgec.source import Span
from forgec.syntax import ast
from forgec.syntax.value import Basic, Check, Kind, TooLarge
from forgec.syntax.vertex import Closing, Conjunct, Fact, State, Vertex, own

OTHER_ENGINE: Final = "--cue-engine=cue evaluates it"
"""The way out of the dialect, for every message about a construct that is not in it."""


class Unknown(Exception):
    """An expression has no value, for a reason that is reported elsewhere where there is no diagnostic.

    `final`: nothing that is unified later can give it one. `possible`: the part that lacks a value, where it is a type.
    """

    def __init__(
        self, diagnostic: Diagnostic | None, *, final: bool = False, possible: tuple[ast.Expr, Basic] | None = None
    ) -> None:
        super().__init__()
        self.diagnostic = diagnostic
        self.final = final
        self.possible = possible


def note_unknown(vertex: Vertex, unknown: Unknown) -> None:
    """One of a vertex's expressions has no value."""
    if unknown.diagnostic is None:
        vertex.unreported = True
    elif unknown.final:
        vertex.problems.append(unknown.diagnostic)
    else:
        vertex.unknown = vertex.unknown or unknown.diagnostic


def nameless(name: ast.Expr, unknown: Unknown) -> Unknown:
    """Why a computed name has no value. It is a problem by itself, also where its parts are given later on."""
    cause = unknown.diagnostic
    if cause is None or cause.code in (Code.UNSUPPORTED, Code.CYCLE):
        return unknown
    related = () if cause.span is None else (Related(cause.span, cause.message),)
    message = f"the computed name {name.span.text} has no value"
    return Unknown(Diagnostic(cause.code, message, name.span, (*related, *cause.related)), final=unknown.final)


def wrong(code: Code, message: str, span: Span) -> Unknown:
    return Unknown(Diagnostic(code, message, span), final=True)


def wrong_value(error: TypeError | ValueError, span: Span) -> Unknown:
    """What an operator or a function complains of."""
    match error:
        case TypeError():
            return wrong(Code.WRONG_TYPE, str(error), span)
        case TooLarge():
            return wrong(Code.TOO_DEEP, str(error), span)
        case _:
            return wrong(Code.BAD_VALUE, str(error), span)


def conflict(vertex: Vertex, first: Fact, second: Fact) -> Diagnostic:
    """Two facts that have no value in common."""
    rank = [(bool(fact.conjunct.closings), fact.basic.atom is None) for fact in (first, second)]
    main, other = (first, second) if rank[0] < rank[1] else (second, first)
    message = f"{vertex.name}: {main.basic} conflicts with {other.basic}"
    if vertex.disjunctions:
        message = f"{message}, whatever its alternatives are"
    if vertex.parent is not None and vertex.parent.state is State.EXPANDING:
        message = f"{message}, and is needed to find out what {vertex.parent.name} is"
    return Diagnostic(Code.CONFLICT, message, main.span, (Related(other.span, f"{other.basic} is asked for here"),))


def list_lengths(vertex: Vertex, longest: Conjunct, shorter: Conjunct, lengths: tuple[int, int]) -> Diagnostic:
    message = f"{vertex.name}: a list of {lengths[0]} items conflicts with a list of {lengths[1]}"
    related = Related(shorter.expr.span, f"a list of {lengths[1]} is asked for here")
    return Diagnostic(Code.CONFLICT, message, longest.expr.span, (related,))


def no_alternative(
    vertex: Vertex, conjunct: Conjunct, terms: list[str], failures: list[Diagnostic], unknown: Diagnostic | None
) -> Diagnostic:
    """Every alternative of a disjunction failed, or one of them is not known for the reason given."""
    related = [Related(conjunct.expr.span, "the alternatives")]
    known = ""
    if unknown is not None and unknown.span is not None:
        known = ", as far as they are known"
        related.append(Related(unknown.span, unknown.message))
    atoms = [fact for fact in vertex.facts if fact.basic.atom]
    if atoms:
        fact = own(atoms, lambda each: each.conjunct.closings)
        message = f"{vertex.name}: {fact.basic} is none of {', '.join(terms)}{known}"
        advice = did_you_mean(str(fact.basic), terms, quoted=False)
        return Diagnostic(Code.CONFLICT, message, fact.span, tuple(related), help=advice)
    related += [Related(each.span, each.message) for each in failures[:4] if each.span and each is not unknown]
    message = f"{vertex.name} fits none of its alternatives{known}"
    return Diagnostic(Code.CONFLICT, message, vertex.place, tuple(related))


def beside_alternatives(vertex: Vertex, cause: Diagnostic) -> Diagnostic:
    """A plain reference without a value, in a field that has alternatives."""
    if cause.code is not Code.UNRESOLVED:
        return cause
    return replace(cause, message=f"{cause.message}, and {vertex.name} has alternatives besides")


def too_many_alternatives(vertex: Vertex, conjunct: Conjunct, most: int) -> Diagnostic:
    message = f"{vertex.name} has more than {most} alternatives that fit"
    return Diagnostic(Code.TOO_DEEP, message, conjunct.expr.span, help="give it a value that decides")


def not_allowed(vertex: Vertex, child: Vertex, name: str, closing: Closing, allowed: set[str]) -> Diagnostic:
    key = next((key for key in child.keys if closing not in key.closings), child.keys[0])
    where = f"{vertex.name}: " if vertex.path else ""
    message = f'{where}the field "{name}" is not allowed'
    use = closing.use
    if use is not None and use.referred and isinstance(use.expr, ast.Selector | ast.Index):
        message = f"{message} by way of {use.expr.span.text}"  # which to CUE is open there
    related = Related(closing.span, "closed by this definition")
    return Diagnostic(Code.UNKNOWN_FIELD, message, key.span, (related,), help=did_you_mean(name, allowed))


def not_told_apart(vertex: Vertex, label: ast.Label, closing: Closing) -> Diagnostic:
    what = f"a field that {closing.span.text} does not declare, in what is embedded together with it"
    message = f"{what}, is not supported"
    related = Related(closing.span, "closed by this definition")
    where = f"{vertex.name}: " if vertex.path else ""
    return Diagnostic(Code.UNSUPPORTED, f"{where}{message}", label.span, (related,), help=OTHER_ENGINE)


def covered_inside(vertex: Vertex, child: Vertex, name: str, closing: Closing) -> Diagnostic:
    what = f'"{name}", which {closing.span.text} does not declare but what is embedded together with it does'
    related = Related(closing.span, "closed by this definition")
    where = f"{vertex.name}: " if vertex.path else ""
    message = f"{where}what there may be in {what}, is not supported"
    return Diagnostic(Code.UNSUPPORTED, message, child.keys[0].span, (related,), help=OTHER_ENGINE)


def missing(vertex: Vertex, child: Vertex) -> Diagnostic:
    related = Related(child.keys[0].span, "required here")
    return Diagnostic(Code.MISSING_FIELD, f"{child.path} is required but not given", vertex.place, (related,))


def incomplete(vertex: Vertex) -> Diagnostic:
    """Data is asked for, and the vertex still has more than one possible value."""
    if vertex.cyclic:
        return Diagnostic(Code.CYCLE, f"{vertex.name} is defined by itself alone", vertex.place)
    declared = vertex.conjuncts[0].expr.span
    related = () if declared == vertex.place else (Related(declared, "declared here"),)
    message = f"{vertex.name} has no concrete value: it can be {possibilities(vertex)}"
    if vertex.late and not vertex.basic.kinds & Kind.STRUCT:  # CUE takes it for an empty struct
        message = f"{message}, and a comprehension adds nothing"
    return Diagnostic(Code.INCOMPLETE, message, vertex.place, related)


def contains_itself(vertex: Vertex) -> Diagnostic:
    return Diagnostic(Code.CYCLE, f"{vertex.name} contains itself: it refers to a value around it", vertex.place)


def added_late(vertex: Vertex, name: str, place: Span, looked_up: Span) -> Diagnostic:
    message = f'{vertex.name}: whether there is a field "{name}" is needed to find out whether there is one'
    return Diagnostic(Code.CYCLE, message, place, (Related(looked_up, "looked up here"),))


def needed_early(vertex: Vertex, place: Span) -> Diagnostic:
    return Diagnostic(Code.CYCLE, f"{vertex.name} is needed to find out what it is itself", place)


def list_in_choice(vertex: Vertex, place: Span) -> Diagnostic:
    """To CUE, such a list sometimes has no value."""
    message = (
        f"{vertex.name} refers to a list inside a struct with alternatives inside alternatives, which is not supported"
    )
    return Diagnostic(Code.UNSUPPORTED, message, place, help=OTHER_ENGINE)


def marked(vertex: Vertex, bottom: ast.Bottom) -> Diagnostic:
    return Diagnostic(Code.CONFLICT, f"{vertex.name} is marked as an error (_|_)", bottom.span)


def possibilities(vertex: Vertex) -> str:
    """What a vertex can still be."""
    if not vertex.is_ambiguous:
        return str(vertex.basic)
    texts = [str(alternative.basic) for alternative, _ in vertex.alternatives]
    if len(set(texts)) < len(texts):
        return f"any of {len(texts)} alternatives, none of them the default"
    return " or ".join(texts[:8]) + (", and the marks single out none of them" if _has_marks(vertex) else "")


def without_value(vertex: Vertex, message: str, expr: ast.Expr, undecided: list[Diagnostic]) -> Unknown:
    """An operand that is not decided. Where marks say nothing, CUE may take one of them for a default."""
    diagnostic = Diagnostic(Code.INCOMPLETE, message, expr.span)
    if not vertex.is_ambiguous:
        return Unknown(diagnostic, possible=(expr, vertex.basic))
    if _has_marks(vertex):
        undecided.append(diagnostic)
    return Unknown(diagnostic)


def _has_marks(vertex: Vertex) -> bool:
    return any(marked for _, marked in vertex.met) or bool(vertex.marked)


def unknown_function(package: str, name: str, span: Span, known: Iterable[str]) -> Diagnostic:
    message = f"{package}.{name} is no function that the built-in evaluator knows"
    near = did_you_mean(name, known)
    return Diagnostic(Code.UNSUPPORTED, message, span, help=f"{near} ({OTHER_ENGINE})" if near else OTHER_ENGINE)


def check_failed(vertex: Vertex, fact: Fact, check: Check) -> Diagnostic:
    message = f"{vertex.name}: the list does not satisfy {check}"
    return Diagnostic(Code.CONFLICT, message, vertex.lists[0].expr.span, (Related(fact.span, "asked for here"),))
