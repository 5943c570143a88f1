# SPDX-License-Identifier: Apache-2.0
"""Values and algorithms without state: codec, hashing, signatures (verify only), Merkle log, proved map."""
