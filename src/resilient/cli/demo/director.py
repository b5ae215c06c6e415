"""Sets the stage, plays the faults at their cues, and notes what the processes say."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from resilient.cli.demo import prices, wire
from resilient.cli.demo.arm import ARMS
from resilient.cli.demo.faults import SCRIPT_SECONDS, Cue, FaultKind, cues, script
from resilient.cli.demo.loader import Record
from resilient.cli.demo.processes import Child, Family
from resilient.cli.demo.tally import Change, Note, Tally
from resilient.cli.demo.views import View

__all__ = ["Director"]

SETTLE = 0.5
"""Seconds after the last request in which the services still say how they stand."""

_BEHAVIOUR = {FaultKind.SLOW: "slow", FaultKind.ERRORS: "errors"}

Message = dict[str, Any]


class Director:
    """Runs one performance. `directory` takes the databases."""

    def __init__(self, tally: Tally, family: Family, directory: Path) -> None:
        self.tally = tally
        self._family = family
        self._databases = {arm: directory / f"{arm}.sqlite" for arm in ARMS}
        self._children: dict[str, Child] = {}
        # Holds the upstream's port, so that nothing else takes it while the upstream is down.
        self._held = wire.listen(shared=True)
        self._port = str(wire.port_of(self._held))
        self._began: float | None = None
        self._done = asyncio.Event()
        self._locked = asyncio.Event()

    async def perform(self, view: View) -> None:
        """Start everything, play the load and the faults, and keep `view` up to date."""
        with self._held:
            await self._set_the_stage()
            self._children["loader"].tell(
                ports={arm: self._children[arm].port for arm in ARMS},
                rate=self.tally.rate,
                seconds=self.tally.seconds,
                seed=self.tally.seed,
            )
            self._began = asyncio.get_running_loop().time()
            async with asyncio.TaskGroup() as playing:
                playing.create_task(self._play_faults())
                showing = playing.create_task(self._show(view))
                await self._done.wait()
                showing.cancel()
            await asyncio.sleep(SETTLE)

    def now(self) -> float:
        """Seconds since the load began; 0 before."""
        if self._began is None:
            return 0.0
        return asyncio.get_running_loop().time() - self._began

    async def _set_the_stage(self) -> None:
        for database in self._databases.values():
            prices.create(database)
        await self._start_upstream()
        starts = [self._start_service(arm) for arm in ARMS]
        await asyncio.gather(*starts, self._start("restorer", *map(str, self._databases.values())))
        await self._start("loader")

    async def _start(self, name: str, *arguments: str) -> None:
        self._children[name] = await self._family.start(
            name, *arguments, heard=lambda message: self._heard(name, message)
        )

    async def _start_upstream(self) -> None:
        await self._start("upstream", self._port)

    async def _start_service(self, arm: str) -> None:
        pace = self.tally.seconds / SCRIPT_SECONDS
        await self._start(arm, self._port, str(self._databases[arm]), str(pace))

    async def _show(self, view: View) -> None:
        while True:
            view.update(self.tally, self.now())
            await asyncio.sleep(view.every)

    async def _play_faults(self) -> None:
        for cue in cues(script(self.tally.seconds)):
            await asyncio.sleep(max(0.0, cue.at - self.now()))
            await self._play(cue)
            self.tally.fault(cue.fault, self.now(), begins=cue.begins)

    async def _play(self, cue: Cue) -> None:
        kind = cue.fault.kind
        if kind is FaultKind.RESTORE:
            self._locked.clear()
            self._children["restorer"].tell(lock=cue.begins)
            await self._locked.wait()
        elif kind is not FaultKind.KILL:
            behaviour = _BEHAVIOUR[kind] if cue.begins else "normal"
            self._children["upstream"].tell(behaviour=behaviour)
        elif cue.begins:
            self._children["upstream"].kill()
            await self._children["upstream"].process.wait()
        else:
            await self._start_upstream()

    def _heard(self, name: str, message: Message) -> None:
        """Note what the process `name` said."""
        if "records" in message:
            self.tally.record([Record(*record) for record in message["records"]])
        elif "samples" in message:
            self.tally.samples = message["samples"]
        elif "done" in message:
            self._done.set()
        elif "locked" in message:
            self._locked.set()
        else:
            self._heard_service(name, message)

    def _heard_service(self, arm: str, message: Message) -> None:
        if "change" in message:
            self.tally.changes.append(Change(at=self.now(), **message["change"]))
        elif "circuit" in message:
            self.tally.circuit(message["circuit"], message["state"], self.now())
        elif "probe" in message:
            self.tally.probe(message["probe"], message["state"], self.now(), message["detail"])
        elif "note" in message:
            note = Note(self.now(), message["note"], message["words"], message["bad"])
            self.tally.notes.append(note)
        else:
            self._stands(arm, message["status"])

    def _stands(self, arm: str, status: Message) -> None:
        self.tally.arms[arm].attempts = status["attempts"]
        if "score" in status:
            for incident in status["incidents"]:
                # The service tells the time of day, the tally the seconds of the load.
                incident["at"] += self.now() - time.time()
            self.tally.stand(status, self.now())
