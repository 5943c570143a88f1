# SPDX-License-Identifier: Apache-2.0
"""The fence: everything in here is agreed, pure and replayable; no clock, chance, disk, network or private key."""
