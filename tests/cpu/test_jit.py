"""Machine code is compiled once, kept on disk, and a bad disk is never an error."""
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from rushlight import config
from rushlight.compiler import cache as objects
from rushlight.compiler.kernel import Code
from rushlight.cpu import features, jit

SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
serial = iter(range(10**9))


def add(number: int, symbol: str | None = None) -> Code:
    """A function x -> x + number under a name that no test used before."""
    symbol = symbol or f"add_{os.getpid()}_{next(serial)}"
    return Code(symbol, f"define i64 @{symbol}(i64 %x) {{\n  %y = add i64 %x, {number}\n"
                        f"  ret i64 %y\n}}\n")


def call(address: int, x: int) -> int:
    return SIGNATURE(address)(x)


def forget():
    """What a new process knows: nothing in memory."""
    jit._addresses.clear()
    jit._loaded.clear()


@pytest.fixture(autouse=True)
def folder(tmp_path):
    with config.override(cache=tmp_path / "objects"):
        yield tmp_path / "objects"


def the_file(folder):
    (path,) = folder.glob("*.o")
    return path


def test_the_same_code_is_compiled_once():
    code, before = add(1), jit.compilations
    assert call(jit.address(code), 41) == 42
    assert jit.address(code) == jit.addresses([code, code])[1]
    assert jit.compilations == before + 1


def test_many_codes_are_compiled_together():
    codes = [add(n) for n in range(20)]
    before = jit.compilations, jit.loads
    assert [call(a, 100) for a in jit.addresses(codes)] == [100 + n for n in range(20)]
    assert (jit.compilations, jit.loads) == (before[0] + 20, before[1] + 20)


def test_equal_symbols_of_different_code_do_not_meet():
    first, second = jit.addresses([add(1, "same"), add(2, "same")])
    assert (call(first, 0), call(second, 0)) == (1, 2)


def test_a_second_process_loads_from_disk():
    code = add(3)
    jit.address(code)
    before = jit.compilations, jit.loads
    forget()
    assert call(jit.address(code), 0) == 3
    assert (jit.compilations, jit.loads) == (before[0], before[1] + 1)


def test_constants_and_library_calls_link():
    code = Code("powers", """
declare double @pow(double, double)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
define double @powers(double %x, ptr %p, i64 %n) {
  call void @llvm.memset.p0.i64(ptr %p, i8 7, i64 %n, i1 0)
  %y = call double @pow(double %x, double 3.25)
  %z = fmul double %y, 1.125
  ret double %z
}""")
    area = (ctypes.c_char * 100)()
    function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_void_p, ctypes.c_int64)(
        jit.address(code))
    assert function(2.0, ctypes.addressof(area), 100) == 2.0**3.25 * 1.125
    assert bytes(area) == b"\7" * 100


def test_multiplication_and_addition_are_not_contracted():
    code = Code("mad", """
define float @mad(float %x, float %y, float %z) {
  %p = fmul float %x, %y
  %s = fadd float %p, %z
  ret float %s
}""")
    assert "fma" not in jit.assembly(code).lower().replace("@mad", "")


@pytest.mark.parametrize("damage", [
    lambda whole: b"", lambda whole: whole[:100], lambda whole: whole[:-1],
    lambda whole: whole + b"x", lambda whole: b"foreign file\n" * 100,
    lambda whole: whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:],
    lambda whole: objects._header("0" * 40, whole) + whole,
])
def test_a_damaged_object_is_rebuilt(folder, damage):
    code = add(4)
    jit.address(code)
    path = the_file(folder)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    before = jit.compilations
    forget()
    assert call(jit.address(code), 0) == 4
    assert jit.compilations == before + 1
    assert path.read_bytes() == whole


def test_an_object_under_the_name_of_another_is_rebuilt(folder):
    first, second = add(5), add(6)
    jit.addresses([first, second])
    paths = [folder / (jit.key_of(code) + ".o") for code in (first, second)]
    paths[1].write_bytes(paths[0].read_bytes())
    forget()
    assert call(jit.address(second), 0) == 6


def test_a_directory_in_place_of_an_object_does_no_harm(folder):
    code = add(7)
    (folder / (jit.key_of(code) + ".o")).mkdir(parents=True, mode=0o700)
    assert call(jit.address(code), 0) == 7


