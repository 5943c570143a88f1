# SPDX-License-Identifier: Apache-2.0
"""Unmistakable values in bundles, and a scan of files and texts for them and their digests."""

import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

from vervain.gateways.fhir.synthetic import generate_bundle

VALUES: Final = {
    "family": ("Testperson-0", "Zyxwvut-Plantenstein"),
    "given": ("", "Qwjxkinda"),
    "born": ("", "1911-11-29"),
    "national number": ("synthetic-0", "NATID-998877665544"),
    "code": ("glycated haemoglobin", "planted-code-kzxq-77"),
    "city": ("", "Xqzburg-Planted"),
}
"""What is replaced in the first generated bundle, and by what; an empty text is found by its element."""


def planted_bundle() -> tuple[bytes, list[str]]:
    """Return a generated bundle with planted values, and all of them: names, codes, dates, every resource's id."""
    bundle = generate_bundle(0, organisations=(0, 1)).decode()
    for old, new in VALUES.values():
        if old:
            assert old in bundle
            bundle = bundle.replace(old, new)
    bundle = re.sub(r'("given": \[\s*)"[^"]+"', rf'\1"{VALUES["given"][1]}"', bundle, count=1)
    bundle = re.sub(r'"birthDate": "[^"]+"', f'"birthDate": "{VALUES["born"][1]}"', bundle)
    bundle = re.sub(r'"city": "[^"]+"', f'"city": "{VALUES["city"][1]}"', bundle)
    planted = [new for _, new in VALUES.values()]
    assert all(each in bundle for each in planted)
    organisations = re.findall(r'"resourceType": "Organization",\s*"id": "([^"]+)"', bundle)
    ids = [each for each in re.findall(r'"id": "([^"]+)"', bundle) if each not in organisations]
    return bundle.encode(), planted + ids


def needles(values: Iterable[str]) -> dict[bytes, str]:
    """Return what to look for: each value and its SHA-256, plain, in hexadecimal and in base64."""
    found: dict[bytes, str] = {}
    for value in values:
        digest = sha256(value.encode()).digest()
        for form in (
            value.encode(),
            value.lower().encode(),
            value.encode().hex().encode(),
            b64encode(value.encode()).rstrip(b"="),
            digest,
            digest.hex().encode(),
            b64encode(digest).rstrip(b"="),
        ):
            found[form] = value
    return found


def leaks_in(text: bytes, wanted: dict[bytes, str]) -> set[str]:
    """Return the values that a text holds in any form."""
    return {value for form, value in wanted.items() if form in text}


def leaks_under(folder: Path, wanted: dict[bytes, str], *, besides: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """Return, by file, the values found in contents and names of files under a folder; `besides` names are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.startswith(besides) if besides else False:
            continue
        leaks = leaks_in(name.encode(), wanted) | (leaks_in(path.read_bytes(), wanted) if path.is_file() else set())
        if leaks:
            found[name] = leaks
    return found
