# SPDX-License-Identifier: Apache-2.0
"""The ledger's own HTTP way in: submit, query, receipts, checkpoints."""
