"""torch.utils.collect_env: what a report of a bug should say about the machine."""
from __future__ import annotations

import locale
import os
import platform
import sys
from typing import NamedTuple

from ..version import __version__, rushlight as own_version


class SystemEnv(NamedTuple):
    """The entries of the report."""
    torch_version: str
    rushlight_version: str
    is_debug_build: str
    cuda_compiled_version: str
    os: str
    libc_version: str
    python_version: str
    python_platform: str
    is_cuda_available: str
    cpu_info: str
    pip_packages: str


def get_env_info() -> SystemEnv:
    """The facts of this process and machine."""
    return SystemEnv(
        torch_version=__version__, rushlight_version=own_version, is_debug_build="False", cuda_compiled_version="None",
        os=platform.platform(), libc_version="-".join(platform.libc_ver()) or "N/A",
        python_version=f"{sys.version.replace(chr(10), ' ')} ({sys.maxsize.bit_length() + 1}-bit runtime)",
        python_platform=platform.platform(), is_cuda_available="False", cpu_info=get_cpu_info(), pip_packages=get_pip_packages())


def get_cpu_info() -> str:
    """The processor's name and how many there are."""
    from ..cpu.features import cpu_model
    return f"{cpu_model()}, {os.cpu_count()} logical processors"


def get_pip_packages() -> str:
    """Installed packages that compute, with their versions."""
    from importlib import metadata
    wanted = ("numpy", "llvmlite", "ml_dtypes", "rushlight", "torch", "torchvision", "opacus", "mypy", "pillow")
    found = sorted({(d.metadata["Name"] or "", d.version) for d in metadata.distributions()})
    return "\n".join(f"[pip3] {name}=={version}" for name, version in found if name.lower() in wanted)


def get_pretty_env_info() -> str:
    """The report as text."""
    return pretty_str(get_env_info())


def pretty_str(info: SystemEnv) -> str:
    return f"""PyTorch version: {info.torch_version}
rushlight version: {info.rushlight_version}
Is debug build: {info.is_debug_build}
CUDA used to build PyTorch: {info.cuda_compiled_version}

OS: {info.os}
Libc version: {info.libc_version}
Locale: {locale.getlocale()}

Python version: {info.python_version}
Python platform: {info.python_platform}
Is CUDA available: {info.is_cuda_available}

CPU:
{info.cpu_info}

Versions of relevant libraries:
{info.pip_packages}"""


def main() -> None:
    """Print the report."""
    print("Collecting environment information...")
    print(get_pretty_env_info())


if __name__ == "__main__":
    main()
