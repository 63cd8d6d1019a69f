"""BentoML's timers: none is set, so that none is left behind. In a process of its own, since it changes BentoML."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio
from bentoml._internal.server.base_app import BaseAppFactory
import service.app

class Factory(BaseAppFactory):
    name = "factory"
    async def mark_as_ready(self): pass

(around,) = [one for one in Factory(timeout=3600.0).middlewares]
seen = []

async def application(scope, receive, send):
    seen.append(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})

async def send(message): pass

async def main():
    loop = asyncio.get_running_loop()
    for number in range(5):
        await around.cls(application, **around.kwargs)({"type": "http", "path": str(number)}, None, send)
    print(len(seen), "answered,", len(loop._scheduled), "timers left")

asyncio.run(main())
"""


def test_a_request_leaves_no_timer() -> None:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout == "5 answered, 0 timers left\n"
