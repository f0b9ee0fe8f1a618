"""Names of Verilog modules: which ones every tool takes, and that no two designs share one."""

from __future__ import annotations

import hashlib
import re

from counterflow.design.parts.keywords import KEYWORDS

APART = "__"  # between the name of a module and of what is in it, so in no name that a user gives
NETWORK = "_net"  # behind a keyword
AXI = "_axi"  # behind the name of a network, of its module with standard buses
MAX_LENGTH = 64


def check_module_name(name: str) -> None:
    """ValueError, in one sentence, unless `name` can name a module in Verilog and in VHDL.

    It has neither two underscores in a row nor one at its end: so names of modules within it, which
    begin with ``name__``, are in no other design.
    """
    if not _NAME.fullmatch(name) or len(name) > MAX_LENGTH:
        raise ValueError(
            f"{name!r} cannot name a module; give up to {MAX_LENGTH} letters, digits and single "
            "underscores, a letter first and no underscore last"
        )
    if languages := KEYWORDS.get(name.lower()):
        raise ValueError(f"{name!r} cannot name a module: it is a keyword of {languages}")


_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*", re.ASCII)


def module_name(network: str, given: str | None = None, *, suffix: str = "") -> str:
    """The module of a network: the name `given`, or that of the network with `suffix`.

    A network whose name is a keyword gets ``_net`` behind it.  One whose name would be another's
    then, as with hyphens in a row, gets some digits of its own: no two networks share a module.
    ValueError, as of `check_module_name`, if the name given cannot name one.
    """
    if given is not None:
        check_module_name(given)
        return given
    plain = re.sub("-+", "_", network.strip("-"))
    odd = plain != network.replace("-", "_")
    if odd or plain.endswith(AXI) or plain.removesuffix(NETWORK) in KEYWORDS.keys() - {plain}:
        return f"{plain}_{hashlib.sha256(network.encode()).hexdigest()[:8]}{suffix}"
    name = plain + suffix
    return f"{name}{NETWORK}" if name in KEYWORDS else name
