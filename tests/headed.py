"""Networks of components with heads: several losses, each with a stream of predictions."""

from __future__ import annotations

from counterflow.design.network.files import parse
from counterflow.design.schedule.planner import Plan, plan

NAME = "headed"
TOML = f"""
name = "{NAME}"
dataset = "synthetic"
inputs = 6
interlocking = 1
components = [1, 1, 1]
layers = [{{ outputs = 5 }}, {{ outputs = 5 }}, {{ outputs = 4, activation = "none" }}]
[recipe]
learning_rate = 0.001953125
momentum = 0.875
mitigation = "lwpv+sc"
epochs = 4
"""


def headed() -> Plan:
    """Three components, heads behind the first two, samples and classes as `tiny` has them."""
    return plan(parse(TOML))
