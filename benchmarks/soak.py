"""Does anything grow? Ten minutes of mixed load on a server that fails in every way.

Usage, in an environment that has `resilient`::

    python benchmarks/soak.py                  # 10 minutes, of which 3 are warm-up
    python benchmarks/soak.py --minutes 4 --warm-up 1

It ends with 0 if memory grew by less than 2 % after the warm-up, and no task, thread or descriptor
was left at the end; with 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

from soaking.load import Load
from soaking.watch import Sample, growth, sample

import resilient

TASKS, THREADS = 40, 4
ALLOWED = 0.02
_SERVER = Path(__file__).parent / "soaking" / "server.py"


def start_server(phase_seconds: float, seed: int) -> tuple[subprocess.Popen[str], int]:
    """The server's process and port."""
    command = [sys.executable, str(_SERVER), str(phase_seconds), str(seed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  (ours)
    assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
    return process, int(process.stdout.readline())


async def soak(port: int, seconds: float, seed: int) -> tuple[Load, list[Sample]]:
    """Load the server for so long; what was counted, and samples, one every 2 s."""
    load, samples, began = Load(port, seed), [], time.monotonic()
    threads = [threading.Thread(target=load.thread, args=(each,)) for each in range(THREADS)]
    for thread in threads:
        thread.start()
    tasks = asyncio.create_task(load.tasks(TASKS))
    while (passed := time.monotonic() - began) < seconds:
        await asyncio.sleep(2)
        samples.append(sample(passed))
        if len(samples) % 30 == 0:
            print(_line(samples[-1]), flush=True)
    load.stop()
    await tasks
    await asyncio.to_thread(lambda: [thread.join() for thread in threads])
    return load, samples


def _line(one: Sample) -> str:
    return (
        f"{one.at:5.0f} s  {one.memory / 2**20:6.1f} MiB  {one.objects} objects  "
        f"{one.tasks} tasks  {one.threads} threads  {one.descriptors} descriptors"
    )


def judge(samples: list[Sample], warm_up: float, before: Sample, after: Sample) -> list[str]:
    """What is wrong, in words; empty if nothing is."""
    wrong = []
    memory = growth(samples, "memory", warm_up)
    print(f"memory {memory.before / 2**20:.1f} -> {memory.after / 2**20:.1f} MiB", end="")
    print(f" ({memory.share:+.2%}, allowed {ALLOWED:.0%})")
    if memory.share >= ALLOWED:
        wrong.append(f"memory grew by {memory.share:.2%}")
    for what in ("tasks", "threads", "descriptors"):
        left = getattr(after, what) - getattr(before, what)
        print(f"{what} left: {left}")
        if left > 0:
            wrong.append(f"{left} {what} left")
    return wrong


def main() -> int:
    """Run, print, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--warm-up", type=float, default=3.0, help="minutes")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if asked.minutes < asked.warm_up + 2:
        parser.error("--minutes must be at least 2 more than --warm-up")
    print(f"Python {platform.python_version()}, {platform.system()}, seed {asked.seed}")
    process, port = start_server(5.0, asked.seed)
    try:
        before = sample(0.0)
        load, samples = asyncio.run(soak(port, asked.minutes * 60, asked.seed))
        calls = sum(load.ends.values())
        print(f"{calls} calls; mode {resilient.default_mode().current.name}")
        for end, times in load.ends.most_common():
            print(f"  {times:8d}  {end}")
        resilient.default_mode().close()
        resilient.shutdown()
        del load
    finally:
        process.kill()
        process.communicate()
    wrong = judge(samples, asked.warm_up * 60, before, sample(asked.minutes * 60))
    print("; ".join(wrong) or "nothing grew, and nothing was left")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
