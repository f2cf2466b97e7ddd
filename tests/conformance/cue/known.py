"""Where the built-in evaluator refuses what CUE evaluates. Each is an error that says so, never another value."""

from typing import Final

from forgec.diagnostic import Code, Diagnostic

KNOWN: Final = {
    (Code.UNSUPPORTED, ""): "a construct outside the dialect is named, and left to --cue-engine=cue",
    (Code.SYNTAX, "is not a number"): "0X_1, 1._5 and 00.5 are no numbers in CUE's specification",
    (Code.BAD_VALUE, "only numbers of 64 bits are parsed"): "strconv.ParseFloat knows the numbers that JSON has",
    (Code.BAD_VALUE, "has a case that the built-in evaluator does not know"): "Python and Go disagree on the letter",
    (Code.BAD_VALUE, "is no base of a number"): "digits beyond z are of no use to a configuration",
    (Code.WRONG_TYPE, "a file holds fields, not a single value"): "a .forge file is an object",
    (Code.TOO_DEEP, ""): "evaluation is bounded: nesting, steps, alternatives, the size of texts",
    (Code.BAD_VALUE, "beyond ±2^53"): "whole numbers that readers of JSON would round are refused",
    (Code.SYNTAX, "beyond ±2^53"): "the same, for a number that is written out",
    (Code.BAD_VALUE, "the number is too large"): "numbers beyond a double's range have no JSON that readers agree on",
    (Code.SYNTAX, "the number is too large"): "the same, for a number that is written out",
}
"""Code, and a part of the message that tells the case apart, to the reason."""


def reason_to_refuse(diagnostic: Diagnostic) -> str | None:
    for (code, part), reason in KNOWN.items():
        if diagnostic.code is code and part in diagnostic.message:
            return reason
    return None
