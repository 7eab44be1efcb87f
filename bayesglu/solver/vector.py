"""Programs and Runge-Kutta stages as LLVM vector code: one instruction works on a lane of people at once.

LLVM splits vectors that are wider than the processor's, so the same code runs everywhere; with one lane it is
ordinary scalar code. No instruction may assume that numbers are finite: a solve that fails must be seen to
fail.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from bayesglu.solver.calls import LINE
from bayesglu.solver.program import Program
from bayesglu.solver.tableau import LARGEST_GROWTH, Tableau

DOUBLE, INT = ir.DoubleType(), ir.IntType(64)
FUSED = (
    "contract",
    "nsz",
)  # multiply and add may fuse; nothing is reordered, so that any number of lanes agrees

LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
EXP_TAYLOR = [1.0]
for n in range(1, 14):
    EXP_TAYLOR.append(EXP_TAYLOR[-1] / n)
# log((1 + s) / (1 - s)) = 2 s + s (L1 s^2 + L2 s^4 + ...): minimax coefficients on |s| < 0.1716 (Sun, fdlibm
# e_log.c, 1993)
LOG_MINIMAX = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)


class Lanes:
    """An LLVM builder that speaks in vectors of `width` doubles."""

    def __init__(self, builder: ir.IRBuilder, width: int):
        self.b, self.width = builder, width
        self.vector = ir.VectorType(DOUBLE, width) if width > 1 else DOUBLE
        self.bits = ir.VectorType(INT, width) if width > 1 else INT

    def constant(self, value: float):
        return ir.Constant(self.vector, [value] * self.width if self.width > 1 else value)

    def integer(self, value: int):
        return ir.Constant(self.bits, [value] * self.width if self.width > 1 else value)

    def add(self, x, y):
        return self.b.fadd(x, y, flags=FUSED)

    def sub(self, x, y):
        return self.b.fsub(x, y, flags=FUSED)

    def mul(self, x, y):
        return self.b.fmul(x, y, flags=FUSED)

    def div(self, x, y):
        return self.b.fdiv(x, y, flags=FUSED)

    def neg(self, x):
        return self.b.fneg(x)

    def reciprocal(self, x):
        return self.div(self.constant(1.0), x)

    def sqrt(self, x):
        return self._intrinsic("llvm.sqrt", x)

    def abs(self, x):
        return self._intrinsic("llvm.fabs", x)

    def sign(self, x):
        one = self._intrinsic("llvm.copysign", self.constant(1.0), x)
        return self.b.select(self.b.fcmp_ordered("==", x, self.constant(0.0)), self.constant(0.0), one)

    def maximum(self, x, y):
        return self.b.select(self.b.fcmp_ordered(">", x, y), x, y)

    def minimum(self, x, y):
        return self.b.select(self.b.fcmp_ordered("<", x, y), x, y)

    def _intrinsic(self, name: str, *arguments):
        kind = f"v{self.width}f64" if self.width > 1 else "f64"
        function = _declared(self.b.module, f"{name}.{kind}", self.vector, [self.vector] * len(arguments))
        return self.b.call(function, arguments)

    def _polynomial(self, x, coefficients: Sequence[float]):
        total = self.constant(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            total = self.add(self.mul(total, x), self.constant(c))
        return total

    def exp(self, x):
        """Exponential: ``2**k`` times a Taylor polynomial on ``|r| < log(2) / 2``; infinite above 709, 0
        below -708."""
        b = self.b
        inside = b.select(b.fcmp_ordered("<", x, self.constant(-708.0)), self.constant(-708.0), x)
        inside = b.select(b.fcmp_ordered(">", inside, self.constant(709.0)), self.constant(709.0), inside)
        shift = self.constant(1.5 * 2.0**52)  # adding it rounds to a whole number, left in the lowest bits
        shifted = b.fadd(b.fmul(inside, self.constant(1.4426950408889634)), shift)
        k = b.fsub(shifted, shift)
        r = self.sub(inside, self.mul(k, self.constant(LN2_HIGH)))
        r = self.sub(r, self.mul(k, self.constant(LN2_LOW)))
        exponent = b.add(b.bitcast(shifted, self.bits), self.integer(1023))
        power = b.bitcast(b.shl(exponent, self.integer(52)), self.vector)
        result = b.fmul(self._polynomial(r, EXP_TAYLOR), power)
        result = b.select(b.fcmp_ordered("<", x, self.constant(-708.0)), self.constant(0.0), result)
        return b.select(b.fcmp_ordered(">", x, self.constant(709.0)), self.constant(float("inf")), result)

    def log(self, x):
        """Natural logarithm of a positive normal number; NaN elsewhere."""
        b = self.b
        bits = b.bitcast(x, self.bits)
        k = b.ashr(b.sub(bits, self.integer(0x3FE6A09E00000000)), self.integer(52))
        m = b.bitcast(b.sub(bits, b.shl(k, self.integer(52))), self.vector)
        power = b.sitofp(k, self.vector)
        f = b.fsub(m, self.constant(1.0))
        s = b.fdiv(f, b.fadd(f, self.constant(2.0)))
        z = self.mul(s, s)
        tail = self.mul(z, self._polynomial(z, LOG_MINIMAX))
        half = self.mul(self.constant(0.5), self.mul(f, f))
        low = self.add(self.mul(s, self.add(half, tail)), self.mul(power, self.constant(LN2_LOW)))
        result = self.sub(self.mul(power, self.constant(LN2_HIGH)), b.fsub(b.fsub(half, low), f))
        usable = b.and_(
            b.fcmp_ordered(">=", x, self.constant(2.2250738585072014e-308)),
            b.fcmp_ordered("<", x, self.constant(float("inf"))),
        )
        return b.select(usable, result, self.constant(float("nan")))

    def at(self, pointer, index: int):
        """Address of vector number `index` behind `pointer`."""
        return self.b.gep(pointer, [ir.Constant(INT, index * self.width)])

    def load(self, pointer, index: int):
        address = self.b.bitcast(self.at(pointer, index), self.vector.as_pointer())
        value = self.b.load(address)
        value.align = 8
        return value

    def store(self, value, pointer, index: int) -> None:
        address = self.b.bitcast(self.at(pointer, index), self.vector.as_pointer())
        self.b.store(value, address).align = 8

    def prefetch(self, pointer, first: int, vectors: int, write: bool) -> None:
        """Ask for the vectors `first`, ... behind `pointer` before they are needed; no address is wrong."""
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        fetch = _declared(self.b.module, "llvm.prefetch.p0i8", ir.VoidType(), [byte, flag, flag, flag])
        settings = [ir.Constant(flag, value) for value in (int(write), 3, 1)]
        for place in range(0, vectors * self.width, LINE // 8):
            address = self.b.gep(pointer, [ir.Constant(INT, first * self.width + place)])
            self.b.call(fetch, [self.b.bitcast(address, byte), *settings])

    def scratch(self, vectors: int):
        """Room for some vectors on the stack, each within one line of the cache."""
        room = self.b.alloca(DOUBLE, vectors * self.width)
        room.align = LINE
        return room

    def run(self, program: Program, pointers: dict) -> dict[str, list]:
        """Emit a program that reads its inputs behind `pointers`; returns its outputs as values."""
        values: list[Any] = []
        for operation, *arguments in program.instructions:
            if operation == "input":
                value = self.load(pointers[arguments[0]], arguments[1])
            elif operation == "constant":
                value = self.constant(arguments[0])
            else:
                value = getattr(self, operation)(*(values[a] for a in arguments))
            values.append(value)
        return {group: [values[i] for i in indices] for group, indices in program.outputs.items()}


def _declared(module: ir.Module, name: str, result, arguments) -> ir.Function:
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(result, arguments), name)


def function(module: ir.Module, name: str, width: int, n_arguments: int, body) -> ir.Function:
    """The function `name` on pointers to doubles, in `module`; `body(lanes, *pointers)` writes it the
    first time."""
    pointer = DOUBLE.as_pointer()
    made = _declared(module, name, ir.VoidType(), [pointer] * n_arguments)
    if made.is_declaration:
        builder = ir.IRBuilder(made.append_basic_block())
        body(Lanes(builder, width), *made.args)
        builder.ret_void()
    return made


def program_body(program: Program, accumulate: frozenset[str] = frozenset()):
    """Body of a function that takes the program's inputs, then its outputs, then what it has no use for;
    some outputs are added to what is there."""

    def body(lanes: Lanes, *pointers):
        n = len(program.inputs)
        results = lanes.run(program, dict(zip(program.inputs, pointers, strict=False)))
        for pointer, (group, values) in zip(pointers[n:], results.items(), strict=False):
            for i, value in enumerate(values):
                if group in accumulate:
                    value = lanes.add(lanes.load(pointer, i), value)
                lanes.store(value, pointer, i)

    return body


def step_body(method: Tableau, rhs: ir.Function, scales: Sequence[float], n_inputs: int):
    """One step of a method for every lane, each with its own size.

    Arguments: y, its slope, inputs at the seven stage times, coefficients, step, tolerances (relative,
    absolute); results: the six stage states, the new y and its slope, the error (mean square, 1 is allowed)
    and the factor by which the next step may grow.
    """
    n = len(scales)

    def body(lanes: Lanes, y, k, u, c, h, tolerance, stages, y_new, k_new, error, factor):
        b = lanes.b
        lanes.prefetch(stages, 6 * n, 6 * n, write=True)  # where the next step will be kept
        step = lanes.load(h, 0)
        relative, absolute = (
            _broadcast(lanes, b.load(b.gep(tolerance, [ir.Constant(INT, i)]))) for i in (0, 1)
        )
        slopes = [k, *(lanes.scratch(n) for _ in range(5)), k_new]
        before = [lanes.load(y, i) for i in range(n)]
        for i in range(n):
            lanes.store(before[i], stages, i)
        for s in range(1, 7):
            place, offset = (stages, s * n) if s < 6 else (y_new, 0)
            for i in range(n):
                change = _weighted(lanes, method.stages[s], slopes, i)
                lanes.store(lanes.add(before[i], lanes.mul(step, change)), place, offset + i)
            b.call(rhs, [lanes.at(place, offset), lanes.at(u, s * n_inputs), c, slopes[s]])
        total = lanes.constant(0.0)
        for i in range(n):
            after = lanes.load(y_new, i)
            size = lanes.maximum(lanes.abs(before[i]), lanes.abs(after))
            allowed = lanes.add(lanes.mul(absolute, lanes.constant(scales[i])), lanes.mul(relative, size))
            e = lanes.div(lanes.mul(step, _weighted(lanes, method.error, slopes, i)), allowed)
            total = lanes.add(total, lanes.mul(e, e))
        mean = lanes.mul(total, lanes.constant(1.0 / n))
        lanes.store(mean, error, 0)
        exponent = lanes.constant(-0.5 / method.order)
        shrink = lanes.exp(lanes.mul(exponent, lanes.log(lanes.maximum(mean, lanes.constant(1e-20)))))
        bounded = lanes.minimum(lanes.mul(lanes.constant(0.9), shrink), lanes.constant(LARGEST_GROWTH))
        lanes.store(lanes.maximum(bounded, lanes.constant(0.2)), factor, 0)

    return body


def step_adjoint_body(method: Tableau, rhs_adjoint: ir.Function, n: int, n_inputs: int):
    """The transpose of a step: pulls the cotangents of the new state back to the old one and to the
    coefficients.

    Arguments: stages, inputs at the stage times, coefficients, step, cotangents of the state (in and out),
    cotangents of the coefficients (added to); result: those of a measured curve's level at the first six
    stage times.
    """

    def body(lanes: Lanes, stages, u, c, h, bar_y, bar_c, bar_level):
        b = lanes.b
        lanes.prefetch(stages, -6 * n, 6 * n, write=False)  # the step before, which is next
        step = lanes.load(h, 0)
        bar_k = [lanes.scratch(n) for _ in range(6)]
        pulled = lanes.scratch(n)
        total = [lanes.load(bar_y, i) for i in range(n)]
        for s in range(6):
            weight = lanes.mul(step, lanes.constant(method.stages[6][s]))
            for i in range(n):
                lanes.store(lanes.mul(weight, total[i]), bar_k[s], i)
        for s in range(5, -1, -1):
            here = lanes.at(stages, s * n), lanes.at(u, s * n_inputs)
            arguments = *here, c, bar_k[s], pulled, bar_c, lanes.at(bar_level, s)
            b.call(rhs_adjoint, arguments[: len(rhs_adjoint.args)])
            for i in range(n):
                total[i] = lanes.add(total[i], lanes.load(pulled, i))
            for q in range(s):
                if method.stages[s][q]:
                    weight = lanes.mul(step, lanes.constant(method.stages[s][q]))
                    for i in range(n):
                        more = lanes.mul(weight, lanes.load(pulled, i))
                        lanes.store(lanes.add(lanes.load(bar_k[q], i), more), bar_k[q], i)
        for i in range(n):
            lanes.store(total[i], bar_y, i)

    return body


def _weighted(lanes: Lanes, weights: Sequence[float], slopes: Sequence, i: int):
    terms = [
        lanes.mul(lanes.constant(w), lanes.load(k, i)) for w, k in zip(weights, slopes, strict=False) if w
    ]
    total = terms[0]
    for term in terms[1:]:
        total = lanes.add(total, term)
    return total


def _broadcast(lanes: Lanes, value):
    if lanes.width == 1:
        return value
    empty = ir.Constant(lanes.vector, ir.Undefined)
    first = lanes.b.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes.width), [0] * lanes.width)
    return lanes.b.shuffle_vector(first, empty, zeros)
