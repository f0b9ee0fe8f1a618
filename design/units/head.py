"""The head: the end of a component, where the network is cut, with layers and a loss of its own.

What stands above it, up to the head before, is a component.  The body of a component learns from
the loss that the network's horizon names (`design.parts.horizon`), a head from its own loss alone.
A head from which no body would learn is left out, unless the network has early exits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from counterflow.design.graph import Edge, Growth, Layer, Place
from counterflow.design.units.convolution import Dense
from counterflow.design.units.fork import ForkUnit
from counterflow.design.units.loss import SoftmaxUnit
from counterflow.design.units.norm import LEAST_PIXELS, Norm
from counterflow.design.units.pool import Pool
from counterflow.design.units.residual import Chain, places_inside

SEEN = 4  # pixels in each direction that a head sees, where it names no layers: fewer lose where


class Head(Layer):
    """`layers` that end in the scores of a loss; what they get goes on to the next component, too.

    Without any they are a norm, if what comes has not been through a ReLU; an average pool to 4x4
    pixels, where images are larger and can be divided so; and a dense layer like that at the end of
    the network.
    """

    kind: Literal["head"] = Field(
        description="Ends a component with a loss of its own. Only in the outermost layers, and "
        "not together with `components`."
    )
    layers: Chain = Field(
        default=(),
        strict=False,
        description="Its layers, the last of them dense like that of the network. Without any, "
        "they are chosen.",
    )

    def grow(self, growth: Growth, edge: Edge, place: Place) -> Edge:
        """See `Layer.grow`: the edge to the next component."""
        if not place.outermost:
            raise ValueError(
                "a head ends a component, and components follow each other in the outermost layers"
            )
        if not any(unit.learns for unit in growth.units[growth.began :]):
            raise ValueError(
                f"component {growth.component}, which it ends, has no layer with weights"
            )
        last = growth.scores
        assert isinstance(last, Dense)  # the description has seen to it
        self._end(last)
        if growth.component in growth.horizon.built:
            edge = self._built(growth, edge, place, last)
        growth.next_component()
        return edge

    def _end(self, last: Dense) -> None:
        """Its last layer must be like the network's, whether this head is built or not."""
        if any(isinstance(layer, Head) for layer in self.layers):
            raise ValueError(
                "it has a head among its layers; a head ends a component, and components follow "
                "each other in the outermost layers"
            )
        if not self.layers:
            return
        end = self.layers[-1]
        if not isinstance(end, Dense):
            raise ValueError(
                f"its last layer is {end.named}, but the loss behind it needs the scores of a "
                "dense layer"
            )
        if end.outputs != last.outputs:
            raise ValueError(
                f"it gives {end.outputs} scores, but labels are of {last.outputs} classes, as many "
                "as the network's last layer has outputs; all losses take the same labels"
            )

    def _built(self, growth: Growth, edge: Edge, place: Place, last: Dense) -> Edge:
        """Add the fork, the head's units and its loss; the edge to the next component."""
        component = growth.component
        own = (component,) if growth.horizon.teaches(component) else ()
        below = tuple(path for path in edge.paths if path != component)
        onwards, aside = (
            replace(edge, number=growth.number(), paths=paths, returned=False)
            for paths in (below, own)
        )
        growth.add(
            ForkUnit(
                name=f"fork{place.tag}",
                where=place.where,
                inputs=(edge,),
                outputs=(onwards, aside),
                round_error=growth.rounding.error,
            )
        )
        paths, growth.paths, growth.head = growth.paths, (component,), component
        scores = self._scores(growth, aside, place, last)
        growth.add(
            SoftmaxUnit(
                name=f"loss{component}",
                where=f"the loss of {place.where}",
                inputs=(scores,),
                outputs=(),
                round_error=growth.rounding.error,
            )
        )
        growth.paths, growth.head = paths, 0
        return onwards

    def _scores(self, growth: Growth, edge: Edge, place: Place, last: Dense) -> Edge:
        """Add the head's layers; the edge of its scores."""
        layers = self.layers or (*_normed(edge), *_pooled(edge), last)
        places = places_inside(place, "layers", layers)
        places[-1] = replace(places[-1], scores=growth.formats.logit)
        return growth.chain(layers, edge, places)


def _normed(edge: Edge) -> tuple[Norm, ...]:
    """A norm, where one can stand and is needed: a pool of what has any range says little."""
    pixels = edge.shape[0] * edge.shape[1]
    return () if edge.rectified or pixels < LEAST_PIXELS else (Norm(kind="norm"),)


def _pooled(edge: Edge) -> tuple[Pool, ...]:
    """A pool to `SEEN` pixels in each direction, where there are more and it can be."""
    height, width = (size // SEEN for size in edge.shape[:2])
    fits = (height * SEEN, width * SEEN) == edge.shape[:2] and (height, width) != (1, 1)
    return (
        (Pool(kind="average-pool", kernel=(height, width)),) if fits and min(height, width) else ()
    )
