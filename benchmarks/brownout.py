"""Does the library help? A real server that goes slow, and real clients that depend on it.

Usage, in an environment that has `resilient`, tenacity and pybreaker::

    python benchmarks/brownout.py                          # a brownout, every arm, three loads
    python benchmarks/brownout.py --quick                  # 80 % load, one minute for each arm
    python benchmarks/brownout.py --trigger stall,keys     # other things that go wrong
    python benchmarks/brownout.py --arms none,protect --loads 80 --seeds 1,2,3
    python benchmarks/brownout.py --compare                # and the simulation beside it
    python benchmarks/brownout.py --write                  # results, pictures and README.md

Each run has a server process and a client process of its own, which talk over loopback sockets in
real time: more than a minute each, several at a time. A run ends early once it has recovered. At
scale 1 a run takes about a tenth of a core; what the machine adds is told as the lateness of
timers. It always ends with 0: a missed mark is a fact to report, not an error.
"""

from __future__ import annotations

import sys

from experiment.real import live
from experiment.script import Defaults, main
from experiment.simulated import simulate

if __name__ == "__main__":
    defaults = Defaults(
        name="brownout",
        world=live,
        seeds="1",
        jobs=4,
        steady=20.0,
        stop_early=True,
        twin=simulate,
    )
    sys.exit(main((__doc__ or "").partition("\n")[0], defaults))
