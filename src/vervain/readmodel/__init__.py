# SPDX-License-Identifier: Apache-2.0
"""SQL built from events, always rebuildable: database, projector and one file of tables a module."""