def test_no_folder_no_cache(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for place in ("off", tmp_path / "file", tmp_path / "file" / "below", "/proc/nowhere"):
        with config.override(cache=place):
            assert call(jit.address(add(8)), 0) == 8
            assert objects.size() == 0


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_folder_that_anybody_can_write_is_not_trusted(folder):
    folder.mkdir()
    folder.chmod(0o777)
    jit.address(add(9))
    assert not list(folder.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_is_still_read(folder):
    code = add(9)
    jit.address(code)
    folder.chmod(0o500)
    before = jit.compilations
    forget()
    assert call(jit.address(code), 0) == 9
    assert jit.compilations == before
    assert call(jit.address(add(10)), 0) == 10
    folder.chmod(0o700)


def test_a_full_disk_means_no_cache(monkeypatch, folder):
    def full(*_):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(objects.os, "replace", full)
    assert call(jit.address(add(11)), 0) == 11
    assert not list(folder.iterdir())


def test_the_oldest_objects_leave_first(folder):
    with config.override(cache_size=1):
        for number in range(8):
            assert objects.store(f"{number:040d}", bytes(200_000))
            path = folder / f"{number:040d}.o"
            if path.exists():
                os.utime(path, (number, number))
        assert objects.size() <= 1 << 20
        assert objects.load(f"{0:040d}") is None
        assert objects.load(f"{7:040d}") == bytes(200_000)


def test_the_number_of_objects_is_bounded(folder):
    with config.override(cache_size=1):
        for number in range(400):
            objects.store(objects.make_key(str(number)), b"small")
        assert 256 * 3 // 4 <= objects.count() <= 256 + 256 // 8


def test_the_folder_is_counted_seldom(folder, monkeypatch):
    counted = []
    monkeypatch.setattr(objects, "_bound", counted.append)
    with config.override(cache_size=4):
        for number in range(1024):          # as many as fill it
            objects.store(objects.make_key(str(number)), b"small")
    assert objects.COUNTS // 2 <= len(counted) <= 2 * objects.COUNTS


def test_clear_removes_objects_only(folder):
    jit.address(add(12))
    (folder / "notes.txt").write_text("mine")
    assert objects.count() == 1
    assert objects.clear() == 0
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


WRITER = """
import sys
from rushlight import config
from rushlight.compiler import cache
config.cache.set(sys.argv[1])
cache.store(f"{0:040d}", bytes(300_000))
print("ready", flush=True)
while True:
    for number in range(50):
        cache.store(f"{number:040d}", bytes([number]) * 300_000)
"""


def test_a_writer_killed_in_the_middle_leaves_a_usable_cache(folder):
    for delay in (0.01, 0.03, 0.07):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)],
                                  stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    found = [objects.load(f"{number:040d}") for number in range(50)]
    assert any(found)
    assert all(f is None or f == bytes([n]) * 300_000 for n, f in enumerate(found))
    assert call(jit.address(add(13)), 0) == 13


def test_what_a_killed_writer_left_is_swept(folder):
    folder.mkdir()
    left = folder / "key.o.1.1.tmp"
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    objects.store("0" * 40, b"whole")       # a key that has the folder counted
    assert not left.exists()


def test_invalid_ir_is_one_clear_error():
    bad = Code("bad", "define void @bad() { nonsense }")
    with pytest.raises(RuntimeError, match="kernel bad: LLVM rejects its IR"):
        jit.addresses([add(15), bad, add(16)])
    assert call(jit.address(add(17)), 0) == 17


def test_a_symbol_that_is_missing_is_named():
    with pytest.raises(RuntimeError, match="absent"):
        jit.address(Code("absent", add(1).ir))


def test_threads_that_want_the_same_code_compile_it_once():
    code, before, seen = add(18), jit.compilations, []
    threads = [threading.Thread(target=lambda: seen.append(jit.address(code))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1 and len(seen) == 8
    assert jit.compilations == before + 1


def test_features_are_plausible():
    host = features.host()
    assert host.vector_bits in (128, 256, 512)
    assert features.host() is host
    assert features.cpu_model()


def test_a_cpu_that_llvm_does_not_know_is_generic(monkeypatch):
    import llvmlite.binding as llvm

    def unknown():
        raise RuntimeError("no detection")
    monkeypatch.setattr(llvm, "get_host_cpu_features", unknown)
    monkeypatch.setattr(features.platform, "machine", lambda: "riscv64")
    host = features.host.__wrapped__()
    assert (host.features, host.vector_bits, host.has_fma) == ("", 128, True)


def test_importing_the_jit_does_not_import_llvm():
    script = ("import sys; from rushlight.cpu import jit; from rushlight.runtime import run; "
              "sys.exit('llvmlite' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", script], timeout=120).returncode == 0


def test_debug_shows_ir_and_assembly(capsys):
    code = add(19)
    with config.override(debug=6):
        jit.address(code)
    shown = capsys.readouterr().err
    assert "kernels compiled" in shown
    assert code.ir in shown and ".globl" in shown
