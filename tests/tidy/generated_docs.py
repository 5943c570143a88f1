# SPDX-License-Identifier: Apache-2.0
"""The pages that are made from the code: every refusal (docs/concepts/errors.md), every command (docs/cli.md).

`python -m tests.tidy.generated_docs` writes them; a test fails while one is not what the code gives.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from cyclopts import App
from rich.console import Console

from tests.tidy.tree import ROOT, shown
from vervain.cli.main import app
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.refusals import KINDS, MachineReason, Reason

HELP_COLUMNS: Final = 100
MADE: Final = "<!-- Made by `python -m tests.tidy.generated_docs`; change the code, not this page. -->"
ERRORS_HEAD: Final = f"""# Refusals
{MADE}

A transaction is applied whole or refused whole.
A refusal is an answer, not a fault.
It has a code that never changes its meaning, one of six kinds, and words that say what to do.
The code is the module's number times 100 plus the reason; 0 means applied.
A refused transaction that got into the log stays there as refused, and its receipt says so.
A running node tells the same list at `GET /v1/problems`.
What goes wrong outside the ledger (files, disks, networks, wrong settings) is told in three parts, too:
what happened, why, what to do.

| kind | HTTP | when |
| --- | --- | --- |
"""
REASON_COLUMNS: Final = """| code | name | kind | what happened | what to do |
| --- | --- | --- | --- | --- |
"""
CLI_HEAD: Final = f"""# The command line
{MADE}

Where a command takes `--json`, it prints one object a line, and the last one is the summary.
Exit codes: 0 done, 1 refused or not proved, 2 wrong usage, 3 damaged data, 4 unavailable.
"""


def errors_page() -> str:
    """Return the page of every refusal of the ledger, by module and code."""
    kinds = "".join(f"| {kind.__name__} | {http} | {when} |\n" for kind, when, http in _kinds())
    named = {module.number: module.name for module in CATALOGUE.modules}
    parts = [_reasons("0: the machine, before any module", MachineReason)]
    parts += [
        _reasons(f"{number}: {name}", (each for code, each in CATALOGUE.reasons.items() if code // 100 == number))
        for number, name in sorted(named.items())
    ]
    return ERRORS_HEAD + kinds + "".join(parts)


def _kinds() -> Iterator[tuple[type, str, str]]:
    """Yield each kind, when it is used, and its HTTP status, as its docstring says."""
    for kind in KINDS:
        when, _, http = (kind.__doc__ or "").partition(" HTTP ")
        yield kind, when, http.rstrip(".")


def _reasons(heading: str, reasons: Iterable[Reason]) -> str:
    rows = "".join(
        f"| {reason.value} | {reason.name} | {reason.kind.__name__} | {_cell(reason.what)} | {_cell(reason.do)} |\n"
        for reason in sorted(reasons)
    )
    return f"\n## {heading}\n\n{REASON_COLUMNS}{rows}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def cli_page() -> str:
    """Return the page of every command's own help."""
    parts = [CLI_HEAD, f"\n```text\n{_help([])}\n```\n"]
    for words in _commands(app, []):
        parts.append(f"\n## vervain {' '.join(words)}\n\n```text\n{_help(words)}\n```\n")
    return "".join(parts)


def _commands(group: App, words: list[str]) -> Iterator[list[str]]:
    """Yield the words of every command, those of groups after the group."""
    for name in sorted(name for name in group if not name.startswith("-")):
        yield [*words, name]
        yield from _commands(group[name], [*words, name])


def _help(words: list[str]) -> str:
    written = io.StringIO()
    console = Console(file=written, width=HELP_COLUMNS, force_terminal=False, color_system=None, legacy_windows=False)
    app.help_print(words, console=console)
    return "\n".join(line.rstrip() for line in written.getvalue().strip().splitlines())


PAGES: Final[Mapping[Path, Callable[[], str]]] = {
    ROOT / "docs/cli.md": cli_page,
    ROOT / "docs/concepts/errors.md": errors_page,
}


def main() -> None:
    """Write every page whose text is no longer what the code gives."""
    for path, page in PAGES.items():
        made = page()
        if not path.exists() or path.read_text(encoding="utf-8") != made:
            path.write_text(made, encoding="utf-8")
            print(f"Written: {shown(path)}")


if __name__ == "__main__":
    main()
