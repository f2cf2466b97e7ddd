"""The package `list`."""

import functools
from typing import Final

from forgec.syntax.number import Number, calculate, whole_if_possible
from forgec.syntax.operators import REPEATS_MAX
from forgec.syntax.plain import Plain, same
from forgec.syntax.standard.function import Function, Item, Order, Parameter, checked_length


def _concat(lists: list[Item]) -> list[Item]:
    result: list[Item] = []
    for each in lists:
        items = each.items()
        if items is None:
            raise TypeError("list.Concat takes a list of lists")
        result += items
        checked_length(len(result))
    return result


def _flatten(items: list[Item], depth: int) -> list[Item]:
    """`depth` levels; all of them where it is negative."""
    result: list[Item] = []
    pending = [(item, depth) for item in reversed(items)]
    while pending:
        item, levels = pending.pop()
        inner = item.items() if levels else None
        if inner is None:
            result.append(item)
        else:
            pending += [(each, levels - 1) for each in reversed(inner)]
        checked_length(len(result) + len(pending))
    return result


def _repeat(items: list[Item], count: int) -> list[Item]:
    if count < 0:
        raise ValueError(f"{count} is no number of repetitions")
    if count > REPEATS_MAX:
        raise ValueError(f"{count} repetitions are more than {REPEATS_MAX}")
    checked_length(len(items) * count)
    return items * count


def _slice(items: list[Item], start: int, end: int) -> list[Item]:
    if not 0 <= start <= end <= len(items):
        raise ValueError(f"{start}:{end} is no part of a list of {len(items)} items")
    return items[start:end]


def _take(items: list[Item], count: int) -> list[Item]:
    return items[: _natural(count)]


def _drop(items: list[Item], count: int) -> list[Item]:
    return items[_natural(count) :]


def _natural(count: int) -> int:
    if count < 0:
        raise ValueError(f"{count} is no number of items")
    return count


def _range(start: Number, limit: Number, step: Number) -> list[Number]:
    if step == 0:
        raise ValueError("a step of 0 leads nowhere")
    if (limit < start and step > 0) or (limit > start and step < 0):
        raise ValueError(f"steps of {step} do not lead from {start} to {limit}")
    checked_length(abs(int(calculate(calculate(limit, "-", start), "/", step))))
    result: list[Number] = []
    at = start
    while (at < limit) if step > 0 else (at > limit):
        result.append(whole_if_possible(at))
        at = calculate(at, "+", step)
    return result


def _sum(numbers: list[Number]) -> Number:
    total: Number = 0
    for each in numbers:
        total = calculate(total, "+", each)
    return whole_if_possible(total)


def _product(numbers: list[Number]) -> Number:
    total: Number = 1
    for each in numbers:
        total = calculate(total, "*", each)
    return whole_if_possible(total)


def _average(numbers: list[Number]) -> Number:
    return whole_if_possible(calculate(_sum(_some(numbers)), "/", len(numbers)))


def _some(numbers: list[Number]) -> list[Number]:
    if not numbers:
        raise ValueError("the list is empty")
    return numbers


def _contains(values: list[Plain], value: Plain) -> bool:
    return any(same(each, value) for each in values)


def _unique(values: list[Plain]) -> bool:
    checked_length(len(values) ** 2 // 100)  # every pair is compared
    return not any(same(value, other) for at, value in enumerate(values) for other in values[:at])


def _sort(items: list[Item], less: Order) -> list[Item]:
    def compare(left: Item, right: Item) -> int:
        before, after = less(left, right), less(right, left)
        if before and after:
            raise ValueError("by this order two items come each before the other")
        return after - before

    return sorted(items, key=functools.cmp_to_key(compare))


_I, _W, _N, _NS, _V = Parameter.ITEMS, Parameter.WHOLE, Parameter.NUMBER, Parameter.NUMBERS, Parameter.VALUES

FUNCTIONS: Final = {
    "Avg": Function((_NS,), _average),
    "Concat": Function((_I,), _concat),
    "Contains": Function((_V, Parameter.VALUE), _contains, is_check=True),
    "Drop": Function((_I, _W), _drop),
    "FlattenN": Function((_I, _W), _flatten),
    "IsSortedStrings": Function((Parameter.TEXTS,), lambda texts: texts == sorted(texts)),
    "Max": Function((_NS,), lambda numbers: whole_if_possible(max(_some(numbers)))),
    "MaxItems": Function((_I, _W), lambda items, most: len(items) <= most, is_check=True),
    "Min": Function((_NS,), lambda numbers: whole_if_possible(min(_some(numbers)))),
    "MinItems": Function((_I, _W), lambda items, least: len(items) >= least, is_check=True, grows=True),
    "Product": Function((_NS,), _product),
    "Range": Function((_N, _N, _N), _range),
    "Repeat": Function((_I, _W), _repeat),
    "Reverse": Function((_I,), lambda items: items[::-1]),
    "Slice": Function((_I, _W, _W), _slice),
    "Sort": Function((_I, Parameter.ORDER), _sort),
    "SortStable": Function((_I, Parameter.ORDER), _sort),
    "SortStrings": Function((Parameter.TEXTS,), sorted),
    "Sum": Function((_NS,), _sum),
    "Take": Function((_I, _W), _take),
    "UniqueItems": Function((_V,), _unique, is_check=True),
}  # fmt: skip
