# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: medians of several runs, the machine named, a ratio against a peer or floor in the same run."""
