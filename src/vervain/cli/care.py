# SPDX-License-Identifier: Apache-2.0
"""`vervain audit | backup | restore | rebuild`: looking after a data directory."""

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from vervain.cli.output import DAMAGED, Output, counted, told
from vervain.node.config import ConfigError

Json = Annotated[bool, Parameter(name="--json")]
Data = Annotated[Path, Parameter(name="--data")]
ONLY_ONE: Final = (
    "It has the same keys as the directory that was backed up. Only one of the two may ever run again:\n"
    "two that run fork the chain, and neither would notice."
)


def audit(*, data: Data, as_json: Json = False) -> None:
    """Prove a data directory at rest, end to end; name what is altered and where. Changes nothing.

    Args:
        data: The data directory; stop its node first.
        as_json: One JSON object a line; the last is the summary.
    """
    from vervain.node.audit import audit_node

    output = Output(as_json=as_json)
    findings = []
    with told(output):
        _require_data_directory(data)
        for finding in audit_node(data):
            findings.append({"file": finding.file, "offset": finding.offset, "what": finding.what})
            output.say(f"{finding.file} at byte {finding.offset}: {finding.what}")
    output.both(
        "Clean: blocks, state, proofs and tables agree." if not findings else f"{counted(len(findings), 'finding')}.",
        clean=not findings,
        findings=findings,
    )
    if findings:
        raise SystemExit(DAMAGED)


def backup(target: Path, *, data: Data, keys_to: Path | None = None, as_json: Json = False) -> None:
    """Back up ledger, vaults, access audits and settings to a new folder. It holds no private key.

    Keys, imported patients' wallets and category secrets are copied with `--keys-to` alone: a backup made without it
    restores only with an earlier copy that has all of them.

    Args:
        target: The new folder.
        data: The data directory; stop its node first. Only the node's own process can back up while it runs, by
            `Node.back_up`, which no command calls.
        keys_to: A new folder to copy everything secret to: private keys, imported patients' wallets, category secrets.
            Keep it apart from the backup.
        as_json: One JSON object instead of words.
    """
    from vervain.node.backup import copy_keys, require_apart, require_new, whole_or_nothing
    from vervain.node.config import read_settings
    from vervain.node.directory import DataDirectory
    from vervain.node.node import Node

    output = Output(as_json=as_json)
    with told(output):
        settings = read_settings(DataDirectory(data).settings)
        slot_keys = data / settings.slot_backup_keys
        made = {"the backup": target} | ({} if keys_to is None else {"the private keys": keys_to})
        require_apart({"the running node": data} | made)
        require_apart({"the keys of slots backups": slot_keys} | made)
        for folder in made.values():
            require_new(folder, "A backup replaces nothing")
        node = Node(data)
        try:
            with whole_or_nothing(*made.values()):
                target.mkdir(parents=True, mode=0o700)
                manifest = node.back_up(target)
                if keys_to is not None:
                    copy_keys(data, keys_to)
        finally:
            node.stop()
        output.both(
            f"Backed up to height {manifest.height}, {manifest.log_size} leaves, in {target}.\n"
            f"{_where_keys_are(keys_to)}\n"
            f"The slots' backups lapse in {settings.slot_backup_days} days; their keys are in {slot_keys}.\n"
            "Keep the three in three places: whoever has all of them reads everything.",
            height=manifest.height,
            log_size=manifest.log_size,
            target=str(target),
            keys=None if keys_to is None else str(keys_to),
        )


def _where_keys_are(keys_to: Path | None) -> str:
    if keys_to is None:
        return "No key was copied (--keys-to does): this backup restores only with keys copied after the last import."
    return f"The private keys, patients' wallets and category secrets are in {keys_to}."


def restore(
    source: Path,
    *,
    data: Data,
    keys: Path,
    slot_keys: Path,
    cosigner_state: Path | None = None,
    erasures: Path | None = None,
    as_json: Json = False,
) -> None:
    """Make a data directory from a backup and from keys kept elsewhere, and check all of it.

    It has the same keys as the one it was copied from. Only one of them may ever run again: two would fork the chain.

    Args:
        source: The backup's folder.
        data: The new data directory; must not exist.
        keys: The folder that `vervain backup --keys-to` made.
        slot_keys: The folder of the slots backups' keys, as `slot_backup_keys` in node.toml names it.
        cosigner_state: The newest cosigner.state there is. The node then refuses to fork behind what was cosigned.
        erasures: The newest data directory or backup there is: what was erased since stays erased.
        as_json: One JSON object instead of words.
    """
    import time

    from vervain.node.backup import require_apart, restore_node

    output = Output(as_json=as_json)
    with told(output):
        for name, folder in {"the backup": source, "the private keys": keys}.items():
            require_apart({"the restored node": data, name: folder})
        manifest = restore_node(
            source,
            data,
            keys=keys,
            slot_keys=slot_keys,
            cosigner_state=cosigner_state,
            erasures=erasures,
            now=int(time.time()),
        )
        output.both(
            f"Restored up to height {manifest.height}, {manifest.log_size} leaves, in {data}.\n{ONLY_ONE}",
            height=manifest.height,
            log_size=manifest.log_size,
        )


def rebuild(*, data: Data, as_json: Json = False) -> None:
    """Make the SQL read model again from blocks and outcomes. Stop the node first.

    Args:
        data: The data directory.
        as_json: One JSON object instead of words.
    """
    from vervain.node.directory import DataDirectory
    from vervain.node.node import Node
    from vervain.node.reading import remove_read_model

    output = Output(as_json=as_json)
    with told(output):
        remove_read_model(DataDirectory(data).read_model)
        node = Node(data)
        with output.progress("Blocks", node.head.height + 1) as advance:
            done = 0

            def told_height(height: int) -> None:
                nonlocal done
                advance(height + 1 - done)
                done = height + 1

            height = node.read_model.projector.catch_up(told_height)
        node.stop()
        output.both(f"Rebuilt up to height {height}.", height=height)


def _require_data_directory(data: Path) -> None:
    """Refuse a directory that holds nothing of a node; one that has lost a part is for the audit to tell."""
    from vervain.node.directory import DataDirectory

    directory = DataDirectory(data)
    if not data.is_dir():
        raise ConfigError(
            f"The directory {data} does not exist", do="Name a node's data directory, or run `vervain init` first."
        )
    if not any(path.exists() for path in (directory.genesis, directory.settings, directory.blocks, directory.state)):
        raise ConfigError(
            f"{data} is no data directory", why="It holds nothing of a node", do="Name a node's data directory."
        )
