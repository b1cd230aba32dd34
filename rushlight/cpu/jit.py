"""LLVM module text -> object code -> callable address, remembered in memory and on disk.

No IR passes and code generation level 1: kernels come as explicit vectors, and level 2 or passes
made none of them faster. What is loaded stays loaded until the process ends: plans hold addresses.
"""
from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Sequence
from ctypes import py_object, pythonapi, string_at
from functools import cache

from .. import config
from ..compiler import cache as objects
from ..compiler.kernel import Code
from ..runtime.forking import compiling
from .features import host

VERSION = "1"       # part of every object's key: raise it when the same IR must give other code

compilations = 0    # modules that LLVM compiled in this process
loads = 0           # objects made callable in this process, compiled here or read from disk

_addresses: dict[Code, int] = {}
_loaded: dict[str, int] = {}    # key of an object -> address
_numbers = itertools.count()    # LLVM wants a new name for each library


def address(code: Code) -> int:
    """Address of the machine code of `code`."""
    return _addresses.get(code) or addresses((code,))[0]


def addresses(codes: Sequence[Code]) -> list[int]:
    """Addresses of many codes; what is new is compiled on several threads.

    RuntimeError with LLVM's words if a module is not valid IR.
    """
    known = _addresses
    new = [code for code in codes if code not in known]
    if new:
        with compiling:
            _make([code for code in dict.fromkeys(new) if code not in known])
            if config.debug.value:
                _show(new)
    return [known[code] for code in codes]


def _make(codes: list[Code]) -> None:
    """Addresses of codes that have none yet."""
    keys = {code: key_of(code) for code in codes}
    _load([(code.symbol, keys[code], content) for code, content in
           _objects([code for code in codes if keys[code] not in _loaded])])
    for code, key in keys.items():
        _addresses[code] = _loaded[key]


def kept(names: Sequence[tuple[str, str]]) -> list[int] | None:
    """Addresses of objects on disk by (symbol, key of the code); None if one is not there."""
    with compiling:
        found = {}
        for symbol, key in names:
            if key not in _loaded and key not in found:
                content = objects.load(key)
                if content is None:
                    return None
                found[key] = symbol, key, content
        _load(list(found.values()))
        return [_loaded[key] for _, key in names]


def _show(codes: list[Code]) -> None:
    level, loud = config.debug.value, sys.stderr
    print(f"jit: {compilations} kernels compiled, {loads} loaded in all", file=loud)
    for code in codes:
        if level >= 5:
            print(code.ir, file=loud)
        if level >= 6:
            print(assembly(code), file=loud)


def object_code(code: Code) -> bytes:
    """The object file of `code`, from disk or from LLVM."""
    return _objects([code])[0][1]


def assembly(code: Code) -> str:
    """The machine code of `code` as assembly text, for people."""
    return _Compiler().assembly(code)


def _objects(codes: list[Code]) -> list[tuple[Code, bytes]]:
    keys = {code: key_of(code) for code in codes}
    found = {code: objects.load(keys[code]) for code in codes}
    missing = [code for code in codes if found[code] is None]
    for code, compiled in zip(missing, _compile_all(missing), strict=True):
        found[code] = compiled
        objects.store(keys[code], compiled)
    return list(found.items())


@cache
def key_of(code: Code) -> str:
    """The name of its object on disk."""
    return objects.make_key(*machine(), code.symbol, code.ir)


def machine() -> tuple[str, ...]:
    """What code depends on besides its IR."""
    known = host()
    return VERSION, known.llvm, known.triple, known.cpu, known.features


def _compile_all(codes: list[Code]) -> list[bytes]:
    """Objects of `codes`, longest first over all cores; the first error is raised at the end."""
    global compilations
    workers = min(len(codes), _cores())
    if workers <= 1:
        compiled = {code: _Compiler().compile(code) for code in codes}
    else:
        compiled = _compile_parallel(codes, workers)
    compilations += len(codes)
    return [compiled[code] for code in codes]


