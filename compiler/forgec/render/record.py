"""A diagnostic as an error record of job results and the API."""

from typing import Any

from forgec.diagnostic import Diagnostic


def error_record(diagnostic: Diagnostic) -> dict[str, Any]:
    """Never retried, since the text stays wrong."""
    record: dict[str, Any] = {
        "code": diagnostic.code.error_code,
        "message": diagnostic.message,
        "component": "compiler",
        "class": "config",
        "retryable": False,
        "context": {"diagnostic": diagnostic.code.id},
    }
    if diagnostic.span is not None:
        at = diagnostic.span.position
        record["location"] = {"file": diagnostic.span.source.name, "line": at.line, "column": at.column}
    return record
