# SPDX-License-Identifier: Apache-2.0
"""The domains, one shape each: messages, rules, state, queries, invariants."""