def _compile_parallel(codes: list[Code], workers: int) -> dict[Code, bytes]:
    waiting = sorted(codes, key=lambda code: len(code.ir))
    compiled, errors = {}, []

    def work():
        compiler = _Compiler()
        try:
            while code := _pop(waiting):
                compiled[code] = compiler.compile(code)
        except Exception as error:      # carried to the caller's thread
            errors.append(error)
            waiting.clear()

    helpers = [threading.Thread(target=work, daemon=True) for _ in range(workers - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[0]
    return compiled


def _pop(waiting: list):
    try:
        return waiting.pop()
    except IndexError:
        return None


def _cores() -> int:
    from ..runtime.threads import get_num_threads
    return get_num_threads()


class _Compiler:
    """An LLVM context and target machine for one thread."""

    def __init__(self):
        llvm = _llvm()
        self.llvm = llvm
        self.machine = _target_machine(llvm)

    def compile(self, code: Code) -> bytes:
        with self.parsed(code) as module:
            return _emit_unlocked(self.machine, module)

    def assembly(self, code: Code) -> str:
        with self.parsed(code) as module:
            return self.machine.emit_assembly(module)

    def parsed(self, code: Code):
        """A module in a context of its own, so that no two threads meet in one."""
        context = self.llvm.create_context()
        try:
            module = self.llvm.parse_assembly(code.ir, context)
            if config.check.value:
                module.verify()
        except RuntimeError as error:
            raise RuntimeError(f"kernel {code.symbol}: LLVM rejects its IR: {error}") from None
        return module


@cache
def _llvm():
    import llvmlite.binding as llvm
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()      # inline assembly
    return llvm


def _target_machine(llvm):
    machine = host()
    return llvm.Target.from_triple(machine.triple).create_target_machine(
        cpu=machine.cpu, features=machine.features, opt=1, jit=True,
        reloc="pic" if _near() else "default", codemodel="small" if _near() else "jitdefault")


def _near() -> bool:
    """Whether constants lie beside the code: quicker to compile than 64-bit addresses."""
    return os.name == "posix"


def _emit_unlocked(machine, module) -> bytes:
    """`machine.emit_object(module)` without llvmlite's process-wide lock.

    That lock would make parallel compilation serial. LLVM itself needs no lock as long as
    the context and the target machine belong to one thread.
    """
    from llvmlite.binding import ffi
    emit = ffi.lib.LLVMPY_TargetMachineEmitToMemory
    emit = getattr(emit, "_cfn", emit)
    with ffi.OutputString() as message:
        buffer = emit(machine, module, 1, message)
        if not buffer:
            raise RuntimeError(f"LLVM cannot compile a kernel: {message}")
    try:
        return _bytes_of(ffi.lib, buffer)
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


def _bytes_of(lib, buffer) -> bytes:
    return string_at(lib.LLVMPY_GetBufferStart(buffer), lib.LLVMPY_GetBufferSize(buffer))


def _load(compiled: list[tuple[str, str, bytes]]) -> None:
    """Make objects (symbol, key, content) callable: one library for all whose symbols differ."""
    global loads
    for batch in _without_clashes(compiled):
        library = _link(batch)
        for symbol, key, _ in batch:
            _loaded[key] = library[symbol]
        loads += len(batch)


def _without_clashes(compiled: list[tuple[str, str, bytes]]) -> list[list[tuple[str, str, bytes]]]:
    batches: list[dict] = []
    for one in compiled:
        free = next((batch for batch in batches if one[0] not in batch), None)
        if free is None:
            batches.append(free := {})
        free[one[0]] = one
    return [list(batch.values()) for batch in batches]


def _link(batch: list[tuple[str, str, bytes]]):
    """A library of objects; the C library's functions are visible to it."""
    builder = _llvm().JITLibraryBuilder().add_current_process()
    for symbol, _, content in batch:
        builder.add_object_img(content).export_symbol(symbol)
    try:
        library = builder.link(_linker(), f"rushlight{next(_numbers)}")
    except RuntimeError as error:
        names = ", ".join(symbol for symbol, _, _ in batch)
        raise RuntimeError(f"cannot load {names}: {error}") from None
    return _immortal(library)


@cache
def _linker():
    llvm = _llvm()
    # JITLink lays the sections of an object side by side, as 32-bit distances need it.
    return _immortal(llvm.create_lljit_compiler(_target_machine(llvm), use_jit_link=_near()))


def _immortal(thing):
    """Keep `thing` beyond module teardown: workers may be inside its code until the very end."""
    pythonapi.Py_IncRef(py_object(thing))
    return thing


def warm_up() -> None:
    """Import LLVM and set up its target, so that the first compilation does not pay for it."""
    _target_machine(_llvm())
