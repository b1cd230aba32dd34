"""The long parity sweep: `python -m tests.sweep --jobs 2 --seed 1`.

Cases come from the tables that PyTorch tests itself with. Each runs under PyTorch and under rushlight;
a difference that `known.py` does not list makes it fail.
"""
from __future__ import annotations

import argparse
import collections
import faulthandler
import json
import random
import re
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from .known import KNOWN

TABLES = "operations,errors,layers,optimisers,transforms"


def main(argv=None) -> int:
    args = arguments(argv)
    began = time.monotonic()
    counts = spread(args) if args.jobs > 1 else run(args)
    full = args.tables == TABLES and not args.ops and not args.dtypes and args.shard == "0/1"
    return report(counts, time.monotonic() - began, full)


def arguments(argv):
    p = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    p.add_argument("--jobs", type=int, default=1, help="processes, each with a shard")
    p.add_argument("--shard", default="0/1", help="i/n: every n-th name from the i-th")
    p.add_argument("--seed", type=int, default=1, help="of the choice of samples and of their values")
    p.add_argument("--limit", type=int, default=6, help="samples of an operation and dtype; 0: all")
    p.add_argument("--few", type=int, default=2, help="samples for methods, in-place forms and out=")
    p.add_argument("--ops", default="", help="regular expression of names")
    p.add_argument("--tables", default=TABLES)
    p.add_argument("--dtypes", default="")
    p.add_argument("--found", default="", help="file for the differences, a JSON object a line")
    p.add_argument("--counts", default="", help="file for the counts")
    return p.parse_args(argv)


def run(args) -> dict:
    """All cases of one shard, in this process."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    tally = Tally(args)
    for name, cases in shard(args):
        tally.names.add(name)
        for case, result in cases:
            tally.add(case, result)
    found = tally.counts()
    if args.counts:
        Path(args.counts).write_text(json.dumps(found))
    return found


def spread(args) -> dict:
    """The shards in processes of their own; their counts together."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / str(i) for i in range(args.jobs)]
        rest = ["--seed", args.seed, "--limit", args.limit, "--few", args.few, "--ops", args.ops, "--tables", args.tables,
                "--dtypes", args.dtypes]
        running = [subprocess.Popen([sys.executable, "-m", "tests.sweep", *map(str, rest), "--shard", f"{i}/{args.jobs}",
                                     "--counts", str(file)]) for i, file in enumerate(files)]
        for process in running:
            process.wait()
        total = collections.defaultdict(collections.Counter)
        for file in files:
            if not file.exists():
                total["count"]["shards that died"] += 1
                continue
            for key, counter in json.loads(file.read_text()).items():
                total[key].update(counter)
        return total


def shard(args):
    """(name, cases) for everything in this shard."""
    index, of = map(int, args.shard.split("/"))
    names = [(name, make) for name, make in everything(args) if re.search(args.ops, name)]
    random.Random(args.seed).shuffle(names)
    return ((name, make()) for name, make in names[index::of])


def everything(args):
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.common_modules import module_db
    from torch.testing._internal.common_optimizers import optim_db

    from . import layers, operations, optimisers, transforms, wrong
    tables = args.tables.split(",")
    dtypes = args.dtypes.split(",") if args.dtypes else operations.DTYPES
    for op in op_db:
        if "operations" in tables:
            yield op.full_name, lambda op=op: operations.cases(op, dtypes, args.limit, args.few, args.seed)
        if "errors" in tables:
            yield op.full_name, lambda op=op: operations.errors(op, args.seed)
        if "wrong" in tables:
            yield op.full_name, lambda op=op: wrong.cases(op, args.seed)
        if "transforms" in tables and transforms.is_listed(op):
            yield op.full_name, lambda op=op: transforms.cases(op, args.few, args.seed)
    for info in module_db if "layers" in tables else ():
        yield layers.name_of(info), lambda info=info: layers.cases(info, args.limit, args.seed)
        yield layers.name_of(info), lambda info=info: layers.errors(info)
    for info in optim_db if "optimisers" in tables else ():
        yield optimisers.name_of(info), lambda info=info: optimisers.cases(info)
        yield optimisers.name_of(info), lambda info=info: optimisers.errors(info)


class Tally:
    """Counts cases; prints what differs, or writes it to a file."""

    def __init__(self, args):
        self.names, self._count, self._left = set(), collections.Counter(), collections.Counter()
        self._kinds, self._known = collections.Counter(), collections.Counter()
        self._file = open(args.found, "w") if args.found else sys.stdout

    def add(self, case, result):
        self._count["cases"] += 1
        if hasattr(result, "reason"):
            self._count["left out"] += 1
            self._left[result.reason[:60]] += 1
            return
        strange = [d for d in result if not self._is_known(case, d)]
        self._count["differing" if strange else "known" if result else "passed"] += 1
        for d in strange:
            self._kinds[d.kind] += 1
            print(json.dumps(dict(case._asdict(), kind=d.kind, difference=d.text)), file=self._file, flush=True)

    def _is_known(self, case, difference):
        for i, entry in enumerate(KNOWN):
            if entry.covers(case, difference):
                self._known[str(i)] += 1
                return True
        return False

    def counts(self):
        return {"count": {"names": len(self.names), **self._count}, "left": self._left, "kinds": self._kinds,
                "known": self._known}


def report(found, seconds, full) -> int:
    """Print the counts; 1 if something differs, or if a known difference is none any more."""
    count = found["count"]
    print(f"{dict(count)} in {seconds:.0f} s")
    for reason, n in sorted(found["left"].items(), key=lambda kv: -kv[1]):
        print(f"  left out {n}: {reason}")
    for i, n in found["known"].items():
        print(f"  known {n}: {KNOWN[int(i)].ops[:40]}: {KNOWN[int(i)].reason}")
    if found["kinds"]:
        print(f"  differences: {dict(found['kinds'])}")
    stale = [k for i, k in enumerate(KNOWN) if str(i) not in found["known"]] if full else []
    for entry in stale:
        print(f"  known, but no difference any more: {entry}")
    return 1 if count.get("differing") or count.get("shards that died") or stale else 0


if __name__ == "__main__":
    sys.exit(main())
