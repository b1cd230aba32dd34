"""What this CPU has: its name and features as LLVM spells them, and the width of its vectors."""
from __future__ import annotations

import platform
from functools import cache
from typing import NamedTuple

X86 = ("x86_64", "amd64", "i386", "i686")


class Host(NamedTuple):
    """The machine that code is generated for."""
    cpu: str            # LLVM's name, "generic" where LLVM does not know it
    features: str       # LLVM's feature string, "+avx2,-xop,..."
    triple: str
    llvm: str
    arch: str
    vector_bits: int

    def has(self, feature: str) -> bool:
        return f"+{feature}" in self.features.split(",")

    @property
    def has_fma(self) -> bool:
        return not self.is_x86 or self.has("fma")

    @property
    def has_bf16_dot(self) -> bool:
        return self.has("avx512bf16")

    @property
    def is_x86(self) -> bool:
        return self.arch in X86


@cache
def host() -> Host:
    """The CPU of this process; asks LLVM the first time."""
    import llvmlite.binding as llvm
    arch = platform.machine().lower()
    features = _feature_string(llvm, arch)
    return Host(llvm.get_host_cpu_name() or "generic", features, llvm.get_process_triple(),
                ".".join(map(str, llvm.llvm_version_info)), arch, _vector_bits(arch, features))


def _feature_string(llvm, arch: str) -> str:
    try:
        known = llvm.get_host_cpu_features().flatten()
    except RuntimeError:        # LLVM has no detection for this CPU or system
        return ""
    if arch not in X86:
        return known
    return f"{known},-prefer-256-bit"       # else some Intel CPUs split 512-bit values needlessly


def _vector_bits(arch: str, features: str) -> int:
    if arch not in X86:
        return 128
    have = set(features.split(","))
    return 512 if "+avx512f" in have else 256 if "+avx" in have else 128


def cpu_model() -> str:
    """The CPU's name for people, as the system tells it."""
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()
