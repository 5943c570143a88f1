# SPDX-License-Identifier: Apache-2.0
"""One running node: its configuration, its members' desks, its engine, receipts and cosigner."""
