"""Where the two engines differ on purpose.

What the built-in evaluator refuses and CUE evaluates is an error that says so, never another value. It accepts one
thing that CUE does not: a reference in place of a value that is known later.
"""

from typing import Final

from forgec.diagnostic import Code, Diagnostic

KNOWN: Final = {
    (Code.UNSUPPORTED, ""): "a construct outside the dialect is named, and left to --cue-engine=cue",
    (Code.SYNTAX, 'a value is expected, found "*"'): "a mark of a mark, **1, says nothing more",
    (Code.SYNTAX, "is not a number"): "0X_1, 1._5 and 00.5 are no numbers in CUE's specification",
    (
        Code.SYNTAX,
        ", a word of the language",
    ): "`for`, `if`, `in`, `let`, `package`, `import` are names of fields only",
    (Code.SYNTAX, 'expected, found "=="'): "a bound of one value, `==1`, says no more than the value",
    (Code.SYNTAX, 'begins with "__"'): "to CUE only the first of several names, as in `a: __b: 1`",
    (Code.SYNTAX, " is no name of a field here"): "to CUE a name is `try` in `X=try: 1`",
    (Code.SYNTAX, '" is a word of the language'): "the same for `else` and others, as aliases",
    (Code.SYNTAX, "a pattern for field names takes no"): "a mark of a pattern says nothing",
    (Code.SYNTAX, "the attribute is not closed on its line"): "one that is not closed would take in the rest",
    (Code.SYNTAX, 'the character "#" has no meaning here'): "`#` alone is a name to CUE, and a comment to many people",
    (Code.BAD_VALUE, "only numbers of 64 bits are parsed"): "strconv.ParseFloat knows the numbers that JSON has",
    (Code.BAD_VALUE, "has a case that the built-in evaluator does not know"): "Python and Go disagree on the letter",
    (Code.BAD_VALUE, "is no base of a number"): "digits beyond z are of no use to a configuration",
    (Code.WRONG_TYPE, "a file holds fields, not a single value"): "a .forge file is an object",
    (Code.CYCLE, "is needed to find out what it is itself"): "every field is evaluated once, and whole",
    (Code.CYCLE, "where it is needed to find out what "): "the same, for a field that is not there by then",
    (Code.CYCLE, "is needed to find out what is in it"): "the same, for a calculation with a struct around it",
    (Code.CYCLE, "needs its own value"): "the same, for a value that would be the same again",
    (Code.CYCLE, "is needed before the struct that it is in"): "the same, for what stands in a struct and is taken out",
    (
        Code.CYCLE,
        "contains itself: ",
    ): "CUE drops an alternative that contains itself, or keeps what is not data",
    (Code.CYCLE, "whether there is a field "): "CUE looks at some fields before the conditions beside them",
    (Code.CYCLE, "is asked for to find out "): "the same, where the text tells what is asked for",
    (Code.CYCLE, "is needed to find out what fields there are"): "the same, for a struct as a whole",
    (Code.CYCLE, ", which a computed name leads to, "): "CUE evaluates conditions and computed names by turns",
    (Code.CYCLE, ", which a comprehension adds to, "): "the same, the other way round",
    (Code.CYCLE, "the order of its fields is not decided"): "a loop through what a comprehension adds to",
    (Code.CYCLE, " are each other's value"): "CUE overlooks what is closed in `let L = #E & {...}, #E: L`",
    (Code.CYCLE, "the value of let "): "to CUE, a let in its own value is one further outside or further inside",
    (Code.CYCLE, "refers to itself, in what is closed"): "`close({a: a})` and `{#D: a: a, #E}` do not allow a, to CUE",
    (Code.CYCLE, " is closed to find out what "): "a circle to CUE, except where the struct is a copy of another",
    (Code.INCOMPLETE, "none of them the default"): "marks inside alternatives count, but not those of all ways to them",
    (Code.INCOMPLETE, "the marks single out none of them"): "the same, where the alternatives can be told apart",
    (Code.INCOMPLETE, "it can be a list or "): "lists under different constraints are two, also where both give one",
    (Code.INCOMPLETE, " or a list"): "the same, told in the other order",
    (Code.INCOMPLETE, "and a comprehension adds nothing"): "`{if false {…}} & string` is no string, and no struct",
    (Code.INCOMPLETE, "is not decided"): "the same, for a value that is looked into",
    (Code.UNRESOLVED, "is closed and has no field"): "to CUE an error only where the struct was evaluated before",
    (Code.SYNTAX, "carriage return that ends no line"): "CUE drops it from the text",
    (Code.BAD_VALUE, "is not a whole number of base 0"): "leading zeros and underscores, as Go writes numbers",
    (Code.BAD_VALUE, "the operand "): "the same, inside an expression",
    (Code.BAD_VALUE, "is -0, "): "CUE has a minus zero, also of whole numbers",
    (Code.BAD_VALUE, '_000" is not a number'): "the same for strconv.ParseFloat",
    (Code.WRONG_TYPE, "orders numbers or strings"): "other values are in no order, and to CUE never sorted",
    (Code.WRONG_TYPE, "is a type where a value is needed"): "CUE overlooks a type in what is no data",
    (Code.WRONG_TYPE, "where a single value is needed"): "CUE may overlook an operand around a hidden field",
    (
        Code.UNKNOWN_FIELD,
        " is not allowed by way of ",
    ): "to CUE, `#D.a` is mostly open by way of `b: #D.a`",
    (Code.CONFLICT, "as far as they are known"): "of alternatives that are not data, CUE waits for one without a value",
    (Code.CONFLICT, ", and is needed to find out what "): "CUE overlooks a conflict in what a condition asked for",
    (Code.UNRESOLVED, "is declared but not given"): "CUE drops a loop through `{l: m, m?: 1}` whose clauses ask for l",
    (Code.UNRESOLVED, "items, no item"): "CUE overlooks an item out of range among those of a list that is cut",
    (Code.CONFLICT, "whatever its alternatives are"): "of what is not data, CUE waits for an alternative first",
    (Code.CONFLICT, "is none of or("): "CUE overlooks a choice of `or` with an item that needs the field itself",
    (
        Code.UNRESOLVED,
        "has alternatives besides",
    ): "CUE overlooks a reference beside alternatives, where a loop adds names",
    (Code.CONFLICT, "the operand "): "CUE overlooks limits of `a & b` inside an expression: \"\\(=~'x' & 'y')\"",
    (Code.MISSING_FIELD, "the operand "): "the same, where one side lacks a field",
    (Code.UNRESOLVED, "the operand "): "the same, where one side is not there",
    (Code.INCOMPLETE, "the operand "): "the same, where one side is not concrete",
    (Code.UNKNOWN_FIELD, "the operand "): "the same, where one side is closed",
    (Code.CYCLE, "the operand "): "the same, where one side needs itself",
    (
        Code.UNRESOLVED,
        "needs the value of every item",
    ): "CUE's list.Contains and FlattenN go on without an item that is not there",
    (Code.INCOMPLETE, "needs the value of every item"): "the same, where it is not concrete",
    (Code.MISSING_FIELD, "needs the value of every item"): "the same, where it lacks a required field",
    (Code.BAD_VALUE, "needs the value of every item"): "every function does, of `[1, 1/0][0:]` as its argument",
    (Code.WRONG_TYPE, "needs the value of every item"): "the same, for an item of a wrong type",
    (Code.CONFLICT, "needs the value of every item"): "the same, for one that contradicts itself",
    (Code.UNKNOWN_FIELD, "needs the value of every item"): "the same, for one with a field that is not allowed",
    (Code.WRONG_TYPE, " here, not "): "an argument of a wrong kind; CUE may wait for another one first",
    (Code.CONFLICT, "the computed name "): "CUE makes a name of what it knows of the field by then",
    (Code.UNRESOLVED, "the computed name "): "the same, where that refers to nothing",
    (Code.TOO_DEEP, ""): "evaluation is bounded: nesting, steps, alternatives, the size of texts",
    (Code.BAD_VALUE, "beyond ±2^53"): "whole numbers that readers of JSON would round are refused",
    (Code.SYNTAX, "beyond ±2^53"): "the same, for a number that is written out",
    (Code.BAD_VALUE, "the number is too large"): "numbers beyond a double's range have no JSON that readers agree on",
    (Code.SYNTAX, "the number is too large"): "the same, for a number that is written out",
}
"""Code, and a part of the message that tells the case apart, to the reason."""

REFERENCES: Final = frozenset({"@artifact", "@repo"})


def has_reference(data: object) -> bool:
    match data:
        case dict():
            return not REFERENCES.isdisjoint(data) or any(has_reference(each) for each in data.values())
        case list():
            return any(has_reference(each) for each in data)
        case _:
            return False


def reason_to_refuse(diagnostic: Diagnostic) -> str | None:
    for (code, part), reason in KNOWN.items():
        if diagnostic.code is code and part in diagnostic.message:
            return reason
    return None
