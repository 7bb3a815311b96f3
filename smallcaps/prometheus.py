"""Metrics in Prometheus's text format 0.0.4."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "smallcaps_"
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Metric:
    """A metric family: samples are labels and values."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    samples: list[tuple[Labels, float]] = field(default_factory=list)


def exposition(metrics: Sequence[Metric], part: str = "") -> str:
    """The text. Names begin with `smallcaps_` and the part of the platform that they are of."""
    lines = []
    for metric in metrics:
        name = f"{PREFIX}{part}{metric.name}"
        lines += [f"# HELP {name} {_escaped(metric.help)}", f"# TYPE {name} {metric.kind}"]
        for labels, value in metric.samples:
            said = ",".join(f'{label}="{_escaped(text, quotes=True)}"' for label, text in labels.items())
            lines.append(f"{name}{{{said}}} {float(value)!r}" if said else f"{name} {float(value)!r}")
    return "".join(f"{line}\n" for line in lines)


def _escaped(text: str, quotes: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quotes else escaped
