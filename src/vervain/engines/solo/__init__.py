# SPDX-License-Identifier: Apache-2.0
"""The embedded engine: one process orders, executes and stores; an answer means fsynced."""
