# SPDX-License-Identifier: Apache-2.0
"""The tutorial runs: its blocks in order, in one shell and one Python session, showing what the page says they show."""

import code
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import CodeType
from typing import Final

import pytest

TUTORIAL: Final = Path(__file__).parents[2] / "docs/tutorial.md"
BLOCK: Final = re.compile(r"^(<!-- shown -->\n)?```(sh|python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS: Final = ("8731", "8732")  # as the page writes them; the test takes free ones
END: Final = "::block-ended::"


class Shell:
    """One bash for all blocks, as a reader has one terminal. The first command that fails ends it."""

    def __init__(self, folder: Path) -> None:
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        self._bash = subprocess.Popen(
            ["bash", "-euo", "pipefail"],
            cwd=folder,
            env={**os.environ, "PATH": path, "COLUMNS": "200"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, block: str) -> str:
        """Run one block; return what it printed."""
        assert self._bash.stdin is not None and self._bash.stdout is not None
        self._bash.stdin.write(f"{block}\necho {END}\n")
        self._bash.stdin.flush()
        lines: list[str] = []
        for line in self._bash.stdout:
            if line.strip() == END:
                return "".join(lines)
            lines.append(line)
        raise AssertionError(f"a command failed in:\n{block}\nit printed:\n{''.join(lines)}")

    def close(self) -> None:
        """End the shell, and whatever a broken page left running in it."""
        with suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGTERM)
        for stream in (self._bash.stdin, self._bash.stdout):
            assert stream is not None
            stream.close()
        self._bash.wait(30)


@contextmanager
def _shell(folder: Path) -> Iterator[Shell]:
    shell = Shell(folder)
    try:
        yield shell
    finally:
        shell.close()


def _free_ports(count: int) -> list[str]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _page() -> str:
    page = TUTORIAL.read_text(encoding="utf-8")
    for written, free in zip(PORTS, _free_ports(len(PORTS)), strict=True):
        page = page.replace(written, free)
    return page


def _missing(shown: str, printed: str) -> list[str]:
    """Return the lines of `shown` that are not in `printed`, in their order."""
    missing, at = [], 0
    for line in shown.strip().splitlines():
        found = printed.find(line.strip(), at)
        if found < 0:
            missing.append(line)
        else:
            at = found + len(line.strip())
    return missing


def test_tutorial_runs_and_shows_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given an empty folder and the project's commands on the path.
    When every block of the tutorial is run in order.
    Then no command fails, and what the page shows is what was printed.
    """
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {"__name__": "__main__"}
    printed, shown = "", 0
    with _shell(tmp_path) as shell:
        for mark, language, block in BLOCK.findall(_page()):
            if language == "sh":
                printed = shell.run(block)
            elif language == "python":
                words = io.StringIO()
                with redirect_stdout(words):
                    exec(compile(block, "tutorial.md", "exec"), session)
                printed = words.getvalue()
            elif mark:
                shown += 1
                assert _missing(block, printed) == [], printed
    assert shown == TUTORIAL.read_text(encoding="utf-8").count("<!-- shown -->") > 0


class _Prompt(code.InteractiveConsole):
    """A prompt that looks at form only; another test runs the blocks."""

    def runcode(self, code: CodeType) -> None:
        """Run nothing."""


def _refused_by_a_prompt(block: str) -> str:
    """Push a block into a Python prompt line by line, with an Enter at its end; return what the prompt says of it."""
    prompt = _Prompt()
    words = io.StringIO()
    with redirect_stderr(words):
        for line in (*block.splitlines(), ""):
            prompt.push(line)
    return words.getvalue()


def test_python_blocks_can_be_pasted() -> None:
    """
    Given the Python blocks of the tutorial.
    When each is pasted into a Python prompt.
    Then the prompt takes every line; a statement right after an indented block is refused.
    """
    blocks = [block for _, language, block in BLOCK.findall(_page()) if language == "python"]
    assert blocks and [words for block in blocks if (words := _refused_by_a_prompt(block))] == []
    assert "SyntaxError" in _refused_by_a_prompt("for _ in ():\n    print()\nprint()\n")


def test_missing_line_is_found() -> None:
    """
    Given printed lines.
    When a page shows one that was not printed, or two in another order.
    Then it is found.
    """
    assert _missing("one\nthree\n", "one 1\ntwo\nthree\n") == []
    assert _missing("three\nfour\n", "three\n") == ["four"]
    assert _missing("two\none\n", "one\ntwo\n") == ["one"]
