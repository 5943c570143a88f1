# SPDX-License-Identifier: Apache-2.0
"""A real node in a process of its own, and pre-signed transactions for it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from vervain.ledger.machine.module import Message
from vervain.ledger.modules.consortium.messages import Role
from vervain.node.directory import DataDirectory
from vervain.node.founding import SIGNING_KEY_FILE, found_alone
from vervain.sealing.keys import SigningKey, read_signing_key
from vervain.sealing.signing import build_transaction

START_SECONDS = 60.0
EXPIRY_SECONDS = 890


class RunningNode:
    """`vervain node` over a data directory, founded when it is new."""

    def __init__(self, data: Path) -> None:
        self.data = data
        if not DataDirectory(data).exists:
            found_alone(
                data,
                chain="bench",
                time=int(time.time()) - 1,
                node_name="bench",
                roles=[Role.HOSPITAL],
                register_entry="GLN 0614141000005",
            )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        (member,) = DataDirectory(data).served_members()
        self.organisation = member
        self.key: SigningKey = read_signing_key(DataDirectory(data).member(member) / "keys" / SIGNING_KEY_FILE)
        self.start_seconds = 0.0
        self.process = self._started()
        self.chain = str(httpx.get(self.url + "/v1/head").json()["chain"])

    def _started(self) -> "subprocess.Popen[bytes]":
        started = time.perf_counter()
        command = [sys.executable, "-m", "vervain.cli", "node", "--data", str(self.data), "--port", str(self.port)]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        while time.perf_counter() - started < START_SECONDS:
            try:
                if httpx.get(self.url + "/readyz", timeout=5).status_code == httpx.codes.OK:
                    self.start_seconds = time.perf_counter() - started
                    return process
            except httpx.HTTPError:
                time.sleep(0.02)
            if process.poll() is not None:
                raise RuntimeError("the node ended while starting")
        process.kill()
        raise TimeoutError("the node did not become ready")

    def kill(self) -> None:
        """End it as a power cut would end the process."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self) -> float:
        """Start it again; return the seconds until it was ready."""
        self.process = self._started()
        return self.start_seconds

    def stop(self) -> None:
        """End it as an operator would."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def rss_mb(self) -> float:
        """Return its resident memory, its verifying processes' included."""
        asked = subprocess.run(
            ["ps", "-o", "rss=", "--ppid", str(self.process.pid), "-p", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=True,
        )
        return sum(map(int, asked.stdout.split())) / 1024

    def sign(self, messages: Sequence[Message]) -> bytes:
        """Return a signed transaction of the organisation."""
        return build_transaction(
            messages,
            chain=self.chain,
            actor=self.organisation,
            key=self.key,
            expires_at=int(time.time()) + EXPIRY_SECONDS,
        ).encoded


async def post_all(port: int, path: str, bodies: Sequence[bytes], *, connections: int, media_type: str) -> list[float]:
    """Post bodies over kept-alive connections in a closed loop; return each answer's seconds. Refuses any but 200."""
    seconds: list[float] = []
    waiting = iter(bodies)

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in waiting:
            lines = (
                f"POST {path} HTTP/1.1",
                "Host: bench",
                f"Content-Type: {media_type}",
                f"Content-Length: {len(body)}",
            )
            head = "\r\n".join([*lines, "", ""])
            started = time.perf_counter()
            writer.write(head.encode() + body)
            status = await reader.readline()
            length = 0
            while (line := await reader.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            answer = await reader.readexactly(length)
            seconds.append(time.perf_counter() - started)
            if b" 200 " not in status:
                raise RuntimeError(f"{status!r} {answer[:300]!r}")
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return seconds
