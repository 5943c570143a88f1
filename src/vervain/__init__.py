# SPDX-License-Identifier: Apache-2.0
"""Vervain: a consortium ledger for health care whose facts anyone can verify offline."""

__version__ = "0.1.0"  # as in pyproject.toml; a test compares them
