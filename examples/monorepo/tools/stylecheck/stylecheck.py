"""stylecheck - the style rules of this repository's Python code, with the standard library alone.

Usage: python3 stylecheck.py PATH...     (a directory means every .py file below it)

Exit code 0: nothing found; 1: findings, one a line as path:line: message; 2: a path does not exist.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

LINE_LENGTH = 110

Finding = tuple[int, str]  # line, message


def check(source: str, is_test: bool = False) -> list[Finding]:
    """All findings in one file, by line. In tests the names are the documentation."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return [(error.lineno or 1, f"syntax error: {error.msg}")]
    findings = [*untidy_lines(source), *unused_imports(tree), *traps(tree)]
    findings += missing_docstrings(tree, modules_only=is_test)
    return sorted(findings)


def untidy_lines(source: str) -> Iterator[Finding]:
    """Long lines, trailing blanks and tabs."""
    for number, line in enumerate(source.splitlines(), start=1):
        if len(line) > LINE_LENGTH:
            yield number, f"line of {len(line)} characters (at most {LINE_LENGTH})"
        if line != line.rstrip():
            yield number, "blank at the end of the line"
        if "\t" in line:
            yield number, "tab (use spaces)"


def unused_imports(tree: ast.Module) -> Iterator[Finding]:
    """Names that an import binds and nothing reads."""
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                if name not in read:
                    yield node.lineno, f"import of {name} is not used"


def traps(tree: ast.Module) -> Iterator[Finding]:
    """Constructs that read well and surprise later."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield node.lineno, "bare except also catches Ctrl-C (name the exceptions)"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for default in [*node.args.defaults, *node.args.kw_defaults]:
                if isinstance(default, (ast.List, ast.Dict, ast.Set)):
                    yield default.lineno, f"{node.name}: mutable default is shared by all calls"


def missing_docstrings(tree: ast.Module, modules_only: bool) -> Iterator[Finding]:
    """Modules, public functions and public classes without a docstring."""
    if not ast.get_docstring(tree):
        yield 1, "module has no docstring"
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not modules_only:
            if not node.name.startswith("_") and not ast.get_docstring(node):
                yield node.lineno, f"{node.name} has no docstring"


def main(arguments: list[str]) -> int:
    """Check every given path and print the findings."""
    files: list[Path] = []
    for path in map(Path, arguments):
        if not path.exists():
            print(f"stylecheck: {path} does not exist", file=sys.stderr)
            return 2
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]

    count = 0
    for path in files:
        is_test = path.name.startswith("test_")
        for line, message in check(path.read_text(encoding="utf-8"), is_test):
            print(f"{path}:{line}: {message}")
            count += 1
    print(f"stylecheck: {len(files)} files, {count} findings")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
