"""The reader of PromQL that the other tests rely on: what it takes, what it refuses, what it finds."""

from __future__ import annotations

import pytest
from promql import PromqlError, filled, parse


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("up", "vector"),
        ('up{job="a", instance=~"b.*"} == 0', "vector"),
        ("sum by (task) (rate(a_total[5m]))", "vector"),
        ("sum(rate(a_total[5m])) by (task) > 1e-3", "vector"),
        ("histogram_quantile(0.99, sum by (le) (rate(a_bucket[1h30m])))", "vector"),
        ("a / on (task) group_left (x) b * 2", "vector"),
        ("1 + 2 * 3", "scalar"),
        ("-a > bool 1", "vector"),
        ("max_over_time(rate(a_total[5m])[1h:1m])", "vector"),
        ("a and b or c unless d", "vector"),
        ("topk(3, a offset 5m)", "vector"),
        ("sum(a) or vector(0)", "vector"),
        ("time() - a", "vector"),
        ('label_replace(a, "b", "$1", "c", "(.*)")', "vector"),
        ('a{b="by (sum)"}', "vector"),
    ],
)
def test_what_prometheus_takes(text: str, type_: str) -> None:
    assert parse(text).type == type_


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rate(a)",
        "rate(sum(a)[5m])",
        "rate(a[5])",
        "rate(a[5m]",
        "rates(a[5m])",
        "sum by task (a)",
        "sum by (task) a",
        "sum(a[5m])",
        "a[5m] > 1",
        "a{b=c}",
        'a{b="c"',
        'a{b=~"("}',
        "a b",
        "a >",
        "1 > 2",
        "a and 1",
        "a + bool 1",
        "histogram_quantile(a, 0.9)",
        "topk(a)",
        'a == "b"',
        "a $ b",
        "[5m]",
    ],
)
def test_what_prometheus_refuses(text: str) -> None:
    with pytest.raises(PromqlError):
        parse(text)


def test_it_finds_metrics_labels_and_how_they_are_used() -> None:
    query = parse(
        'histogram_quantile(0.9, sum by (le, task) (rate(a_bucket{job="x"}[5m]))) > on (task) b / increase(c[1m])'
    )
    assert query.metrics == {"a_bucket", "b", "c"}
    assert query.labels == {"le", "task", "job"}
    assert query.counted == {"a_bucket", "c"}
    assert query.quantiles == [{"le", "task"}]
    assert parse("histogram_quantile(0.9, sum(rate(a_bucket[5m])))").quantiles == [set()]


def test_variables_of_grafana_are_filled_in() -> None:
    assert filled('rate(a{b="$task"}[$__rate_interval])') == 'rate(a{b="value"}[5m])'
