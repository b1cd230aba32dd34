"""The long parity sweep: `python -m tests.sweep --shard 0/2 --seed 1`.

Cases come from the tables that PyTorch tests itself with. Each runs under PyTorch and under rushlight;
differences that `known.py` does not list make it fail.
"""
from __future__ import annotations

import argparse
import collections
import faulthandler
import json
import random
import re
import sys
import time
import warnings


def main(argv=None) -> int:
    faulthandler.enable()
    warnings.simplefilter("ignore")
    args = arguments(argv)
    tally = Tally(args)
    for name, cases in tables(args):
        tally.enter(name)
        for case, result in cases:
            tally.add(case, result)
    return tally.report()


def arguments(argv):
    p = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    p.add_argument("--shard", default="0/1", help="i/n: every n-th operation from the i-th")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--limit", type=int, default=10, help="samples of an operation and dtype; 0: all")
    p.add_argument("--few", type=int, default=3, help="samples for methods, in-place forms and out=")
    p.add_argument("--ops", default="", help="regular expression of names")
    p.add_argument("--tables", default="operations,errors")
    p.add_argument("--dtypes", default="")
    p.add_argument("--found", default="", help="file for the differences, a JSON object a line")
    return p.parse_args(argv)


def tables(args):
    """(name, cases) for everything in this shard."""
    from torch.testing._internal.common_methods_invocations import op_db

    from . import operations
    shard, of = map(int, args.shard.split("/"))
    wanted = args.tables.split(",")
    dtypes = args.dtypes.split(",") if args.dtypes else operations.DTYPES
    mine = [op for op in op_db if re.search(args.ops, op.full_name)]
    random.Random(args.seed).shuffle(mine)
    mine = mine[shard::of]
    for op in mine:
        if "operations" in wanted:
            yield op.full_name, operations.cases(op, dtypes, args.limit, args.few, args.seed)
        if "errors" in wanted:
            yield op.full_name, operations.errors(op, args.seed)


class Tally:
    """Counts cases, prints and writes what differs."""

    def __init__(self, args):
        self._names, self._counts, self._left = set(), collections.Counter(), collections.Counter()
        self._differ, self._kinds = collections.Counter(), collections.Counter()
        self._file = open(args.found, "w") if args.found else None
        self._began = time.monotonic()

    def enter(self, name):
        self._names.add(name)

    def add(self, case, result):
        self._counts["cases"] += 1
        if hasattr(result, "reason"):
            self._counts["skipped"] += 1
            self._left[result.reason.split(":")[0] + ":" + result.reason.split(":")[-1][:50]] += 1
            return
        self._counts["differing" if result else "passed"] += 1
        for d in result:
            self._kinds[d.kind] += 1
            self._differ[case.op] += 1
            line = dict(case._asdict(), kind=d.kind, difference=d.text)
            if self._file:
                print(json.dumps(line), file=self._file, flush=True)
            else:
                print(f"{case.op} {case.variant} {case.dtype} #{case.number}: {d.kind}: {d.text}   {case.text[:100]}")

    def report(self) -> int:
        print(f"{len(self._names)} names, {dict(self._counts)} in {time.monotonic() - self._began:.0f} s")
        print("left out:", dict(self._left.most_common(12)))
        print("differences:", dict(self._kinds.most_common()))
        return 1 if self._counts["differing"] else 0


if __name__ == "__main__":
    sys.exit(main())
