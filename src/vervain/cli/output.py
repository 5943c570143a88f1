# SPDX-License-Identifier: Apache-2.0
"""How every command speaks: readable lines for people, one JSON object a line for machines, one exit code a meaning.

Exit codes (contracts.md "CLI"): 0 done, 1 refused or not proved, 2 usage, 3 damaged data, 4 unavailable.
"""

import errno
import json
import shutil
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
INTERRUPTED: Final = 130

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    """Turn expected errors, and the system's, into words and the agreed exit codes."""
    try:
        yield
    except VervainError as error:
        output.fail(error, exit_code(error))
    except OSError as error:
        output.fail(*_system_error(error))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _system_error(error: OSError) -> tuple[VervainError, int]:
    """Return in words what the system refused, and the exit code: a path can be mended, a disk or a wait must end."""
    named, why = error.filename, error.strerror or str(error)
    if isinstance(error, shutil.Error):
        named, _, why = error.args[0][0]  # of all files that could not be copied, the first
    if isinstance(error, TimeoutError):
        return VervainError("It took too long", why=why, do="Try again when the machine is less busy."), UNAVAILABLE
    what = f"{named} cannot be used" if named else "The system refused"
    if error.errno in _NO_ROOM:
        return VervainError(what, why=why, do="Free some room, then try again."), UNAVAILABLE
    if error.errno == errno.EIO:
        return VervainError(what, why=why, do="Check the disk."), DAMAGED
    return VervainError(what, why=why, do="Check that the path is there, and that it is yours."), USAGE


def exit_code(error: VervainError) -> int:
    """Return the exit code of an expected error."""
    from vervain.engines.errors import EngineError
    from vervain.ledger.machine.refusals import Refusal
    from vervain.node.config import ConfigError
    from vervain.sdk.client_errors import Unavailable
    from vervain.storage.errors import Full, InUse, StorageError
    from vervain.vault.errors import KeyErased, VaultError
    from vervain.witness import WitnessError

    if isinstance(error.__cause__, PermissionError):
        return USAGE
    table: tuple[tuple[type[VervainError], int], ...] = (  # the first that fits
        (Refusal, REFUSED),
        (ProofError, REFUSED),
        (KeyErased, REFUSED),
        (ConfigError, USAGE),
        (WitnessError, USAGE),
        (InUse, UNAVAILABLE),
        (Full, UNAVAILABLE),
        (StorageError, DAMAGED),
        (VaultError, DAMAGED),
        (EngineError, UNAVAILABLE),
        (Unavailable, UNAVAILABLE),
    )
    return next((code for kind, code in table if isinstance(error, kind)), REFUSED)
