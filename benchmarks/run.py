# SPDX-License-Identifier: Apache-2.0
"""`make bench`: every figure, each in a process of its own, then the plot. About fifteen minutes at full size."""

import subprocess
import sys

MODULES = ("benchmarks.proofs", "benchmarks.reads", "benchmarks.imports", "benchmarks.ledger", "benchmarks.plot")


def main() -> None:
    """Run them one after the other; stop at the first that fails."""
    for module in MODULES:
        print(f"== {module}", flush=True)
        subprocess.run([sys.executable, "-m", module], check=True)


if __name__ == "__main__":
    main()
