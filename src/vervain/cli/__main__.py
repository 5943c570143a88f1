# SPDX-License-Identifier: Apache-2.0
"""`python -m vervain.cli` is the `vervain` command."""

from vervain.cli.main import main

main()
