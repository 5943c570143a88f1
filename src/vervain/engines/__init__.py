# SPDX-License-Identifier: Apache-2.0
"""Who orders transactions: one interface; `solo` runs in this process."""
