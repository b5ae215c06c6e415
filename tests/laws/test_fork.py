"""A forked child begins with fresh locks, no permits, no waiters, and a dispatcher on need."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PREAMBLE = """
import asyncio, os, signal, sys, threading
import resilient
from contextlib import nullcontext
from resilient import CircuitState, breaker
from resilient.testing import ManualClock
from tests.laws.gates import KINDS
from tests.laws.harness import block

def in_child(check):
    "Fork; whether `check` says nothing in the child. A child that is stuck is ended."
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        try:
            check()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child ended with {status}"

def trial(**settings):
    clock = ManualClock()
    gate = breaker("b", reset_timeout=10, clock=clock, **settings)
    gate.open()
    clock.advance(3600)
    return gate

def answer():
    return 42
"""

SCENARIOS = {
    "trial places of the parent are free": """
        gate = trial()
        held = gate.permit()
        held.__enter__()
        def check():
            assert gate.state is CircuitState.HALF_OPEN
            assert gate.call(answer) == 42
            assert gate.state is CircuitState.CLOSED
        in_child(check)
        assert gate.state is CircuitState.HALF_OPEN
        try:
            gate.call(answer)
        except resilient.CircuitOpenError:
            pass
        else:
            raise AssertionError("the parent lost its own place")
        held.__exit__(None, None, None)
        assert gate.state is CircuitState.CLOSED
    """,
    "trial judgements of the parent are not the child's": """
        gate = trial(half_open_calls=2)
        gate.call(answer)
        def check():
            gate.call(answer)
            gate.call(answer)
            assert gate.state is CircuitState.CLOSED
        in_child(check)
    """,
    "a lock that another thread holds": """
        class Stuck(ManualClock):
            "Stops one thread inside of whatever it is doing."
            def monotonic(self):
                if threading.current_thread().name == "stuck":
                    inside.set()
                    go_on.wait()
                return super().monotonic()
        inside, go_on = threading.Event(), threading.Event()
        gate = breaker("b", failure_threshold=1, clock=Stuck())
        keyed = breaker("k", key=lambda x: x, clock=gate.clock)
        keyed.for_key(1)
        thread = threading.Thread(target=lambda: gate.metrics, name="stuck", daemon=True)
        thread.start()
        inside.wait()
        def check():
            try:
                gate.call(lambda: 1 / 0)
            except ZeroDivisionError:
                pass
            assert gate.state is CircuitState.OPEN
            assert keyed(lambda x: x)(1) == 1
            assert keyed.for_key(1).call(answer) == 42
            resilient.set_active(False)
            breaker("new").call(answer)
        in_child(check)
        go_on.set()
        thread.join()
    """,
    "the dispatcher starts on need": """
        seen, told = [], threading.Event()
        def listen(event):
            seen.append(event.name)
            told.set()
        resilient.subscribe(resilient.CircuitOpened, listen)
        breaker("parent").open()
        assert told.wait(20)
        def check():
            assert not any(t.name == "resilient-dispatcher" for t in threading.enumerate())
            told.clear()
            breaker("child").open()
            assert told.wait(20)
            assert seen[-1] == "child"
            assert resilient.shutdown(timeout=20)
        in_child(check)
        assert "child" not in seen
    """,
    "a listener of the parent that is busy is not waited for": """
        inside, go_on, told = threading.Event(), threading.Event(), threading.Event()
        def busy(event):
            inside.set()
            go_on.wait()
        def listen(event):
            told.set() if event.name == "child" else None
        resilient.subscribe(resilient.CircuitOpened, busy)
        resilient.subscribe(resilient.CircuitOpened, listen)
        breaker("parent").open()
        inside.wait()
        def check():
            go_on.set()
            breaker("child").open()
            assert told.wait(20)
        in_child(check)
        go_on.set()
    """,
    "leaving a block that the parent entered": """
        gate = breaker("b", failure_threshold=None, clock=ManualClock())
        keyed = breaker("k", failure_threshold=None, key=lambda x: x, clock=ManualClock())
        def block(fail):
            with gate, keyed.for_key(1):
                pid = os.fork()
                if pid == 0:
                    signal.alarm(20)
                if fail and pid == 0:
                    raise ValueError
            return pid
        for fail in (False, True):
            try:
                pid = block(fail)
            except ValueError:
                pid = 0
            if pid == 0:
                clean = gate.metrics.calls == keyed.metrics.calls == 0 + fail
                with gate:
                    pass
                os._exit(0 if clean and gate.metrics.successes == 1 + fail else 1)
            _, status = os.waitpid(pid, 0)
            assert status == 0, f"the child ended with {status}"
            assert gate.metrics.calls == keyed.metrics.calls == 1 + fail
    """,
    "a permit that the parent entered": """
        gate = breaker("b", failure_threshold=1, clock=ManualClock())
        permit = gate.permit()
        permit.__enter__()
        def check():
            permit.__exit__(ValueError, ValueError(), None)
            assert gate.state is CircuitState.CLOSED
            assert gate.metrics.calls == 0
        in_child(check)
        permit.__exit__(None, None, None)
        assert gate.metrics.calls == 1
    """,
    "what the parent learned stays": """
        gate = breaker("b", failure_threshold=None, clock=ManualClock())
        gate.call(answer)
        shut = breaker("s", clock=ManualClock())
        shut.open()
        def check():
            assert gate.metrics.calls == 1
            assert gate.call(answer) == 42 and gate.metrics.calls == 2
            assert shut.state is CircuitState.OPEN
        in_child(check)
        assert gate.metrics.calls == 1
    """,
    "decorated functions go on, sync and async": """
        gate = breaker("b", clock=ManualClock())
        plain = gate(answer)
        @gate
        async def suspending():
            await asyncio.sleep(0)
            return 42
        assert plain() == asyncio.run(suspending()) == 42
        def check():
            assert plain() == asyncio.run(suspending()) == 42
            assert gate.metrics.calls == 4
        in_child(check)
        assert gate.metrics.calls == 2
    """,
    "limits of time and retries go on": """
        @resilient.timeout(5, thread=True)
        def slow():
            return 42
        @resilient.retry(on=ValueError, wait=0)
        def flaky():
            tries.append(1)
            if len(tries) < 3:
                raise ValueError
            return 42
        tries = []
        assert slow() == 42
        def check():
            assert slow() == flaky() == 42
            try:
                with resilient.deadline(9):
                    assert resilient.remaining() <= 9
            finally:
                assert resilient.remaining() is None
        in_child(check)
    """,
    "every gate begins with nothing out": """
        for kind, made in KINDS.items():
            for narrow in (False, True):
                gate = made.open(**(made.narrow if narrow else {}))
                shared = block(gate)
                plain = gate(answer)
                @gate
                async def suspending():
                    await asyncio.sleep(0)
                    return 42
                def inside():
                    with shared.permit():
                        def check():
                            assert getattr(gate, "in_flight", 0) == 0, kind
                            assert getattr(gate, "queued", 0) == 0, kind
                            if "rate" not in kind:  # what was used up is used up
                                assert plain() == asyncio.run(suspending()) == 42, kind
                                with shared:
                                    pass
                            assert getattr(gate, "in_flight", 0) == 0, kind
                        in_child(check)
                        if hasattr(gate, "in_flight"):
                            assert gate.in_flight == 1, kind
                inside()
                assert getattr(gate, "in_flight", 0) == 0, kind
                if "rate" not in kind:
                    assert plain() == 42
    """,
    "calls and blocks of gates that the parent was in": """
        for kind, made in KINDS.items():
            gate = made.open(**(made.narrow if hasattr(made.open(), "in_flight") else {}))
            shared = block(gate)
            @gate
            def forks():
                pid = os.fork()
                if pid == 0:
                    signal.alarm(20)
                return pid
            def in_block():
                with shared:
                    return forks.__wrapped__()
            for way in (forks, in_block, breaker("around")(forks)):
                pid = way()
                if pid == 0:
                    clean = getattr(gate, "in_flight", 0) == 0
                    ended = "rate" in kind or gate.call(answer) == gate.call(answer) == 42
                    free = getattr(gate, "in_flight", 0) == 0
                    os._exit(0 if clean and ended and free else 1)
                _, status = os.waitpid(pid, 0)
                assert status == 0, f"{kind}: the child ended with {status}"
                assert getattr(gate, "in_flight", 0) == 0, kind
    """,
    "those who wait are the parent's": """
        from resilient import bulkhead, deadline
        from resilient.policies.adaptive import adaptive_limit
        for gate in (
            bulkhead("b", limit=1, queue=2),
            adaptive_limit("a", initial=1, max=1, queue=2),
        ):
            plain, ended = gate(answer), []
            def patient():
                ended.append(plain())
            with gate.permit():
                waiters = [threading.Thread(target=patient) for _ in range(2)]
                for waiter in waiters:
                    waiter.start()
                while gate.queued < 2:
                    threading.Event().wait(0.001)
                def check():
                    assert (gate.in_flight, gate.queued) == (0, 0)
                    assert plain() == 42
                    with gate.permit(), deadline(0.01):
                        try:
                            plain()
                        except resilient.Rejected:
                            pass
                        else:
                            raise AssertionError("a slot too many")
                    assert plain() == 42 and not ended
                in_child(check)
                assert gate.queued == 2
            for waiter in waiters:
                waiter.join()
            assert ended == [42, 42]
            assert (gate.in_flight, gate.queued, gate.waiting) == (0, 0, False)
    """,
    "locks of gates that another thread holds": """
        for kind, made in KINDS.items():
            gate = made.open(**made.narrow)
            room = getattr(gate, "_room", None)
            locks = [getattr(each, name) for each in (gate, room) if each is not None
                     for name in ("_lock", "_counting", "lock") if hasattr(each, name)]
            inside, go_on = threading.Event(), threading.Event()
            def stuck():
                for lock in locks:
                    lock.acquire()
                inside.set()
                go_on.wait()
                for lock in locks:
                    lock.release()
            thread = threading.Thread(target=stuck, daemon=True)
            thread.start()
            inside.wait()
            def check():
                if kind == "mode gate":
                    gate.mode.current = resilient.Mode.EMERGENCY
                assert block(gate).call(answer) == 42
                with block(gate).permit() if hasattr(gate, "in_flight") else nullcontext():
                    pass
                resilient.set_active(False)
                assert gate.call(answer) == 42
            in_child(check)
            go_on.set()
            thread.join()
    """,
    "a fork of a fork": """
        gate = trial()
        with gate.permit():
            def check():
                held = gate.permit()
                held.__enter__()
                in_child(lambda: gate.call(answer))
                held.__exit__(None, None, None)
                assert gate.state is CircuitState.CLOSED
            in_child(check)
    """,
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_after_a_fork(scenario: str) -> None:
    """The child works, holds nothing of the parent's, and the parent does not notice."""
    script = PREAMBLE + textwrap.dedent(SCENARIOS[scenario])
    ran = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
