"""Families of metrics from plain numbers."""

from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

# One number without labels, or pairs of label values and a number.
Values = float | Iterable[tuple[Sequence[str], float]]


def gauge(name: str, text: str, values: Values, *labels: str) -> Metric:
    """Return a gauge; without values, it is absent.

    Args:
        name: The name of the metric.
        text: Its help.
        values: Its values now.
        labels: The names of its labels, in the order of their values.
    """
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in _listed(values):
        family.add_metric(key, value)
    return family


def counter(name: str, text: str, values: Values, *labels: str) -> Metric:
    """Like gauge(), for a counter; its name gets the ending `_total`."""
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in _listed(values):
        family.add_metric(key, value)
    return family


def _listed(values: Values) -> Iterable[tuple[Sequence[str], float]]:
    return [((), values)] if isinstance(values, int | float) else values
