# SPDX-License-Identifier: Apache-2.0
"""How every command speaks: readable lines for people, one JSON object a line for machines, one exit code a meaning.

Exit codes (contracts.md "CLI"): 0 done, 1 refused or not proved, 2 usage, 3 damaged data, 4 unavailable.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import msgspec

from vervain.ledger.primitives.errors import ProofError, VervainError

DONE: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
DAMAGED: Final = 3
UNAVAILABLE: Final = 4


class Output:
    """One command's output.

    Args:
        as_json: Print one JSON object a line instead of words; the last line is the summary.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, text: str) -> None:
        """Tell a person something; silent for machines."""
        if not self.as_json:
            print(text, flush=True)

    def record(self, **fields: Any) -> None:  # Any: whatever JSON can hold
        """Give machines one line; silent for people."""
        if self.as_json:
            print(json.dumps(msgspec.to_builtins(fields)), flush=True)

    def both(self, text: str, **fields: Any) -> None:  # Any: as above
        """Tell a person `text`, and machines `fields`."""
        self.say(text)
        self.record(**fields)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
        """Show a table to a person."""
        if self.as_json:
            return
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title or None, title_justify="left", show_lines=False)
        for head in heads:
            table.add_column(head, overflow="fold")
        for row in rows:
            table.add_row(*map(str, row))
        Console().print(table)

    def fail(self, error: VervainError, code: int) -> NoReturn:
        """Tell what went wrong, why and what to do; end with `code`."""
        told = error.diagnostics()
        if self.as_json:
            print(json.dumps({"error": msgspec.to_builtins(told)}), flush=True)
        else:
            for line in (told.what, told.why, told.do):
                if line:
                    print(line if line.endswith((".", "!", "?")) else f"{line}.", file=sys.stderr)
        raise SystemExit(code)

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show progress of long work on a terminal; call the yielded function with how many more are done."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda more: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda more: bar.advance(task, more)


def counted(number: int, one: str) -> str:
    """Return a number with its noun: 1 file, 2 files."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


@contextmanager
def told(output: Output) -> Iterator[None]:
    """Turn expected errors into words and the agreed exit codes."""
    try:
        yield
    except VervainError as error:
        output.fail(error, exit_code(error))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def exit_code(error: VervainError) -> int:
    """Return the exit code of an expected error."""
    from vervain.engines.errors import EngineError
    from vervain.ledger.machine.refusals import Refusal
    from vervain.node.config import ConfigError
    from vervain.sdk.client_errors import Unavailable
    from vervain.storage.errors import StorageError
    from vervain.vault.errors import VaultError

    table: tuple[tuple[type[VervainError], int], ...] = (
        (Refusal, REFUSED),
        (ProofError, REFUSED),
        (ConfigError, USAGE),
        (StorageError, DAMAGED),
        (VaultError, DAMAGED),
        (EngineError, UNAVAILABLE),
        (Unavailable, UNAVAILABLE),
    )
    return next((code for kind, code in table if isinstance(error, kind)), REFUSED)
