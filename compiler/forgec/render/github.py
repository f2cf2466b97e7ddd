"""Findings as workflow commands, which GitHub Actions shows at their lines of a pull request.

    ::error file=web/.forge/project.cue,line=3,col=1,endLine=3,endColumn=4,title=FC203::unknown field "nmae"

GitHub reads commands wherever a line of a step's output begins with `::`, so everything is on one line, escaped, and
nothing of a repository can begin a command. It shows at most 10 errors and 10 warnings of a step as annotations; the
log has all of them, and a notice says so.
"""

from collections.abc import Sequence
from typing import Final

from forgec.render.escape import escaped
from forgec.render.finding import Finding, count, counted

SHOWN_MAX: Final = 10
"""Annotations of one type that GitHub shows of a step."""


def render_github(findings: Sequence[Finding]) -> str:
    lines = [_command(finding) for finding in findings]
    if max(count(findings)) > SHOWN_MAX:
        lines.append(f"::notice::{SHOWN_MAX} annotations of a type are shown; this log has {counted(findings)}")
    return "".join(f"{line}\n" for line in lines)


def _command(finding: Finding) -> str:
    properties: dict[str, str | int] = {}
    place = finding.place
    if place is not None:
        properties["file"] = place.file
        if place.start is not None:
            properties |= {"line": place.start.line, "col": place.start.column}
            if place.end is not None and place.end.line == place.start.line:
                # Theirs includes the last column, and is refused where lines differ.
                last = max(place.end.column - 1, place.start.column)
                properties |= {"endLine": place.end.line, "endColumn": last}
    properties["title"] = finding.code
    listed = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{finding.severity.value} {listed}::{_data(_text(finding))}"


def _text(finding: Finding) -> str:
    project = f"{finding.project}: " if finding.project else ""
    lines = [project + finding.message]
    for place, message in finding.related:
        at = f":{place.start.line}:{place.start.column}" if place.start else ""
        lines.append(f"{place.file}{at}: {message}")
    if finding.help:
        lines.append(f"help: {finding.help}")
    return "\n".join(map(escaped, lines))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(escaped(text)).replace(":", "%3A").replace(",", "%2C")
