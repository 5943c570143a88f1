# SPDX-License-Identifier: Apache-2.0
"""Encrypted documents off the ledger: blobs, key slots, release, erasure."""
