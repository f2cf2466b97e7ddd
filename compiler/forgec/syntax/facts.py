"""What the conjuncts of a vertex come to together."""

from forgec.syntax import problem
from forgec.syntax.budget import Budget
from forgec.syntax.value import Basic, Kind, meet
from forgec.syntax.vertex import Fact, Vertex


def meet_facts(vertex: Vertex, budget: Budget) -> None:
    if vertex.cyclic and vertex.structs and not vertex.facts:  # {x} where nothing but x itself says what x is
        vertex.facts.append(Fact(Basic(Kind.STRUCT), vertex.structs[0]))
    for index, fact in enumerate(vertex.facts):
        # Limits are compared with each other, so many of them are many more steps.
        limits = len(vertex.basic.limits)
        budget.step(fact.span, limits**2 // 4)
        if fact.basic.atom is not None and isinstance(fact.basic.atom.value, str):
            budget.read(fact.span, len(fact.basic.atom.value) * (1 + limits))
        met = meet(vertex.basic, fact.basic)
        if met is None:
            earlier = vertex.facts[:index]
            other = next((each for each in earlier if meet(each.basic, fact.basic) is None), earlier[-1])
            vertex.problems.append(problem.conflict(vertex, other, fact))
            return
        vertex.basic = met


def check_ends(vertex: Vertex) -> None:
    """A struct or list made of nothing but literals that it is inside of already goes on for ever."""
    literals = [*vertex.structs, *vertex.lists]
    if literals and all(each.key in each.trail for each in literals):
        vertex.problems.append(problem.contains_itself(vertex))
        vertex.endless = frozenset(each.expr for each in literals)
        vertex.fields.clear()
        vertex.lists.clear()
