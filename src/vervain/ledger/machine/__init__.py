# SPDX-License-Identifier: Apache-2.0
"""The replicated machine: decides what a block does to the state. It knows no health care."""
