"""Does the library help? The experiment of `brownout.py` in a simulation, where time jumps.

Usage, in an environment that has `resilient`, tenacity and pybreaker::

    python benchmarks/simulation.py                          # a brownout, every arm, three loads
    python benchmarks/simulation.py --trigger stall,keys     # other things that go wrong
    python benchmarks/simulation.py --arms none,protect --loads 80 --seeds 1,2,3
    python benchmarks/simulation.py --clients 10000 --scale 10 --loads 80   # minutes
    python benchmarks/simulation.py --write                  # results, pictures and README.md

The library is the real one, on a clock that is moved by the simulation; the server is a model that
`brownout.py` runs too. It always ends with 0: a missed mark is a fact to report, not an error.
"""

from __future__ import annotations

import os
import sys

from experiment.script import Defaults, main
from experiment.simulated import simulate

if __name__ == "__main__":
    defaults = Defaults(
        name="simulation",
        world=simulate,
        seeds="1,2,3",
        jobs=os.cpu_count() or 1,
        steady=60.0,
        stop_early=False,
    )
    sys.exit(main((__doc__ or "").partition("\n")[0], defaults))
