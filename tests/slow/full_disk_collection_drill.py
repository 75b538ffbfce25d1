"""The same full disks in the middle of what is done to a whole collection: a migration and the way back, exports,
imports, backups."""
# ruff: noqa: E402 (it also runs by itself, and puts the encoder of the rooms' tests on the path first)

from __future__ import annotations

import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "rooms"), str(ROOT / "tests" / "contracts"), str(ROOT / "tests" / "slow")]

from full_disk_drill import at_every_place
from letters import ALPHABET, Letters

from sememe.collection.collection import Collection
from sememe.collection.transfer import (
    backup_collection,
    export_collection,
    import_collection,
    restore_collection,
)
from sememe.errors import StoreError

ENCODER, OTHER = Letters("letters"), Letters("other", ALPHABET[:20])


def opened(folder: Path) -> Collection:
    with Collection(folder) as collection:
        name = collection.binding.encoder
    return Collection(folder, encoder={"letters": ENCODER, "other": OTHER}[name])


def attempt(part: str, home: Path, folder: Path) -> Path | None:
    """Do it; the path that comes into being, if one does."""
    out = folder.with_name(f"{folder.name}-out")
    match part:
        case "import":
            import_collection(home / "export.jsonl", out, encoder=ENCODER).collection.close()
        case "restore":
            restore_collection(home / "kept.backup", out).close()
        case _:
            with opened(folder) as collection:
                match part.split():
                    case ["migrate"]:
                        collection.migrate(OTHER)
                        return None
                    case ["back"]:
                        collection.roll_back(ENCODER)
                        return None
                    case ["backup"]:
                        backup_collection(collection, out)
                    case ["export", form]:
                        export_collection(collection, out, form)
    return out


def seen(folder: Path) -> tuple[Any, ...]:
    with opened(folder) as collection:
        assert collection.verify().ok
        ids = collection.store.ids()
        hits = [collection.search("number 7", 5, mode=mode) for mode in ("dense", "words")]
        kept = collection.get(ids), collection.store.vectors(ids).tolist(), collection.binding
        return ids, kept, [(one.ids, one.scores) for one in hits]


def contents(path: Path) -> dict[str, bytes] | tuple[Any, ...]:
    """Of a collection what is seen in it, of other files their bytes (but for what says when)."""
    if (path / "records.sqlite").exists():
        return seen(path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name: file.stat().st_size.to_bytes(8, "little") for file in files}


def one(part: str, home: Path, folder: Path, full: Any) -> str:
    """One full disk; says how it ended."""
    if part == "back":
        with opened(folder) as collection:
            collection.migrate(OTHER)
    before, around = seen(folder), sorted(path.name for path in home.iterdir())
    try:
        with full:
            out = attempt(part, home, folder)
        ended = "done"
    except StoreError as error:
        ended = "refused"
        assert "\n" in str(error), f"it does not say why: {error}"
        assert seen(folder) == before, "something was changed"
        assert sorted(path.name for path in home.iterdir()) == around, "something was left behind"
        out = attempt(part, home, folder)  # there is room again
    if out is None:
        name = "letters" if part == "back" else "other"
        with opened(folder) as collection:
            assert collection.binding.encoder == name
        now = seen(folder)
        assert (now[0], now[1][0]) == (before[0], before[1][0])
        return ended
    assert seen(folder) == before
    if part in ("import", "restore"):
        assert seen(out) == before
    else:
        again = out.with_name(out.name + "-again")
        if part == "backup":
            restore_collection(out, again).close()
        else:
            import_collection(out, again, encoder=ENCODER).collection.close()
        assert seen(again)[:2] == before[:2]
    return ended


def main(home: Path) -> None:
    with Collection(home / "pristine", encoder=ENCODER) as collection:
        texts = [{"id": f"t{n:03}", "text": f"number {n}: " + "ab" * (n % 17)} for n in range(300)]
        collection.add(texts, id="id")
        export_collection(collection, home / "export.jsonl", "jsonl")
        backup_collection(collection, home / "kept.backup")
    seen(home / "pristine")
    parts = ["migrate", "back", "export jsonl", "export npy", "backup", "restore", "import"]
    for part in parts + (["export parquet"] if find_spec("pyarrow") else []):
        at_every_place(part, home, partial(one, part, home))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
