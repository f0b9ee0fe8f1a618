"""Boards: one top for all of them, their pins, clocks and constraints, and the way to a bitstream.

`boards.table` has what differs between boards as data; the rest does not name any of them.
"""
