"""The models in sememe's own folder: add one, remove one, list them, verify their files."""

from __future__ import annotations

import difflib
import shutil
from dataclasses import dataclass
from pathlib import Path

from sememe.errors import MissingModelError, ModelError, UsageError
from sememe.models import receipt
from sememe.models.catalogue import lookup
from sememe.models.layout import Layout, read_layout
from sememe.models.pull import is_name, model_files
from sememe.models.staging import check_space, replace_folder, sync


@dataclass(frozen=True, slots=True)
class Installed:
    """A model in sememe's own folder; ``size`` in bytes of its files, ``source`` where they came from."""

    name: str
    folder: Path
    size: int
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class FileCheck:
    """One file after a full check. ``state`` is ``ok``, ``changed`` or ``missing``; ``against`` says who knows what it
    should be: ``catalogue``, ``hub`` (announced when it was fetched) or ``nothing`` (as it was when it was added)."""

    path: str
    state: str
    expected: str
    got: str
    against: str


def add(path: Path, name: str, home: Path) -> Path:
    """Copy a model folder under a name of one's own; its files stay where they are.

    Only what sememe reads is copied (configs, tokenizer, safetensors). A name of the catalogue is taken only when the
    files are the ones that the catalogue knows.

    Raises:
        UsageError: the name cannot be one, or is taken.
        ModelError: the folder is no model that sememe reads.
    """
    path = path.expanduser()
    models = home / "models"
    entry = lookup(name)
    if not is_name(name):
        raise UsageError(
            f'"{name:.100}" cannot be the name of a model',
            do=["use letters, digits, dots, - and _, at most 100, beginning with a letter or digit"],
        )
    if (models / name).exists():
        raise UsageError(
            f'there is already a model "{name}"',
            do=[
                ("take another name", f"sememe models add {path} --name …"),
                ("or remove it", f"sememe models rm {name}"),
            ],
        )
    if entry is not None and name != entry.name:
        raise UsageError(
            f'"{name}" is a name of the catalogue\'s {entry.name}',
            do=[("take another name", f"sememe models add {path} --name my-{name}")],
        )
    layout = read_layout(path)
    known = {spec_path: spec.sha256 for spec_path, spec in entry.files.items() if spec.sha256} if entry else {}
    return _copy(layout, name, models, known)


def _copy(layout: Layout, name: str, models: Path, known: dict[str, str]) -> Path:
    files = model_files(layout)
    staging = models / f".{name}.add"
    try:
        models.mkdir(parents=True, exist_ok=True)
        check_space(models, sum(file.stat().st_size for file in files))
        shutil.rmtree(staging, ignore_errors=True)
        hashes = {}
        for file in files:
            relative = file.relative_to(layout.folder).as_posix()
            target = staging / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            got = receipt.hash_file(target)
            if known.get(relative, got) != got:
                raise ModelError(
                    f"{file} is not the file of {name} that the catalogue knows",
                    why=[("expected", known[relative]), ("got", got)],
                    do=[("add it under another name", f"sememe models add {layout.folder} --name my-{name}")],
                )
            hashes[relative] = (got, "catalogue" if relative in known else "nothing")
            sync(target)
        made = receipt.make(staging, name, source=f"added from {layout.folder.resolve()}", revision="", hashes=hashes)
        receipt.write(staging, made)
        replace_folder(staging, models / name)
    except OSError as error:
        raise ModelError(f"{name} cannot be copied to {models}", why=[error.strerror or str(error)]) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return models / name


def remove(name: str, home: Path) -> Path:
    """Delete a model from sememe's own folder. The Hugging Face cache is never touched."""
    folder = _folder(name, home)
    gone = folder.with_name(f".{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    try:
        folder.rename(gone)  # in one step, so that nobody reads half a model
        shutil.rmtree(gone)
    except OSError as error:
        raise ModelError(f"{folder} cannot be removed", why=[error.strerror or str(error)]) from None
    return folder


def installed(home: Path) -> list[Installed]:
    """What is in sememe's own folder, by name. A folder with a broken receipt is listed with that as its source."""
    models = home / "models"
    found = []
    for folder in sorted(models.iterdir()) if models.is_dir() else ():
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        try:
            made = receipt.read(folder)
            source, date = (made.source, made.date) if made else ("a copied folder", "")
        except ModelError as error:
            source, date = f"damaged: {error.what}", ""
        found.append(Installed(folder.name, folder, size, source, date))
    return found


def verify(name: str, home: Path) -> list[FileCheck]:
    """Hash every file of an installed model again and compare: by the catalogue where it knows, else by the receipt."""
    folder = _folder(name, home)
    made = receipt.read(folder)
    if made is None:
        raise ModelError(
            f"{folder} has no record of its files", do=[("use it once, which makes one", f'sememe embed "x" -m {name}')]
        )
    entry = lookup(folder.name)
    checks = []
    for path, record in sorted(made.files.items()):
        spec = entry.files.get(path) if entry is not None else None
        pinned = spec.sha256 if spec is not None else None
        expected, against = (pinned, "catalogue") if pinned else (record.sha256, record.checked)
        if not (folder / path).is_file():
            checks.append(FileCheck(path, "missing", expected, "", against))
            continue
        got = receipt.hash_file(folder / path)
        checks.append(FileCheck(path, "ok" if got == expected else "changed", expected, got, against))
    return checks


def _folder(name: str, home: Path) -> Path:
    entry = lookup(name)
    for word in dict.fromkeys((name, entry.name if entry else name)):
        if is_name(word) and (home / "models" / word).is_dir():
            return home / "models" / word
    names = [model.name for model in installed(home)]
    near = difflib.get_close_matches(name, names, n=1)
    raise MissingModelError(
        f'there is no model "{name:.100}" in {home / "models"}',
        why=[("did you mean", near[0])] if near else [("there are", ", ".join(names) or "none")],
    )
