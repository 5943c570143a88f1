# SPDX-License-Identifier: Apache-2.0
"""Every machine's way in: each gateway translates a standard into messages, and decides nothing."""
