"""`image: artifacts.web.image`, the plain form of `image: _ @artifact("web.image")`.

What an artifact will have come to is no field of what the file says of it. A reference into `artifacts` that finds no
field there stands for the value that a release will know; discovery checks that it will.
"""

from typing import Final

from forgec.syntax import ast
from forgec.syntax.vertex import Scope, Vertex

ARTIFACTS: Final = "artifacts"
"""The field of a project's file that names its artifacts."""


def promised(expr: ast.Expr, scope: Scope, root: Vertex) -> ast.Attribute | None:
    """The attribute that a reference without a value stands for, if it leads into one of the artifacts."""
    names: list[str] = []
    base = expr
    while isinstance(base, ast.Selector | ast.Index):
        name = base.name if isinstance(base, ast.Selector) else _literal(base.index)
        if name is None:
            return None
        names.insert(0, name)
        base = base.base
    if len(names) < 2 or not isinstance(base, ast.Reference) or base.name != ARTIFACTS or _is_shadowed(scope, root):
        return None
    artifacts = root.fields.get(ARTIFACTS)
    if artifacts is None or names[0] not in artifacts.fields:
        return None
    return ast.Attribute("artifact", ".".join(names), expr.span)


def _literal(index: ast.Expr) -> str | None:
    return index.value if isinstance(index, ast.Literal) and isinstance(index.value, str) else None


def _is_shadowed(scope: Scope, root: Vertex) -> bool:
    """Whether something nearer than the file's own field has the name."""
    at: Scope | None = scope
    while at is not None:
        if ARTIFACTS in at.bound or ARTIFACTS in at.imports or (ARTIFACTS in at.names and at.vertex is not root):
            return True
        at = at.parent
    return False
