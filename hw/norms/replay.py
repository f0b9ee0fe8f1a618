"""Images that wait until something of all of their elements is known, and are then read back."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.group_normalisation import GroupNormalisation
from counterflow.hw.norms.normal import stepped
from counterflow.hw.norms.place import GroupPlace, Place
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.pooling.rings import Stash, advanced


class Replay(wiring.Component):
    """Keeps images, and beside each a word for each of its groups; gives both back in order.

    Elements arrive in order and are written some cycles later; then the words of the groups are
    written, in order, too.  When the last one was, the image can be read back from the next cycle
    on, element by element, while others arrive.

    Parameters: ``numbers``; ``bits`` of an element and ``depth``, as many as can wait;
    ``known_bits`` of a group's word and ``images``, as many as can wait.
    Members: ``room`` out: the next element can be taken, which ``opens`` its image (in); ``taken``
    in; ``write`` with ``word`` in; ``known_write`` with ``known_word`` in;
    ``may`` in: an image may begin to be read; ``able`` in: an element can be read; ``step`` out: it
    is, of ``channel``, ``first``: of the first pixel, ``group_opens``: of its group's first
    channel, ``begins``, ``ends`` its image; ``oldest`` and ``known`` out, both MEMORY cycles later.
    Cost: two block memories, eight counters; an element a cycle each way.
    """

    def __init__(
        self,
        *,
        numbers: GroupNormalisation,
        bits: int,
        depth: int,
        known_bits: int,
        images: int,
    ) -> None:
        self.numbers, self.bits, self.depth = numbers, bits, depth
        self.known_bits, self.images = known_bits, images
        super().__init__(
            {
                "room": Out(1),
                "opens": In(1),
                "taken": In(1),
                "write": In(1),
                "word": In(bits),
                "known_write": In(1),
                "known_word": In(known_bits),
                "may": In(1),
                "able": In(1),
                "step": Out(1),
                "channel": Out(range(max(2, numbers.channels))),
                "group": Out(range(max(2, numbers.groups))),
                "first": Out(1),
                "group_opens": Out(1),
                "begins": Out(1),
                "ends": Out(1),
                "oldest": Out(bits),
                "known": Out(known_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers = self.numbers
        m.submodules.stash = stash = Stash(words=self.depth, bits=self.bits)
        m.submodules.place = place = Place(channels=numbers.channels, pixels=numbers.pixels)
        m.submodules.groups = groups = GroupPlace(channels=numbers.channels, group=numbers.group)
        waiting = Signal(range(self.images + 1), name="waiting")  # of which an element was taken
        ready = Signal(range(self.images + 1), name="ready")  # that can be read and have not begun
        complete = self._known(m, groups.number)
        m.d.sync += [
            waiting.eq(waiting + (self.taken & self.opens) - self.ends),
            ready.eq(ready + complete - self.begins),
        ]
        m.d.comb += [
            self.room.eq(stash.room & (~self.opens | (waiting != self.images))),
            self.step.eq(self.able & (~place.begins | ((ready != 0) & self.may))),
            self.begins.eq(self.step & place.begins),
            self.ends.eq(self.step & place.ends),
            self.channel.eq(place.channel),
            self.group.eq(groups.number),
            self.first.eq(place.first),
            self.group_opens.eq(groups.opens),
            place.step.eq(self.step),
            groups.step.eq(self.step),
            stash.reserve.eq(self.taken),
            stash.write.eq(self.write),
            stash.word.eq(self.word),
            stash.read.eq(self.step),
            self.oldest.eq(stash.oldest),
        ]
        return m

    def _known(self, m: Module, group: Value) -> Value:
        """The words of groups; whether the last one of an image is written."""
        groups = self.numbers.groups
        words = self.images * groups
        m.submodules.words = memory = BlockMemory(words=max(2, words), bits=self.known_bits)
        base = stepped(m, self.ends, self.images, groups, "base")
        m.d.comb += [
            memory.write_enable.eq(self.known_write),
            memory.write_address.eq(advanced(m, self.known_write, words, "known_at")),
            memory.write_data.eq(self.known_word),
            memory.read_address.eq(base + group),
            self.known.eq(delayed(m, memory.read_data, 1, "known_late")),
        ]
        return self.known_write & (advanced(m, self.known_write, groups, "known_of") == groups - 1)
