# SPDX-License-Identifier: Apache-2.0
"""The shipped attacker: tries to join one person's pseudonyms at two organisations from agreed bytes alone.

`python -m benchmarks.attacks` founds a chain, imports made-up patients with the real importer, lets real wallets grant,
and attacks what was agreed. Planted leaks (`leaks.py`) show that the attacker finds what there is to find.
"""
