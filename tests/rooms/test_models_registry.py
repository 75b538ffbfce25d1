"""Adding, removing, listing and verifying models in sememe's own folder; receipts and fingerprints."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sememe.errors import MissingModelError, ModelError, UsageError
from sememe.models import receipt
from sememe.models.pull import resolve
from sememe.models.receipt import fingerprint_files
from sememe.models.registry import add, installed, remove, verify
from tests.rooms.model_folders import entry_for, model_bytes, write_model
from tests.rooms.test_models_hub import known

FILES = model_bytes()
BIG = "model.safetensors"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    extra = {"pytorch_model.bin": b"\x80\x04.", "train.py": b"", "README.md": b"#"}
    return write_model(tmp_path / "somewhere", {**FILES, **extra})


def test_an_added_model_is_a_checked_copy_of_what_is_read(source: Path, tmp_path: Path) -> None:
    folder = add(source, "mine", tmp_path)
    copied = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert set(copied) == {*FILES, receipt.NAME} and copied.items() >= FILES.items()
    assert resolve("mine", home=tmp_path, offline=True) == folder
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["mine"]
    (source / BIG).unlink()
    assert resolve("mine", home=tmp_path, offline=True) == folder


def test_a_snapshot_of_links_is_copied_as_files(tmp_path: Path) -> None:
    blobs = write_model(tmp_path / "blobs")
    snapshot = tmp_path / "snapshot"
    for path in FILES:
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).symlink_to(blobs / path)
    folder = add(snapshot, "mine", tmp_path)
    assert not [p for p in folder.rglob("*") if p.is_symlink()]


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "nul", "x" * 101, "é", "end."])
def test_a_name_that_is_no_name_is_refused(name: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        add(source, name, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_taken_name_is_refused(source: Path, tmp_path: Path) -> None:
    add(source, "mine", tmp_path)
    with pytest.raises(UsageError, match="already a model"):
        add(source, "mine", tmp_path)


def test_a_catalogue_name_is_for_the_catalogues_files(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch, entry_for(FILES))
    with pytest.raises(UsageError, match="is a name of the catalogue's tiny"):
        add(source, "little", tmp_path)
    add(source, "tiny", tmp_path)
    assert {check.against for check in verify("little", tmp_path)} == {"catalogue"}
    (source / BIG).write_bytes(model_bytes(seed=1)[BIG])
    with pytest.raises(ModelError, match="is not the file of tiny that the catalogue knows"):
        add(source, "tiny", tmp_path / "other")
    assert list((tmp_path / "other" / "models").iterdir()) == [], "half a model was left"


def test_a_folder_that_is_no_model_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "junk").mkdir()
    with pytest.raises(ModelError, match="is not a model folder"):
        add(tmp_path / "junk", "mine", tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_the_list_shows_names_sizes_and_sources(source: Path, tmp_path: Path) -> None:
    assert installed(tmp_path) == []
    add(source, "b", tmp_path)
    add(source, "a", tmp_path)
    (tmp_path / "models" / ".b.part").mkdir()
    first, second = installed(tmp_path)
    assert (first.name, second.name) == ("a", "b")
    assert first.size > sum(map(len, FILES.values())) and str(source) in first.source
    (tmp_path / "models" / "a" / receipt.NAME).write_text("junk")
    assert installed(tmp_path)[0].source.startswith("damaged")


def test_a_removed_model_is_gone_and_others_are_not(source: Path, tmp_path: Path) -> None:
    add(source, "a", tmp_path)
    add(source, "b", tmp_path)
    assert remove("a", tmp_path) == tmp_path / "models" / "a"
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["b"]
    assert (source / BIG).exists()


@pytest.mark.parametrize("name", ["nobody", "..", "../somewhere", ""])
def test_what_is_not_there_cannot_be_removed(name: str, source: Path, tmp_path: Path) -> None:
    add(source, "mine", tmp_path)
    with pytest.raises(MissingModelError) as caught:
        remove(name, tmp_path)
    assert "mine" in str(caught.value) and (source / BIG).exists()


def test_verify_names_what_changed_and_what_is_missing(source: Path, tmp_path: Path) -> None:
    folder = add(source, "mine", tmp_path)
    assert {check.state for check in verify("mine", tmp_path)} == {"ok"}
    before = (folder / BIG).stat().st_mtime_ns
    (folder / BIG).write_bytes(bytes(len(FILES[BIG])))
    os.utime(folder / BIG, ns=(before, before))  # hidden from the quick look of every load, not from this
    (folder / "modules.json").unlink()
    states = {check.path: check.state for check in verify("mine", tmp_path) if check.state != "ok"}
    assert states == {BIG: "changed", "modules.json": "missing"}


def test_a_fingerprint_follows_contents_and_names(source: Path, tmp_path: Path) -> None:
    folder = add(source, "mine", tmp_path)
    paths = [folder / BIG, folder / "tokenizer.json"]
    first = fingerprint_files(folder, paths)
    assert first == fingerprint_files(folder, reversed(paths)) and len(first) == 64
    assert first == fingerprint_files(source, [source / BIG, source / "tokenizer.json"])
    assert first != fingerprint_files(folder, paths[:1])
    (folder / BIG).write_bytes(model_bytes(seed=1)[BIG])
    os.utime(folder / BIG, ns=(1, 1))
    assert first != fingerprint_files(folder, paths)


def test_a_fingerprint_of_an_untouched_model_reads_no_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = add(source, "mine", tmp_path)
    outside = fingerprint_files(source, [source / BIG], home=tmp_path)
    read: list[Path] = []
    monkeypatch.setattr(receipt, "hash_file", lambda path, **_: read.append(path))
    fingerprint_files(folder, [folder / BIG, folder / "tokenizer.json"])
    assert fingerprint_files(source, [source / BIG], home=tmp_path) == outside
    assert read == []


def test_a_broken_memory_is_only_forgotten(source: Path, tmp_path: Path) -> None:
    outside = fingerprint_files(source, [source / BIG], home=tmp_path)
    memory = tmp_path / "models" / ".hashes.json"
    for junk in ("junk", "[]", json.dumps({str((source / BIG).resolve()): 5})):
        memory.write_text(junk)
        assert fingerprint_files(source, [source / BIG], home=tmp_path) == outside
