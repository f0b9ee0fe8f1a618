"""Interlocking: which loss each component of a network learns from, and whose gradients pass it.

Gomez et al., *Interlocking Backpropagation*, arXiv 2010.04116: a network is cut into components,
each with a loss at its end, and the body of a component learns from the farthest loss that a
horizon lets it see.  A horizon of 1 is local learning, one of all components end to end.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Horizon:
    """Who learns from which loss.

    ``components`` of a network have a loss each, number i at the end of component i, from 1 on; the
    last one is that of the network.  A body ``sees`` so many, its own and the next ones.
    ``exits``: heads that no body learns from are built, too.
    """

    components: int = 1
    sees: int = 1
    exits: bool = False

    def own(self, component: int) -> int:
        """The loss that the body of a component learns from."""
        return min(component + self.sees - 1, self.components)

    def paths(self, component: int) -> tuple[int, ...]:
        """The losses whose gradients pass the body of a component, its own last.

        The others serve the components below.
        """
        return tuple(range(max(component, self.sees), self.own(component) + 1))

    def teaches(self, component: int) -> bool:
        """Whether some body learns from the head behind a component."""
        return self.sees <= component < self.components

    @property
    def built(self) -> tuple[int, ...]:
        """The components with a head."""
        heads = range(1, self.components)
        return tuple(one for one in heads if self.exits or self.teaches(one))


END_TO_END = Horizon()
