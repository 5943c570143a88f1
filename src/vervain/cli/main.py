# SPDX-License-Identifier: Apache-2.0
"""The `vervain` command: every way to run, ask, prove and look after a node from a terminal.

Commands are imported when they run, so that `vervain --help` is quick.
"""

import sys

from vervain import __version__

try:
    from cyclopts import App, CycloptsError, CycloptsPanel, MissingArgumentError
except ModuleNotFoundError:
    sys.exit("The vervain command comes with the node. Install it: pip install 'vervain[node]'")


def worded(error: CycloptsError) -> object:
    """Return a wrong usage in words: what was left out is not told as if it had come without its value."""
    argument = error.argument
    if not isinstance(error, MissingArgumentError) or error.keyword is not None or argument is None or argument.tokens:
        return CycloptsPanel(error)
    command = " ".join(("vervain", *(error.command_chain or ())))
    return CycloptsPanel(f"{argument.name} is missing. `{command} --help` tells what it is.")


app = App(
    name="vervain",
    help="A consortium ledger for health care: consent, provenance and records that anyone can verify offline.",
    version=__version__,
    error_formatter=worded,
)
app.command("vervain.cli.found:init", name="init", help="Found a chain in an empty directory.")
app.command("vervain.cli.run:node", name="node", help="Run one member's node.")
app.command("vervain.cli.run:witness", name="witness", help="Run an outside witness.")
app.command("vervain.cli.demo:demo", name="demo", help="Run the whole story on this machine.")
app.command("vervain.cli.fhir:import_bundles", name="import", help="Import FHIR R4 bundles.")
app.command("vervain.cli.samples:samples", name="samples", help="Write made-up FHIR R4 bundles to try things with.")
app.command("vervain.cli.ask:submit", name="submit", help="Hand in signed transactions.")
app.command("vervain.cli.ask:query", name="query", help="Ask the agreed state a question.")
app.command("vervain.cli.keys:app", name="keys", help="Make keys and show their public halves.")
app.command("vervain.cli.prove:verify", name="verify", help="Check a receipt offline.")
app.command("vervain.cli.prove:receipt", name="receipt", help="Fetch a receipt from a running node.")
app.command("vervain.cli.prove:trust", name="trust", help="Fetch a chain's trust file from a running node.")
app.command("vervain.cli.care:audit", name="audit", help="Prove a data directory at rest; name what is altered.")
app.command("vervain.cli.care:backup", name="backup", help="Back up a data directory.")
app.command("vervain.cli.care:restore", name="restore", help="Restore a backup into an empty directory.")
app.command("vervain.cli.care:rebuild", name="rebuild", help="Make the SQL read model again.")
app.command("vervain.cli.bench:bench", name="bench", help="Measure this machine.")


def main() -> None:
    """Run the command line. Refuses to run without assertions: they are part of the safety of the ledger."""
    if not __debug__:
        sys.exit("vervain does not run under `python -O`: its assertions are part of its safety.")
    app()
