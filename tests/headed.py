"""Networks of components with heads: several losses, each with a stream of predictions."""

from __future__ import annotations

from counterflow.design.data.training import training_data
from counterflow.design.network.description import Description
from counterflow.design.network.files import parse
from counterflow.design.schedule.planner import Plan, plan
from counterflow.golden.training.models import IntegerModel
from counterflow.golden.training.start import initial_states
from counterflow.host.course import course

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


def crowded() -> Plan:
    """Seven losses of eight classes, whose scores take more cycles than each loss for itself."""
    hidden, last = {"outputs": 4}, {"outputs": 8, "activation": "none"}
    return plan(
        Description.model_validate(
            {
                "name": "crowded",
                "dataset": "synthetic",
                "inputs": 4,
                "components": [1] * 7,
                "interlocking": 1,
                "layers": [*[hidden] * 6, last],
                "fold": {"multipliers": 200},
            }
        )
    )


def tested(epochs: int) -> dict[int, float]:
    """Shares of the test samples that the golden model's losses have right after training."""
    design = headed()
    description, schedule = design.description, design.schedule
    seed = description.recipe.seed
    data = training_data(description)
    way = course(description, schedule, data, seed=seed, epochs=range(epochs))
    model = IntegerModel(description, schedule, initial_states(description, schedule, seed))
    for leg in way.legs:
        model.set(leg.settings)
        found = model.run(leg.kinds, leg.indices, way.part(leg)).every
    numbers = (0, *schedule.heads)
    return {at: right / len(way.test) for at, (right, _) in zip(numbers, found, strict=True)}
