"""Board tops: pins, clock, and the link to a host around a generated design.

None is built yet. A top for a given board has to be written by hand around the generated Verilog.
"""
