"""Checks the shop's settings: python3 check.py ENVIRONMENT...

An environment is base.json with ENVIRONMENT.json laid over it. rules.json says for every setting what it
may be: one of some words, a whole number in a range, or a text of some shape. Secrets have the shape of a
reference, so a secret's value can never pass.
"""

import json
import re
import sys
from pathlib import Path


def broken(rule, value):
    """Why the value breaks the rule, or None."""
    match rule:
        case {"one_of": words}:
            return None if value in words else f"must be one of {', '.join(words)}"
        case {"from": low, "to": high}:
            fits = type(value) is int and low <= value <= high
            return None if fits else f"must be a whole number from {low} to {high}"
        case {"matches": pattern}:
            fits = isinstance(value, str) and re.fullmatch(pattern, value)
            return None if fits else f"must look like {pattern}"
    return f"has a rule that nobody understands: {rule}"


def problems(settings, rules):
    """Everything that is wrong with one environment. Values stay out of the text: they may be secrets."""
    found = [f"{name}: is missing" for name in rules if name not in settings]
    for name, value in settings.items():
        reason = broken(rules[name], value) if name in rules else "is not known to rules.json"
        if reason:
            found.append(f"{name}: {reason}")
    if not found and settings["opening_hour"] >= settings["closing_hour"]:
        found.append("opening_hour: must be before closing_hour")
    return found


def load(name):
    """One JSON file beside this one."""
    return json.loads(Path(name).read_text(encoding="utf-8"))


def main(environments):
    """Check each environment and print what was found."""
    rules, base = load("rules.json"), load("base.json")
    count = 0
    for environment in environments:
        found = problems(base | load(f"{environment}.json"), rules)
        for problem in found:
            print(f"{environment}: {problem}")
        if not found:
            print(f"{environment}: {len(rules)} settings, all fine")
        count += len(found)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
