# SPDX-License-Identifier: Apache-2.0
"""The story that `vervain demo` tells: its cast, the four steps of the data flow, and the attacks that must fail."""
