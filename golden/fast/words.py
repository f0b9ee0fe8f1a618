"""Operations on machine words for Numba, which by itself widens every integer to 64 bits.

They take their type from their first operand, wrap around, and become one instruction each, or a
lane of a vector instruction.
"""

from __future__ import annotations

import functools
import hashlib
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numba.extending
from llvmlite import ir
from numba import types
from numba.core.event import Listener, install_listener

from counterflow.design.parts.telling import tell

if getattr(numba.config, "DISABLE_JIT", False):
    raise ValueError(
        "NUMBA_DISABLE_JIT is set, but trainings run in what Numba compiles; unset it."
    )

intrinsic: Any = numba.extending.intrinsic  # as `Any`, since its type allows plain calls only
_njit: Any = functools.partial(numba.njit, _nrt=False, error_model="numpy")
compiled: Any = functools.partial(
    _njit, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)
"""Compiles a part of a function that makes no array, and so needs no reference counts.

It becomes a piece of its callers and nobody else can call it, which takes less time to compile.
"""
inlined: Any = functools.partial(_njit, inline="always", no_cpython_wrapper=True)
"""Puts a function's text into its callers, before anything of it is compiled.

For those at the top, that call all that there is: what is compiled is optimised again with each
caller of its callers.
"""


def compiled_once(function: Any) -> Any:
    """Compiles a whole, without the interpreter's lock, and keeps it for later runs if possible."""
    try:
        return _njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither this folder nor the user's can be written to
        return _njit(nogil=True)(function)


class _Told(Listener):
    """Tells once that something is compiled, and not read from Numba's cache."""

    def __init__(self) -> None:
        self._told = False

    def on_start(self, event: Any) -> None:
        if not self._told:
            tell("Compiling the golden model: about a minute, once on a machine.")
        self._told = True

    def on_end(self, event: Any) -> None:
        pass


def compiling() -> AbstractContextManager[Any]:
    """Tell of what is compiled meanwhile."""
    found: AbstractContextManager[Any] = install_listener("numba:compile", _Told())
    return found


def sources(*modules: ModuleType) -> int:
    """A number that is another one whenever a source of the compiled loops has changed.

    `modules` are sources, too, wherever they stand.

    Numba's cache looks only at the file of the function that it keeps, and at the values from
    outside that this uses: let this be one of them.
    """
    digest = hashlib.sha256()
    own = sorted(Path(__file__).parent.rglob("*.py"))
    for path in [*own, *(Path(str(module.__file__)) for module in modules)]:
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:7], "big")


FILL = 16  # words that one `fill` stores; the arrays that it fills have this many to spare
PARTS = ("weight", "velocity", "stash", "random", "draws", "hits", "sums", "sample")
"""Parts of memory, none of which overlaps another."""


def _operation(name: str) -> Any:
    @intrinsic
    def operation(typing_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return getattr(builder, name)(*values)

        return a(a, a), generate

    return operation


add, sub, mul = _operation("add"), _operation("sub"), _operation("mul")
shift_left, shift_right = _operation("shl"), _operation("ashr")
shift_right_unsigned = _operation("lshr")
bit_and, bit_or, bit_xor = _operation("and_"), _operation("or_"), _operation("xor")


@intrinsic
def clip(typing_context: Any, value: Any, low: Any, high: Any) -> Any:
    """`value` limited to `low`..`high`."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        value, low, high = values
        value = builder.select(builder.icmp_signed("<", value, low), low, value)
        return builder.select(builder.icmp_signed(">", value, high), high, value)

    return value(value, value, value), generate


@intrinsic
def word(typing_context: Any, array: Any, value: Any) -> Any:
    """`value` in the type of the elements of `array`."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return context.cast(builder, values[1], value, array.dtype)

    return array.dtype(array, value), generate


@intrinsic
def folded(typing_context: Any, array: Any, value: Any) -> Any:
    """`value` in the type of the elements of `array`, maybe another one, but never a new zero."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        narrow, wide = array.dtype.bitwidth, value.bitwidth
        if narrow == wide:
            return values[1]
        upper = builder.lshr(values[1], ir.Constant(ir.IntType(wide), wide - narrow))
        return builder.trunc(builder.or_(values[1], upper), ir.IntType(narrow))

    return array.dtype(array, value), generate


def repeated(builder: Any, value: Any, count: int) -> Any:
    """A vector of `count` times `value`."""
    vector, index = ir.VectorType(value.type, count), ir.IntType(32)
    nothing, zero = ir.Constant(vector, ir.Undefined), ir.Constant(index, 0)
    first = builder.insert_element(nothing, value, zero)
    lanes = ir.Constant(ir.VectorType(index, count), [0] * count)
    return builder.shuffle_vector(first, nothing, lanes)


def block(context: Any, builder: Any, array: Any, values: Any, count: int) -> Any:
    """The address of `count` elements of an array: those from an index on, in `values`."""
    data = context.make_array(array)(context, builder, values[0]).data
    vector = ir.VectorType(ir.IntType(array.dtype.bitwidth), count)
    return builder.bitcast(builder.gep(data, [values[1]]), vector.as_pointer())


@intrinsic
def fill(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Store `value` FILL times from `index` on."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place, align = block(context, builder, array, values, FILL), array.dtype.bitwidth // 8
        builder.store(repeated(builder, values[2], FILL), place, align=align)
        return context.get_dummy_value()

    return types.void(array, index, array.dtype), generate


@intrinsic
def fill_end(typing_context: Any, array: Any, index: Any, value: Any, skip: Any) -> Any:
    """As `fill`, but leave the first `skip` elements as they are."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place, align = block(context, builder, array, values, FILL), array.dtype.bitwidth // 8
        narrow = ir.IntType(32)
        first = repeated(builder, builder.trunc(values[3], narrow), FILL)
        lanes = ir.Constant(ir.VectorType(narrow, FILL), list(range(FILL)))
        old = builder.load(place, align=align)
        new = repeated(builder, values[2], FILL)
        kept = builder.select(builder.icmp_signed("<", lanes, first), old, new)
        builder.store(kept, place, align=align)
        return context.get_dummy_value()

    return types.void(array, index, array.dtype, skip), generate


def access(part: str = "") -> tuple[Any, Any]:
    """Load and store, without bounds, of an array that is `part` of PARTS, or of any.

    LLVM turns a loop into vector instructions only where it knows which of its arrays overlap, and
    stops asking at run time when they are many.  So each access says that it meets no other part.
    """

    def mark(module: Any, instruction: Any) -> None:
        if not part:
            return
        domain = module.add_metadata(["counterflow"])
        scopes = {name: module.add_metadata([name, domain]) for name in PARTS}
        own = scopes.pop(part)
        instruction.set_metadata("alias.scope", module.add_metadata([own]))
        instruction.set_metadata("noalias", module.add_metadata(list(scopes.values())))

    @intrinsic
    def load(typing_context: Any, array: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            data = context.make_array(array)(context, builder, values[0]).data
            instruction = builder.load(builder.gep(data, [values[1]]))
            mark(builder.module, instruction)
            return instruction

        return array.dtype(array, index), generate

    @intrinsic
    def store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            data = context.make_array(array)(context, builder, values[0]).data
            mark(builder.module, builder.store(values[2], builder.gep(data, [values[1]])))
            return context.get_dummy_value()

        return types.void(array, index, array.dtype), generate

    return load, store
