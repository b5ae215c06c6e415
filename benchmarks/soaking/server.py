"""A server in a process of its own that misbehaves by the clock, in the same order every time.

One line in, one line out. Every phase lasts as long as it is told, then the next begins.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time

__all__ = ["PHASES"]

PHASES = ("well", "slow", "well", "errors", "well", "hangs", "well", "resets")


class Server:
    """Answers, or does what the present phase says."""

    def __init__(self, phase_seconds: float, seed: int) -> None:
        self._began = time.monotonic()
        self._phase_seconds = phase_seconds
        self._chance = random.Random(seed)  # noqa: S311  (no secret)

    @property
    def phase(self) -> str:
        """What is wrong now."""
        passed = time.monotonic() - self._began
        return PHASES[int(passed / self._phase_seconds) % len(PHASES)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        try:
            while line := await reader.readline():
                answer = await self._answer(line.decode().strip())
                if answer is None:
                    break
                writer.write(answer.encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer(self, key: str) -> str | None:
        phase, chance = self.phase, self._chance.random()
        await asyncio.sleep(0.002)
        if phase == "slow":
            await asyncio.sleep(0.05 * chance)
        elif phase == "hangs" and chance < 0.5:  # noqa: PLR2004  (every other one)
            await asyncio.sleep(3)
        elif phase == "resets" and chance < 0.5:  # noqa: PLR2004  (every other one)
            return None
        failed = phase == "errors" and chance < 0.6  # noqa: PLR2004  (most of them)
        return f"error {key}" if failed else f"ok {key}"


async def main(phase_seconds: float, seed: int) -> None:
    """Serve until the process is ended; the first line of the output is the port."""
    served = Server(phase_seconds, seed)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), int(sys.argv[2])))
