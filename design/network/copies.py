"""Copies: units without weights stand once for each loss whose gradients pass them.

Where a component sees several losses, the gradients of several pass its body side by side.  A unit
with weights has a path for each (`Stage.asides` in its schedule), since what it needs for them, the
weights, is there in any case.  Of all others, norms, pools, tanh, sums, forks and subsamples, each
loss has a copy.  All copies get the same activations, and each passes back the gradients of its
loss as the same unit does in a network of one loss.

    conv --> fork --> norm   --> rejoin --> conv          gradients of the component's own loss
                 \\--> norml2 --/                          and those of loss 2

A *fork* stands where a unit with weights has copies above it, a *rejoin* where copies have one
above them; from copies to copies of the same losses each has an edge of its own.  Not so behind
norms: what a copy puts out lacks beta, which learns in the last copy alone and is frozen in the
others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from counterflow.design.graph import Edge, Graph, Unit
from counterflow.design.parts.formats import Rounding
from counterflow.design.units.convolution import ConvolutionUnit
from counterflow.design.units.fork import ForkUnit
from counterflow.design.units.normal_unit import NormalUnit
from counterflow.design.units.rejoin import RejoinUnit


def copied(graph: Graph, round_error: Rounding) -> Graph:
    """`graph` with a copy of each unit that needs it for each loss; itself where none does.

    ValueError, one sentence, where a unit cannot be copied.
    """
    paths = {unit.name: unit.outputs[0].paths for unit in graph.units if _is_copied(unit)}
    return _Copies(graph, paths, round_error).graph() if paths else graph


def _is_copied(unit: Unit) -> bool:
    """Whether gradients of several losses come to a unit that can pass back those of one."""
    several = any(len(edge.paths) > 1 for edge in unit.outputs)
    if not several or isinstance(unit, ConvolutionUnit):
        return False
    if isinstance(unit, NormalUnit) and unit.gamma:
        raise ValueError(
            f"{unit.where}, a norm layer: gradients of {len(unit.outputs[0].paths)} losses would "
            "pass its gamma, which learns from one of them; leave gamma out, or let interlocking "
            "be 1, local learning, or the number of components, end to end"
        )
    return not isinstance(unit, ForkUnit) or unit.numbers.sums


class _Copies:
    """A graph in which the units named in `paths` stand once for each loss of theirs."""

    def __init__(
        self, graph: Graph, paths: dict[str, tuple[int, ...]], round_error: Rounding
    ) -> None:
        self._given, self._paths, self._round_error = graph, paths, round_error
        self._edges = len(graph.edges)
        # Edges of copies, by that of all, by loss and by whether their makers are copies
        self._of: dict[tuple[int, int, bool], Edge] = {}

    def graph(self) -> Graph:
        """What `copied` returns."""
        units = [made for unit in self._given.units for made in self._made(unit)]
        return Graph(self._given.source, tuple(units))

    def _made(self, unit: Unit) -> Iterator[Unit]:
        """The units in place of `unit`, in an order of the dataflow."""
        paths = self._paths.get(unit.name)
        if paths is None:
            yield replace(
                unit,
                inputs=tuple(self._kept(edge) for edge in unit.inputs),
                outputs=tuple(self._kept(edge) for edge in unit.outputs),
            )
            return
        for index, edge in enumerate(unit.inputs):
            if not self._direct(edge):
                yield self._fork(unit, index, paths)
        for path in (paths[-1], *paths[:-1]):  # the original first, as readers expect it
            own = path == paths[-1]
            yield replace(
                unit,
                name=unit.name if own else f"{unit.name}l{path}",
                serves=0 if own else path,
                inputs=tuple(self._one(edge, path, self._direct(edge)) for edge in unit.inputs),
                outputs=tuple(self._one(edge, path, made=True) for edge in unit.outputs),
            )
        for index, edge in enumerate(unit.outputs):
            if not self._direct(edge):
                yield self._rejoin(unit, index, paths)

    def _direct(self, edge: Edge) -> bool:
        """Whether an edge leads from copies to copies of the same losses."""
        maker, reader = self._given.maker(edge), self._given.reader(edge)
        if maker is None or isinstance(maker, NormalUnit):
            return False
        there = self._paths.get(maker.name)
        return there is not None and there == self._paths.get(reader.name)

    def _kept(self, edge: Edge) -> Edge:
        """An edge that is of all losses, as its maker and its reader know it.

        What copies put out is not given back to them: whoever reads it has it of one delay alone.
        """
        maker = self._given.maker(edge)
        return edge if maker is None or maker.name not in self._paths else _not_returned(edge)

    def _one(self, edge: Edge, path: int, made: bool) -> Edge:
        """What `edge` is at the copy of loss `path`, `made` by one or read by it.

        It wants gradients if that of all does.
        """
        key = edge.number, path, made
        if key not in self._of:
            paths = (path,) if path in edge.paths else ()
            self._of[key] = replace(_not_returned(edge), number=self._edges, paths=paths)
            self._edges += 1
        return self._of[key]

    def _fork(self, unit: Unit, index: int, paths: tuple[int, ...]) -> ForkUnit:
        """What brings the activations of an input to all copies of `unit`."""
        return ForkUnit(
            name=f"to{_port(unit, index, len(unit.inputs))}",
            where=unit.where,
            component=unit.component,
            head=unit.head,
            inputs=(self._kept(unit.inputs[index]),),
            outputs=tuple(self._one(unit.inputs[index], path, made=False) for path in paths),
            round_error=self._round_error,
        )

    def _rejoin(self, unit: Unit, index: int, paths: tuple[int, ...]) -> RejoinUnit:
        """What brings an output of all copies of `unit` together."""
        return RejoinUnit(
            name=f"of{_port(unit, index, len(unit.outputs))}",
            where=unit.where,
            component=unit.component,
            head=unit.head,
            inputs=tuple(self._one(unit.outputs[index], path, made=True) for path in paths),
            outputs=(self._kept(unit.outputs[index]),),
        )


def _not_returned(edge: Edge) -> Edge:
    return replace(edge, returned=False)


def _port(unit: Unit, index: int, count: int) -> str:
    """A port of a unit as a name: its number only where there are several."""
    return unit.name if count == 1 else f"{unit.name}x{index}"
