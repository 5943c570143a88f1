# SPDX-License-Identifier: Apache-2.0
"""The command line: `vervain node | demo | submit | query | verify | keys | import | audit | bench`."""
