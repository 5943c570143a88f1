# SPDX-License-Identifier: Apache-2.0
"""FHIR R4: what is read, how it is checked, and whose it is. Received bytes are kept exactly as they came."""
