"""The command `rushlight`."""
from __future__ import annotations

import sys

from rushlight.cli.run import UsageError, run
from rushlight.version import __version__ as torch_version
from rushlight.version import rushlight as version

HELP = f"""\
usage: rushlight COMMAND ...

  run SCRIPT [ARGS...]      run a PyTorch program: `import torch` is rushlight in it
  run -m MODULE [ARGS...]   the same for a module, as `python -m MODULE`
  report RUN_FOLDER...      event files as one page: curves, images, histograms, texts; opens offline
  torchrun [OPTIONS] SCRIPT [ARGS...]
                            the same in several processes; `rushlight torchrun --help`
  info                      versions, CPU, threads, backend, cache
  cache [--clear]           where compiled kernels are kept; --clear deletes them
  --version, --help

rushlight {version}, the PyTorch {torch_version.partition('+')[0]} API in pure Python
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status; 2 where it makes no sense, as Python's."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return command(arguments) or 0
    except UsageError as error:
        print(f"rushlight: {error}", file=sys.stderr)
        return 2


def command(arguments):
    word, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if word not in COMMANDS:
        raise UsageError(f"unknown {'option' if word.startswith('-') else 'command'} {word}; "
                         "`rushlight --help` lists what there is")
    return COMMANDS[word](rest)


def show_help(rest):
    print(HELP, end="")


def show_version(rest):
    print(f"rushlight {version} (torch {torch_version})")


def report(rest):
    from rushlight.cli.report import report
    return report(rest)


def torchrun(rest):
    return run(["-m", "torch.distributed.run", *rest])


def info(rest):
    from rushlight import cli_info
    if rest:
        raise UsageError(f"info: unknown argument {rest[0]}")
    return cli_info.info()


def cache(rest):
    from rushlight import cli_info
    unknown = [word for word in rest if word != "--clear"]
    if unknown:
        raise UsageError(f"cache: unknown argument {unknown[0]}")
    return cli_info.cache(rest)


COMMANDS = {
    "run": run, "torchrun": torchrun, "report": report, "info": info, "cache": cache,
    "--version": show_version, "-V": show_version, "--help": show_help, "-h": show_help,
}

if __name__ == "__main__":
    sys.exit(main())
