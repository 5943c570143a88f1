# SPDX-License-Identifier: Apache-2.0
"""The `vervain` command: every way to run, ask, prove and look after a node from a terminal.

Commands are imported when they run, so that `vervain --help` is quick.
"""

import sys

from cyclopts import App

from vervain import __version__

app = App(
    name="vervain",
    help="A consortium ledger for health care: consent, provenance and records that anyone can verify offline.",
    version=__version__,
)
app.command("vervain.cli.found:init", name="init")
app.command("vervain.cli.run:node", name="node")
app.command("vervain.cli.run:witness", name="witness")
app.command("vervain.cli.demo:demo", name="demo")
app.command("vervain.cli.fhir:import_bundles", name="import")
app.command("vervain.cli.ask:submit", name="submit")
app.command("vervain.cli.ask:query", name="query")
app.command("vervain.cli.keys:app", name="keys")
app.command("vervain.cli.prove:verify", name="verify")
app.command("vervain.cli.prove:receipt", name="receipt")
app.command("vervain.cli.care:audit", name="audit")
app.command("vervain.cli.care:backup", name="backup")
app.command("vervain.cli.care:restore", name="restore")
app.command("vervain.cli.care:rebuild", name="rebuild")
app.command("vervain.cli.bench:bench", name="bench")


def main() -> None:
    """Run the command line. Refuses to run without assertions: they are part of the safety of the ledger."""
    if not __debug__:
        sys.exit("vervain does not run under `python -O`: its assertions are part of its safety.")
    app()
