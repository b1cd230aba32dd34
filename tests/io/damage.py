"""Damaged and malicious checkpoint files: each must be read as what was saved, or refused in one clear error.

    python -m tests.io.damage --n 100000 --seed 0

A file that was cut, flipped, overwritten or spliced must not load as something else. A file that
says what nobody would save (a pickle made to do harm, a zip with lying sizes) must not run code. No
file may crash the process, take more than a second, or more memory than 4 times its size and `SLACK`.
"""
from __future__ import annotations

import argparse
import io
import mmap
import os
import pickle
import random
import signal
import struct
import sys
import time
import tracemalloc
import zipfile
import zlib
from collections import Counter, OrderedDict

import rushlight as torch

SECONDS, PATIENCE = 1.0, 30         # CPU time of a file; after how long without a sign a process is killed
SLACK = 1 << 20                     # bytes: what Python's own objects take, however small the file is
BATCH = 1000                        # files for each process
REFUSED = (RuntimeError, pickle.UnpicklingError, EOFError, NotImplementedError)
FORBIDDEN = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "webbrowser.", "compile", "exec")


# -- what is saved ---------------------------------------------------------------------------------
def every_dtype():
    dtypes = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
              torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128)
    return {str(d): torch.arange(7).to(d) for d in dtypes}


def training():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    return {"epoch": 3, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}


def views():
    x = torch.arange(12.).view(3, 4)
    return [x, x.t(), x[1:, ::2], torch.nn.Parameter(x[0])]


def containers():
    return OrderedDict(text="ü" * 50, raw=bytes(range(64)), big=2 ** 200, pair=(None, -1.5), names={"a", "b"},
                       inner=[{"deep": [[[torch.ones(2, 3)]]]}], size=torch.Size([2, 3]), dtype=torch.float16)


SAVED = (every_dtype, training, views, containers)


def written(make) -> bytes:
    stream = io.BytesIO()
    torch.save(make(), stream)
    return stream.getvalue()


def told(value, seen=None):
    """A value as nested tuples of plain data, tensors by their bytes; what is met again is left out."""
    seen = set() if seen is None else seen
    if isinstance(value, torch.Tensor):
        return tensor_told(value)
    if not isinstance(value, (dict, list, tuple, set, frozenset)):
        return type(value).__name__, repr(value)[:10000]
    if id(value) in seen:
        return ("again",)
    seen.add(id(value))
    parts = value.items() if isinstance(value, dict) else sorted(value, key=repr) if isinstance(
        value, (set, frozenset)) else value
    return type(value).__name__, *(told(part, seen) for part in parts)


def tensor_told(x):
    kind = type(x).__name__, str(x.dtype), tuple(x.shape), x.requires_grad
    if x.layout is not torch.strided:
        return kind, repr(x)
    if x.numel() > 100_000:                     # shown by strides of 0: nobody has to have that much
        return kind
    return kind, x.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes() if x.numel() else b""


# -- damage ----------------------------------------------------------------------------------------
def cut(data, other, dice):
    return data[:dice.randrange(len(data))]


def flip(data, other, dice):
    data = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 8, 50))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data)


def overwrite(data, other, dice):
    at, size = dice.randrange(len(data)), dice.choice((1, 4, 64, 512, 4096))
    new = bytes(size) if dice.random() < 0.5 else dice.randbytes(size)
    return data[:at] + new[:len(data) - at] + data[at + size:]


def splice(data, other, dice):
    return data[:dice.randrange(len(data))] + other[dice.randrange(len(other)):]


def lose(data, other, dice):
    at = dice.randrange(len(data))
    return data[:at] + data[at + dice.choice((1, 64, 512)):]


def repeat(data, other, dice):
    start, end = sorted(dice.randrange(len(data)) for _ in range(2))
    return data[:end] + data[start:end] + data[end:]


def swap(data, other, dice):
    i, j = sorted(dice.sample(range(0, len(data), 64), 2))
    return data[:i] + data[j:j + 64] + data[i + 64:j] + data[i:i + 64] + data[j + 64:]


