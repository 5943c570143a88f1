# SPDX-License-Identifier: Apache-2.0
"""The R4 JSON Schema as package data, and how it was made. See NOTICE.md beside this file."""
