"""Micro-kernels: a few rows of C in registers, B one packed panel, A read element by element.

    micro(a, row table, k table, b, k stride of b, kc, c, row stride of c, first, rows, vectors)
        c[r, 0:panel] (+)= sum over k < kc of a[row table[r] + k table[k]] * b[k, 0:panel]

Tables and strides are in bytes. Two tables let A be a matrix of any strides or an image: a row of
positions and a k of (channel, tap) just as well as the reverse.

Rows are cut into balanced groups of at most `ROWS`; `vectors` (1 or 2) says how much of the panel
is used. Each output element has one accumulator, summed in order of k by fma, then stored (`first`)
or added to what c holds, so no choice made here changes a bit of the result.

With `dots` an element of a and b is a pair of bfloat16, two neighbours of k, and a step is the CPU's
dot product of pairs, added to float32.
"""
from __future__ import annotations

from functools import cache

from ..compiler.kernel import Code
from ..dtypes import dtype
from .emit import SIZES, Function, Value, constant, vector

VECTOR_BYTES = 64
VECTORS = 2                             # of a full panel
PANEL_BYTES = VECTORS * VECTOR_BYTES
ROWS = 8                                # 8 x 2 accumulators already saturate the fma units from L2
PAIRS = vector("bfloat", VECTOR_BYTES // 2)
TILE_PARAMS = (("ptr", "a"), ("ptr", "row_table"), ("ptr", "k_table"), ("ptr", "b"), ("i64", "bs"),
               ("i64", "kc"),
               ("ptr", "c"), ("i64", "cs"), ("i64", "first"))
MICRO_PARAMS = (*TILE_PARAMS, ("i64", "rows"), ("i64", "vectors"))
FAMILY = [(rows, vectors) for vectors in range(1, VECTORS + 1) for rows in range(1, ROWS + 1)]


@cache
def micro(kind: dtype, dots: bool = False, chain: int = 0) -> Code:
    """The module of all micro-kernels of float32, float64, int32 or int64; its symbol has MICRO_PARAMS.

    With a `chain` so many products are summed at a time, and the sums added in order.
    """
    f = Function(f"micro_{kind.name}{'_dots' * dots}", MICRO_PARAMS)
    groups = f.ceil_div(f.rows, ROWS)
    small, larger = f.udiv(f.rows, groups), f.urem(f.rows, groups)
    with f.loop(0, groups, carried=[f.row_table, f.c]) as loop:
        table, c = loop.values
        rows = f.add(small, f.cast("zext", f.icmp("ult", loop.index, larger), "i64"))
        _dispatch(f, kind.llvm, (dots, chain), rows, [f.a, table, *f.parameters[2:6], c, f.cs, f.first])
        loop.next(f.at(table, "i64", rows), f.at(c, "i8", f.mul(rows, f.cs)))
    return f.code()


def _dispatch(f: Function, element: str, how, rows: Value, arguments: list[Value]) -> None:
    """Calls the member of the family for (rows, vectors)."""
    key = f.add(f.mul(f.vectors, 256), rows)
    stem, done = f.fresh("tile"), f.fresh("tiled")
    cases = " ".join(f"i64 {256 * v + r}, label %{stem}.{r}.{v}" for r, v in FAMILY)
    f.line(f"switch {key.typed}, label %{done} [ {cases} ]")
    for r, v in FAMILY:
        f.label(f"{stem}.{r}.{v}")
        tile = f.helper(f"tile{r}x{v}", lambda shape=(r, v): _tile(element, *how, *shape))
        f.line(f"call void @{tile.name}({', '.join(f.value(a).typed for a in arguments)})")
        f.jump(done)
    f.label(done)


def _tile(element: str, dots: bool, chain: int, rows: int, vectors: int) -> Function:
    """rows x vectors accumulators in registers over the whole of kc, or over a chain at a time."""
    f = Function(f"tile{rows}x{vectors}", TILE_PARAMS)
    places = [f.load("i64", f.at(f.row_table, "i64", r)) for r in range(rows)]
    if not chain:
        _, *sums = _products(f, element, dots, places, vectors, (0, f.kc, f.b))
        _store_rows(f, sums, vectors, f.first)
        return f
    with f.loop(0, f.kc, chain, carried=[f.b, f.first]) as part:
        end = f.umin(f.add(part.index, chain), f.kc)
        b, *sums = _products(f, element, dots, places, vectors, (part.index, end, part.values[0]))
        _store_rows(f, sums, vectors, part.values[1])
        part.next(b, 0)
    return f


def _products(f: Function, element: str, dots: bool, places, vectors: int, span) -> list[Value]:
    """Where b goes on, and the sums over k from span[0] to span[1]; b starts at span[2]."""
    first, last, start = span
    lanes = VECTOR_BYTES // SIZES[element]
    zero, unit = constant(vector(element, lanes), 0), "i32" if dots else element
    with f.loop(first, last, carried=[start, *[zero] * (len(places) * vectors)]) as loop:
        b, *sums = loop.values
        a = f.at(f.a, "i8", f.load("i64", f.at(f.k_table, "i64", loop.index)))
        panel = [f.load_vector(unit, f.at(b, "i8", v * VECTOR_BYTES), lanes)
                 for v in range(vectors)]
        values = (f.load_splat(unit, f.at(a, "i8", place), lanes) for place in places)
        products = [(value, column) for value in values for column in panel]
        add = dot_pairs if dots else Function.times_plus
        loop.next(f.at(b, "i8", f.bs), *(add(f, *p, s) for p, s in zip(products, sums, strict=True)))
    return loop.results


def dot_pairs(f: Function, a: Value, b: Value, total: Value) -> Value:
    """Lane by lane a0 * b0 + a1 * b1 + total, a and b pairs of bfloat16 in 32 bits."""
    pairs = (f.let(PAIRS, f"bitcast {x.typed} to {PAIRS}") for x in (a, b))
    return f.call(total.type, "llvm.x86.avx512bf16.dpbf16ps.512", total, *pairs)


def round_pairs(f: Function, a: Value) -> Value:
    """float32 rounded to nearest even bfloat16; what is denormal becomes zero, as in `dot_pairs`."""
    return f.call(vector("bfloat"), "llvm.x86.avx512bf16.cvtneps2bf16.512", a)


def _store_rows(f: Function, sums, vectors: int, first: Value) -> None:
    """c = sums, or c += sums unless this is the first block of k."""
    with f.either(f.icmp("ne", first, 0)) as either:
        for arm, again in ((either.yes, False), (either.no, True)):
            with arm:
                row = f.c
                for k, value in enumerate(sums):
                    place = f.at(row, "i8", k % vectors * VECTOR_BYTES)
                    f.store(f.plus(f.load(value.type, place), value) if again else value, place)
                    row = f.at(row, "i8", f.cs) if k % vectors == vectors - 1 else row