DAMAGES = (cut, flip, flip, overwrite, splice, lose, repeat, swap)


# -- malice ----------------------------------------------------------------------------------------
def records(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(parts: dict, how=zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as file:
        for name, body in parts.items():
            file.writestr(name, body)
    return stream.getvalue()


def with_pickle(data: bytes, program: bytes) -> bytes:
    return zipped({name: program if name.endswith("data.pkl") else body for name, body in records(data).items()})


def mutated(data, other, dice):
    """The checksum is right, the pickle is not what `save` has written."""
    program = bytearray(next(body for name, body in records(data).items() if name.endswith("data.pkl")))
    for _ in range(dice.randint(1, 6)):
        at, way = dice.randrange(len(program)), dice.randrange(4)
        if way == 0:
            program[at] = dice.randrange(256)
        elif way == 1:
            program[at:at + dice.randrange(1, 5)] = dice.choice(PIECES)
        elif way == 2:
            program[at:at] = dice.choice(PIECES)
        else:
            del program[at:at + dice.randrange(1, 9)]
    return with_pickle(data, bytes(program))


def composed(data, other, dice):
    """A program of pieces that are each right."""
    return with_pickle(data, b"\x80\x02" + b"".join(dice.choices(PIECES, k=dice.randint(1, 40))) + b".")


def name(text: str) -> bytes:
    module, _, rest = text.rpartition(".")
    return f"c{module}\n{rest}\n".encode()


def word(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


STORAGE = b"(" + word("storage") + name("torch.FloatStorage") + word("0") + word("cpu") + b"K\x04tQ"
TENSOR = name("torch._utils._rebuild_tensor_v2") + b"(" + STORAGE + b"K\x00K\x02K\x02\x86K\x02K\x01\x86\x89N tR".replace(
    b" ", b"")
NAMES = ("os.system", "builtins.exec", "builtins.eval", "builtins.__import__", "builtins.getattr", "os.mkdir",
         "subprocess.Popen", "torch.load", "torch.Tensor", "torch.nn.parameter.Parameter", "torch.Size", "torch.device",
         "collections.OrderedDict", "collections.Counter", "_codecs.encode", "builtins.set", "builtins.frozenset",
         "builtins.bytearray", "builtins.bytes", "builtins.complex", "torch._utils._rebuild_tensor_v3", "torch.float32",
         "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state", "torch.complex64",
         "torch._utils._rebuild_sparse_tensor", "torch._tensor._rebuild_from_type_v2", "torch.storage.UntypedStorage",
         "torch.serialization._get_layout", "numpy.core.multiarray._reconstruct", "pickle.loads", "codecs.decode")
PIECES = [b"(", b"t", b"R", b"\x81", b"b", b"Q", b"]", b"}", b")", b"\x85", b"\x86", b"\x87", b"l", b"e", b"a", b"u", b"s",
          b"0", b"1", b"2", b"N", b"\x88", b"\x89", b"K\x01", b"K\xff", b"J\xff\xff\xff\xff", b"J\xff\xff\xff\x7f",
          b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"G\x7f\xf0\0\0\0\0\0\0", b"\x8f", b"\x90", b"\x91", b"\x93",
          b"\x94", b"q\x00", b"q\x01", b"h\x00", b"h\x01", b"X\xff\xff\xff\x7fa", b"\x95" + b"\xff" * 8, b"\x8d" + b"\xff" * 8,
          word("cpu"), word("cpu:1"), word("latin1"), word("idna"), word("data"), word("offset"), word("torch.sparse_coo"),
          STORAGE, TENSOR, *map(name, NAMES)]


def called(function: str, *arguments: bytes) -> bytes:
    return name(function) + b"(" + b"".join(arguments) + b"tR"


def nested(levels: int, width: int) -> bytes:
    """A tuple of tuples of tuples that are all the same."""
    return b")q\x00" + (b"0(" + b"h\x00" * width + b"tq\x00") * levels


def number(n: int) -> bytes:
    return b"\x8a" + bytes([n.bit_length() // 8 + 1]) + n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)


def state_of(**fields: bytes) -> bytes:
    return b"}(" + b"".join(word(k) + v for k, v in fields.items()) + b"u"


ATTACKS = [
    called("os.system", word("touch /tmp/rushlight-was-here")), called("builtins.exec", word("raise SystemExit(1)")),
    called("builtins.eval", word("__import__('os')._exit(3)")), pickle.dumps(pickle.loads),
    b"}" + nested(15, 1000) + b"K\x01s", name("builtins.set") + nested(15, 1000) + b"\x85R",      # exponential keys
    b"}(" + b"".join(number(k * (2 ** 61 - 1)) + b"N" for k in range(1, 5_000)) + b"u",          # keys of one hash
    called("builtins.bytearray", word("x" * 20_000 + ".é"), word("idna")),                        # quadratic codec
    called("torch._utils._rebuild_parameter_with_state", TENSOR, b"\x89N", state_of(offset=b"J\xff\xff\xff\x7f")),
    called("torch._utils._rebuild_parameter_with_state", TENSOR, b"\x89N", state_of(storage=b"N", layout=b"N")),
    called("torch._tensor._rebuild_from_type_v2", name("torch._utils._rebuild_tensor_v2"), name("torch.Tensor"),
           b"(" + STORAGE + b"K\x00K\x02K\x02\x86K\x02K\x01\x86\x89Nt", state_of(offset=b"J\0\0\0\x7f", data=b"N")),
    called("torch._utils._rebuild_tensor_v2", STORAGE, b"K\x00(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft(K\x00K\x00t\x89N"),
    called("torch._utils._rebuild_tensor_v2", STORAGE, b"K\x00(J\xff\xff\xff\x7ft(K\x00t\x89N", state_of(neg=b"\x88")),
    called("torch._utils._rebuild_tensor_v2", STORAGE, b"K\x04K\x01\x85K\x01\x85\x89N"),
    called("torch._utils._rebuild_tensor_v2", STORAGE, b"J\xff\xff\xff\xffK\x02\x85K\x01\x85\x89N"),
    b"(" + b"".join(called("torch._utils._rebuild_tensor_v3", STORAGE, b"K\x00K\x01\x85K\x01\x85\x89N", name("torch." + d))
                    for d in ("uint8", "int8", "int16", "int32", "int64", "float16", "float64", "complex64")) + b"l",
    called("torch._utils._rebuild_sparse_tensor", called("torch.serialization._get_layout", word("torch.sparse_coo")),
           b"(" + called("torch._utils._rebuild_tensor_v3", STORAGE, b"K\x00K\x01K\x02\x86K\x02K\x01\x86\x89N",
                         name("torch.int64")) + TENSOR + name("torch.Size") + b"K\x02\x85\x85R\x88t"),
    b"]" * 12_000 + b"0" * 11_999, b"(" * 90_000, b")" + b"\x85" * 12_000, b"N" + b"2" * 90_000,
    called("collections.OrderedDict", nested(15, 1000)), called("torch.Size", nested(15, 1000)),
    *(called(f"{maker}", TENSOR) for maker in (         # to iterate over a tensor is to record and to compile
        "torch.Size", "builtins.set", "builtins.frozenset", "builtins.bytearray", "builtins.complex",
        "collections.OrderedDict", "collections.Counter", "torch.device", "torch.serialization._get_layout")),
    called("torch._utils._rebuild_tensor_v2", STORAGE, b"K\x00", TENSOR, TENSOR, b"\x89N"),
    called("torch._utils._rebuild_tensor_v2", STORAGE, b"K\x00)))" + TENSOR, b"N"),
    called("torch.device", word("cpu:" + "9" * 5000)), called("builtins.complex", word("1" * 20_000)),
    b"\x8b\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 8, b"\x96" + b"\x00" * 7 + b"\x7f", b"Q", word("x") + b"Q", b"I1\n"]


def attack(data, other, dice):
    return with_pickle(data, b"\x80\x02" + dice.choice(ATTACKS) + b".")


def lying_zip(data, other, dice):
    """Numbers of the zip itself that are wrong where nothing checks them."""
    data, parts = bytearray(data), records(data)
    way = dice.randrange(5)
    if way == 0:                                # a bomb: a little that becomes much
        big = {n: bytes(400_000) if "/data/" in n else b for n, b in parts.items()}
        return zipped(big, dice.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
    if way == 1:                                # a record twice under one name
        return overlapping(dice.randint(2, 3000))
    directory = data.rfind(b"PK\1\2") if dice.random() < 0.5 else data.find(b"PK\1\2")
    if way == 2:                                # sizes, offsets and checksums in the directory
        at = directory + dice.choice((8, 10, 16, 20, 24, 28, 30, 42))
        data[at:at + 4] = dice.choice((b"\xff" * 4, b"\0" * 4, dice.randbytes(4), b"\xff\xff\xff\x7f"))
    elif way == 3:                              # the end of the directory
        at = data.rfind(b"PK\5\6") + dice.choice((4, 8, 10, 12, 16, 20))
        data[at:at + dice.choice((2, 4))] = dice.randbytes(4)
    else:                                       # a byteorder and a version that nobody writes
        return zipped({n: dice.randbytes(9) if n.endswith(("byteorder", "version")) else b for n, b in parts.items()})
    return bytes(data)


def overlapping(count: int) -> bytes:
    """Many records that are the same bytes of the file."""
    body = bytes(4096)
    tensors = b"".join(b"(" + word("storage") + name("torch.FloatStorage") + word(str(i)) + word("cpu") + b"M\0\x04tQ"
                       for i in range(count))
    data = bytearray(zipped({"a/data.pkl": b"\x80\x02(" + tensors + b"l.", "a/data/0": body}))
    start = data.find(b"PK\1\2")
    at = data.find(b"PK\3\4", 4)
    entry = [data[start:data.find(b"PK\1\2", start + 4)]] + [
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, zlib.crc32(body), 4096, 4096, 8, 0, 0, 0, 0, 0, at)
        + b"a/data/0" for i in range(count)]
    return bytes(data[:start]) + b"".join(entry) + struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, len(entry), len(entry), sum(map(len, entry)), start, 0)


def legacy(data, other, dice):
    """The format without a zip, which has no checksums."""
    pieces = [pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    body = b"\x80\x02" + TENSOR.replace(b"K\x04tQ", b"K\x04NtQ") + b"."
    keys = pickle.dumps(["0"] * dice.randint(0, 2), 2)
    file = b"".join(pieces) + body + keys + struct.pack("<Q4f", 4, 1, 2, 3, 4)
    return dice.choice((flip, cut, overwrite, splice, lose))(file, other, dice)


MALICE = (mutated, mutated, composed, attack, lying_zip, legacy)


# -- trying ----------------------------------------------------------------------------------------
class Watched:
    """Counts what a file must not cause while it is read."""

    on, events = False, []

    @classmethod
    def hook(cls, event, args):
        if cls.on and event.startswith(FORBIDDEN):
            cls.events.append(event)


sys.addaudithook(Watched.hook)


def case(number: int, seed: int, files):
    """(damage, file, what it may load as or None); the first are the attacks, each once."""
    if number < len(ATTACKS):
        return attack, with_pickle(files[-1][0], b"\x80\x02" + ATTACKS[number] + b"."), None
    dice = random.Random(f"{seed} {number}")
    (data, value), (other, other_value) = dice.choice(files), dice.choice(files)
    malicious = dice.random() < 0.4
    damage = dice.choice(MALICE if malicious else DAMAGES)
    return damage, damage(data, other, dice), None if malicious else (value, other_value)


def read(data: bytes, mmap: bool, path: str):
    if not mmap:
        return torch.load(io.BytesIO(data))
    with open(path, "wb") as file:
        file.write(data)
    return torch.load(path, mmap=True)


def outcome(data: bytes, allowed, mapped: bool = False, path: str = "") -> str:
    """What became of one file: "refused", "read", or what went wrong."""
    tracemalloc.reset_peak()
    before, start = tracemalloc.get_traced_memory()[0], time.thread_time()
    Watched.events.clear()
    try:
        Watched.on = not mapped
        value = read(data, mapped, path)
        Watched.on = False
        found = told(value)
        verdict = "read" if mapped or allowed is None or found in allowed else "WRONG: loaded as something else"
    except REFUSED as error:
        verdict = "refused" if str(error) and len(str(error)) < 2000 else f"WRONG: error {error!r:.200}"
    except Exception as error:
        verdict = f"WRONG: {type(error).__name__}: {error}"
    Watched.on = False
    peak = tracemalloc.get_traced_memory()[1] - before
    if Watched.events:
        return f"WRONG: ran {Watched.events[0]}"
    if time.thread_time() - start > SECONDS:
        return f"WRONG: took {time.thread_time() - start:.1f} s"
    return verdict if peak <= 4 * len(data) + SLACK else f"WRONG: {peak} bytes of memory for a file of {len(data)}"


def originals():
    torch.manual_seed(0)
    return [(data, told(torch.load(io.BytesIO(data)))) for data in map(written, SAVED)]


def attempt(number: int, seed: int, files, path: str) -> tuple[str, str]:
    damage, data, allowed = case(number, seed, files)
    mapped = number % 10 == 9
    return damage.__name__ + (" mapped" if mapped else ""), outcome(data, allowed, mapped, path)


def batch(numbers, seed: int, files, place, out: int) -> None:
    """In a process of its own: tries files, tells of each before it starts and of what went wrong."""
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tracemalloc.start()
    counts, path = Counter(), f"/dev/shm/damage-{os.getpid()}"
    for n in numbers:
        struct.pack_into("<q", place, 0, n)
        kind, verdict = attempt(n, seed, files, path)
        counts[kind, verdict.partition(":")[0]] += 1
        if verdict.startswith("WRONG"):
            os.write(out, f"{n}\t{kind}\t{verdict}\n"[:1000].encode())
    if os.path.exists(path):
        os.unlink(path)
    os.write(out, repr(dict(counts)).encode() + b"\n")


def run_batch(numbers, seed: int, files) -> tuple[list[str], Counter]:
    """Lines of what went wrong, and counts by kind of damage and verdict."""
    place = mmap.mmap(-1, 8)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            batch(numbers, seed, files, place, writing)
        finally:
            os._exit(0)
    os.close(writing)
    lines = collected(reading, child, place)
    _, status = os.waitpid(child, 0)
    counts = Counter(eval(lines.pop())) if lines and lines[-1].startswith("{") else Counter()
    if not counts:
        last = struct.unpack("<q", place[:8])[0]
        lines.append(f"{last}\t?\tWRONG: the process ended with status {status}")
    return lines, counts


def collected(reading: int, child: int, place) -> list[str]:
    """All that the child writes; it is killed when it stays at one file for too long."""
    import select
    text, before, since = b"", -1, time.monotonic()
    while True:
        if select.select([reading], [], [], 1)[0]:
            piece = os.read(reading, 1 << 16)
            if not piece:
                os.close(reading)
                return text.decode(errors="replace").splitlines()
            text += piece
        now = struct.unpack("<q", place[:8])[0]
        if now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > PATIENCE:
            os.kill(child, signal.SIGKILL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one file, read in this process")
    options = parser.parse_args()
    files = originals()
    if options.only is not None:
        tracemalloc.start()
        print(*attempt(options.only, options.seed, files, "/dev/shm/damage-one"))
        return 0
    total, wrong, start = Counter(), [], time.monotonic()
    for first in range(0, options.n, BATCH):
        lines, counts = run_batch(range(first, min(first + BATCH, options.n)), options.seed, files)
        total += counts
        wrong += lines
        print(*lines, sep="\n", end="\n" if lines else "")
    for (kind, verdict), count in sorted(total.items()):
        print(f"{count:8} {kind}: {verdict}")
    print(f"{options.n} files, {len(wrong)} wrong, {time.monotonic() - start:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
