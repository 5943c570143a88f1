# SPDX-License-Identifier: Apache-2.0
"""Who orders transactions: one interface, two engines (solo in this process; CometBFT when a consortium outgrows
it).
"""
