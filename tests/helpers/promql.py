"""A reader of PromQL, for tests: it refuses what Prometheus would, and says which metrics and labels a query names.

It covers the expressions of dashboards and alert rules: selectors, ranges, subqueries, aggregations, functions with the
types of their arguments, and operators with their matching. Grammar: https://prometheus.io/docs/prometheus/latest/querying.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SCALAR, STRING, VECTOR, MATRIX = "scalar", "string", "vector", "matrix"
OVER_TIME = ("avg", "min", "max", "sum", "count", "stddev", "last", "present")
OF_COUNTERS = frozenset({"rate", "irate", "increase", "resets"})
FUNCTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    **dict.fromkeys((*OF_COUNTERS, "delta", "deriv", "changes"), ((MATRIX,), VECTOR)),
    **{f"{f}_over_time": ((MATRIX,), VECTOR) for f in OVER_TIME},
    **dict.fromkeys(("abs", "absent", "ceil", "floor", "round", "timestamp", "sort_desc"), ((VECTOR,), VECTOR)),
    **dict.fromkeys(("clamp_min", "clamp_max"), ((VECTOR, SCALAR), VECTOR)),
    "predict_linear": ((MATRIX, SCALAR), VECTOR),
    "quantile_over_time": ((SCALAR, MATRIX), VECTOR),
    "histogram_quantile": ((SCALAR, VECTOR), VECTOR),
    "label_replace": ((VECTOR, STRING, STRING, STRING, STRING), VECTOR),
    "scalar": ((VECTOR,), SCALAR),
    "vector": ((SCALAR,), VECTOR),
    "time": ((), SCALAR),
}
AGGREGATIONS = {"sum", "avg", "min", "max", "count", "stddev", "topk", "bottomk", "quantile", "group"}
WITH_NUMBER = {"topk", "bottomk", "quantile"}
LEVELS = [{"or"}, {"and", "unless"}, {"==", "!=", ">", "<", ">=", "<="}, {"+", "-"}, {"*", "/", "%"}, {"^"}]
SETS, COMPARISONS = LEVELS[0] | LEVELS[1], LEVELS[2]
TOKEN = re.compile(
    r"""\s*(?:(?P<duration>(?:\d+(?:ms|[smhdwy]))+\b)|(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_][\w:]*)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<sign>==|!=|>=|<=|=~|!~|[-+*/%^()\[\]{},=<>:]))""",
    re.VERBOSE,
)


class PromqlError(ValueError):
    """What Prometheus would refuse."""


@dataclass
class Query:
    """What an expression names. `counted`: metrics under rate and its like; `quantiles`: labels kept below each."""

    type: str = ""
    metrics: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    counted: set[str] = field(default_factory=set)
    quantiles: list[set[str]] = field(default_factory=list)


def parse(text: str) -> Query:
    """Return what an expression names; PromqlError where Prometheus would not take it."""
    parser = _Parser(text)
    query = parser.query
    query.type = parser.binary(0)
    parser.end()
    return query


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens, self.at, self.query, self.text = _tokens(text), 0, Query(), text
        self.under: list[str] = []
        self.selected = -1  # where the last selector ended

    def fail(self, what: str) -> PromqlError:
        return PromqlError(f"{what} at token {self.at} of: {self.text}")

    @property
    def here(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self, *allowed: str) -> bool:
        """Go past one of these, if it is here."""
        found = self.here[1] in allowed and self.here[0] != "string"
        self.at += found
        return found

    def need(self, sign: str) -> None:
        if not self.take(sign):
            raise self.fail(f"'{sign}' is missing")

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise self.fail(f"'{self.here[1]}' is too much")

    def binary(self, level: int) -> str:
        if level == len(LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.here[1] in LEVELS[level] and self.here[0] != "string":
            sign = self.here[1]
            self.at += 1
            compares_scalars = self.matching(sign)
            left = self.combine(sign, left, self.binary(level + 1), compares_scalars)
        return left

    def matching(self, sign: str) -> bool:
        """Read `bool`, `on (...)`, `group_left (...)`; return whether `bool` was there."""
        is_bool = self.take("bool")
        if is_bool and sign not in COMPARISONS:
            raise self.fail("bool without a comparison")
        if self.take("on", "ignoring"):
            self.names()
            if self.take("group_left", "group_right") and self.here[1] == "(":
                self.names()
        return is_bool

    def combine(self, sign: str, left: str, right: str, is_bool: bool) -> str:
        if not {left, right} <= {SCALAR, VECTOR}:
            raise self.fail(f"'{sign}' between {left} and {right}")
        if sign in SETS and SCALAR in (left, right):
            raise self.fail(f"'{sign}' needs vectors")
        if sign in COMPARISONS and left == right == SCALAR and not is_bool:
            raise self.fail("scalars are compared with bool")
        return VECTOR if VECTOR in (left, right) else SCALAR

    def unary(self) -> str:
        if self.take("-", "+"):
            return self.unary()
        return self.postfix(self.primary())

    def postfix(self, type_: str) -> str:
        while self.take("["):
            plain = self.at - 1 == self.selected
            if type_ != VECTOR:
                raise self.fail(f"a range of a {type_}")
            self.duration()
            if not self.take(":"):
                if not plain:
                    raise self.fail("a range of what is no selector; a subquery is [5m:]")
            elif self.here[1] != "]":
                self.duration()
            self.need("]")
            type_ = MATRIX
        if self.take("offset"):
            self.duration()
        return type_

    def duration(self) -> None:
        if self.here[0] != "duration":
            raise self.fail(f"'{self.here[1]}' is no duration")
        self.at += 1

    def primary(self) -> str:
        kind, word = self.here
        self.at += 1
        if kind == "number":
            return SCALAR
        if kind == "string":
            return STRING
        if word == "(":
            inner = self.binary(0)
            self.need(")")
            return inner
        if kind != "name":
            raise self.fail(f"'{word}' where an expression begins")
        if word in AGGREGATIONS:
            return self.aggregation(word)
        return self.call(word) if self.here[1] == "(" else self.selector(word)

    def call(self, name: str) -> str:
        if name not in FUNCTIONS:
            raise self.fail(f"no function '{name}'")
        wanted, gives = FUNCTIONS[name]
        self.under.append(name)
        if name == "histogram_quantile":
            self.query.quantiles.append(set())
        found = self.arguments()
        self.under.pop()
        if found != list(wanted):
            raise self.fail(f"{name} takes {wanted}, not {found}")
        return gives

    def arguments(self) -> list[str]:
        self.need("(")
        found: list[str] = []
        while not self.take(")"):
            if found:
                self.need(",")
            found.append(self.binary(0))
        return found

    def aggregation(self, name: str) -> str:
        grouped = self.grouping()
        found = self.arguments()
        grouped = self.grouping() or grouped
        if found != ([SCALAR] if name in WITH_NUMBER else []) + [VECTOR]:
            raise self.fail(f"{name} of {found}")
        if "histogram_quantile" in self.under and grouped:
            self.query.quantiles[-1] |= grouped
        return VECTOR

    def grouping(self) -> set[str]:
        return self.names() if self.take("by", "without") else set()

    def names(self) -> set[str]:
        self.need("(")
        found: set[str] = set()
        while not self.take(")"):
            if found:
                self.need(",")
            if self.here[0] != "name":
                raise self.fail(f"'{self.here[1]}' is no label")
            found.add(self.here[1])
            self.at += 1
        self.query.labels |= found
        return found

    def selector(self, name: str) -> str:
        self.query.metrics.add(name)
        if OF_COUNTERS & set(self.under[-1:]):
            self.query.counted.add(name)
        if self.take("{"):
            while not self.take("}"):
                self.matcher()
                if self.here[1] != "}":
                    self.need(",")
        self.selected = self.at
        return VECTOR

    def expression(self, text: str) -> None:
        try:
            re.compile(text)
        except re.error:
            raise self.fail(f"'{text}' is no regular expression") from None

    def matcher(self) -> None:
        kind, label = self.here
        self.at += 1
        sign = self.here[1]
        if kind != "name" or not self.take("=", "!=", "=~", "!~") or self.here[0] != "string":
            raise self.fail("a matcher is label, sign and string")
        if "~" in sign:
            self.expression(self.here[1][1:-1])
        self.query.labels.add(label)
        self.at += 1


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if match is None:
            raise PromqlError(f"'{text[at : at + 10]}' is no part of an expression: {text}")
        assert match.lastgroup is not None
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


# ---- where expressions stand ----------------------------------------------------------------------------------------


def of_rules(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and expression of each rule in a file of Prometheus."""
    for group in yaml.safe_load(path.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]


def of_dashboard(path: Path) -> Iterator[tuple[str, str]]:
    """Yield title and expression of each query in a dashboard of Grafana, its variables filled in."""
    board = json.loads(path.read_text())
    for panel in panels(board):
        for target in panel.get("targets", ()):
            yield panel["title"], filled(target["expr"])
    for note in board["annotations"]["list"]:
        yield note["name"], filled(note["expr"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield (
                f"${variable['name']}",
                filled(variable["query"]["query"].removeprefix("label_values(").rpartition(",")[0]),
            )


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a dashboard, those in rows too."""
    return [q for p in board["panels"] for q in (p, *p.get("panels", ()))]


def filled(expression: str) -> str:
    """Return an expression with Grafana's variables filled in."""
    durations = re.sub(r"\$(__rate_interval|__interval|__range)\b", "5m", expression)
    return re.sub(r"\$\{?(\w+)\}?", "value", durations)
