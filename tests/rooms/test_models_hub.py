"""The hub: what is fetched is checked, resumed and named; a token stays at home; every failure is told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sememe.errors import MissingModelError, ModelError
from sememe.models import hub, receipt
from sememe.models.catalogue import Entry, FileSpec
from sememe.models.pull import pull
from tests.rooms.hub_double import HubDouble, serving
from tests.rooms.model_folders import entry_for, model_bytes

FILES = model_bytes()
BIG = "model.safetensors"
SECRET = "hf_verysecrettoken"


class Watching:
    """A progress that remembers what it was shown."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.phases: list[tuple[str, int | None, str]] = []
        self.done = 0

    @contextmanager
    def phase(self, name: str, *, total: int | None, unit: str) -> Iterator[Watching]:
        self.phases.append((name, total, unit))
        yield self

    def advance(self, n: int = 1) -> None:
        self.done += n

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubDouble]:
    with serving(HubDouble(dict(FILES))) as double:
        monkeypatch.setenv("HF_ENDPOINT", double.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield double


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Entry:
    return known(monkeypatch, entry_for(FILES))


def known(monkeypatch: pytest.MonkeyPatch, entry: Entry) -> Entry:
    """Let the catalogue hold this entry alone."""
    monkeypatch.setattr("sememe.models.catalogue.entries", lambda: (entry,))
    return entry


def fetch(entry: Entry, home: Path, progress: Watching | None = None) -> Path:
    return pull(entry, home=home, progress=progress or Watching())


def test_a_model_comes_whole_with_one_bar_and_its_size_said_first(
    double: HubDouble, entry: Entry, tmp_path: Path
) -> None:
    progress = Watching()
    folder = fetch(entry, tmp_path, progress)
    assert folder == tmp_path / "models" / "tiny"
    assert {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"
    }.items() >= FILES.items()
    total = sum(map(len, FILES.values()))
    assert progress.phases == [("fetching", total, "bytes")] and progress.done == total
    assert progress.notes == [f"fetching tiny, {total / 1000:.1f} kB, from {double.url} (once)"]
    made = receipt.read(folder)
    assert made is not None and made.revision == entry.revision and made.source == double.url
    assert {record.checked for record in made.files.values()} == {"catalogue"}
    assert [p.name for p in (tmp_path / "models").iterdir() if p.name.endswith(".part")] == []


def test_what_is_here_is_not_fetched_again(double: HubDouble, entry: Entry, tmp_path: Path) -> None:
    fetch(entry, tmp_path)
    double.asked.clear()
    fetch(entry, tmp_path)
    assert double.asked == []


def test_a_broken_off_file_goes_on_where_it_ended(double: HubDouble, entry: Entry, tmp_path: Path) -> None:
    double.cut[BIG] = (3000, 1)
    progress = Watching()
    folder = fetch(entry, tmp_path, progress)
    assert (folder / BIG).read_bytes() == FILES[BIG]
    first, second = double.gets(BIG)
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=3000-"
    assert second.headers["if-range"] == f'"{hashlib.sha256(FILES[BIG]).hexdigest()}"'
    assert progress.done == sum(map(len, FILES.values()))


def test_an_interrupted_fetch_leaves_only_parts_and_the_next_run_resumes(
    double: HubDouble, entry: Entry, tmp_path: Path
) -> None:
    double.cut[BIG] = (1000, 3)
    with pytest.raises(MissingModelError) as caught:
        fetch(entry, tmp_path)
    assert f"{BIG} broke off after 3000 of {len(FILES[BIG])} bytes" in str(caught.value)
    assert not (tmp_path / "models" / "tiny").exists()
    assert (tmp_path / "models" / ".tiny.part" / f"{BIG}.part").stat().st_size == 3000
    double.asked.clear()
    folder = fetch(entry, tmp_path)
    assert (folder / BIG).read_bytes() == FILES[BIG]
    assert [asked.headers.get("range") for asked in double.gets(BIG)] == ["bytes=3000-"]
    assert double.gets("tokenizer.json") == [], "a finished file was fetched again"


def test_a_file_that_changed_on_the_server_starts_again(double: HubDouble, entry: Entry, tmp_path: Path) -> None:
    part = tmp_path / "models" / ".tiny.part" / f"{BIG}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of another file")
    part.with_name(part.name + ".tag").write_text('"another"')
    assert (fetch(entry, tmp_path) / BIG).read_bytes() == FILES[BIG]
    assert double.gets(BIG)[0].headers["if-range"] == '"another"'


def test_without_a_tag_a_part_is_not_trusted(double: HubDouble, entry: Entry, tmp_path: Path) -> None:
    double.tags = False
    double.cut[BIG] = (3000, 1)
    assert (fetch(entry, tmp_path) / BIG).read_bytes() == FILES[BIG]
    assert [asked.headers.get("range") for asked in double.gets(BIG)] == [None, None]


def test_a_wrong_file_is_named_with_both_sums_and_not_kept(double: HubDouble, entry: Entry, tmp_path: Path) -> None:
    wrong = bytes([FILES[BIG][0] ^ 1]) + FILES[BIG][1:]
    double.files[BIG] = wrong
    with pytest.raises(ModelError) as caught:
        fetch(entry, tmp_path)
    text = str(caught.value)
    assert "tiny: the fetched file does not have the expected SHA-256; it was not kept" in text
    assert hashlib.sha256(wrong).hexdigest() in text and hashlib.sha256(FILES[BIG]).hexdigest() in text
    assert BIG in text and "sememe models pull tiny" in text and caught.value.exit_code == 3
    assert list((tmp_path / "models").rglob(f"{BIG}*")) == []


def test_a_file_without_end_is_stopped_at_its_size(double: HubDouble, entry: Entry, tmp_path: Path) -> None:
    double.endless = True
    progress = Watching()
    with pytest.raises(ModelError, match="does not have the expected SHA-256") as caught:
        fetch(entry, tmp_path, progress)
    assert "expected, " in str(caught.value)
    assert progress.done <= len(FILES["config.json"]), "more was taken than the file may hold"
    assert not (tmp_path / "models" / "tiny").exists()


@pytest.mark.parametrize(("status", "said"), [(401, "a token is needed"), (403, "not granted"), (404, "no such file")])
def test_a_refusal_is_told(status: int, said: str, double: HubDouble, entry: Entry, tmp_path: Path) -> None:
    double.status = status
    progress = Watching()
    with pytest.raises(MissingModelError, match="could not be fetched") as caught:
        fetch(entry, tmp_path, progress)
    assert f"answered {status}" in str(caught.value) and said in str(caught.value)
    assert progress.phases == [], "a bar was drawn before the hub had answered"


def test_a_closed_port_fails_at_once_and_is_told(entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(HubDouble()) as gone:
        pass
    monkeypatch.setenv("HF_ENDPOINT", gone.url)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    with pytest.raises(MissingModelError, match="could not be fetched") as caught:
        fetch(entry, tmp_path)
    assert f"{gone.url} cannot be reached" in str(caught.value)


def test_a_server_that_falls_silent_is_left(
    double: HubDouble, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "READ_SECONDS", 0.2)
    double.silent = True
    with pytest.raises(MissingModelError) as caught:
        fetch(entry, tmp_path)
    assert "it fell silent" in str(caught.value)


def test_the_token_goes_to_the_endpoint_and_not_along_a_redirect(
    double: HubDouble, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    with serving(HubDouble(dict(FILES))) as elsewhere:
        double.away = elsewhere.url
        assert (fetch(entry, tmp_path) / BIG).read_bytes() == FILES[BIG]
        assert {asked.headers.get("authorization") for asked in double.asked} == {f"Bearer {SECRET}"}
        assert [asked.headers.get("authorization") for asked in elsewhere.asked] == [None]


@pytest.mark.parametrize("case", ["unreachable", "refused", "wrong", "cut"])
def test_no_secret_stands_in_an_error_or_a_note(
    case: str, double: HubDouble, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("HF_ENDPOINT", double.url.replace("http://", "http://someone:password9@"))
    progress = Watching()
    with ExitStack() as stack:
        away = stack.enter_context(serving(HubDouble(dict(FILES))))
        double.away = away.url
        if case == "unreachable":
            monkeypatch.setenv("HF_ENDPOINT", "http://someone:password9@127.0.0.1:1")
        elif case == "refused":
            double.status = 401
        elif case == "wrong":
            away.files[BIG] = bytes(len(FILES[BIG]))
        else:
            away.cut[BIG] = (10, 99)
        with pytest.raises((MissingModelError, ModelError)) as caught:
            fetch(entry, tmp_path, progress)
    said = f"{caught.value} {caught.value!r} {progress.notes} {caught.value.__context__!r}"
    assert not [secret for secret in (SECRET, "password9", "Signature") if secret in said], said


def test_a_token_is_not_sent_in_the_clear_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example")
    with hub.connect() as connection:
        assert connection._token == "" and SECRET not in repr(connection)
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    with hub.connect() as connection:
        assert connection._token == SECRET and SECRET not in repr(connection)


def test_what_the_catalogue_does_not_know_is_checked_by_the_hubs_word_and_said(
    double: HubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = known(monkeypatch, entry_for(FILES, pinned=False))
    progress = Watching()
    with serving(HubDouble(dict(FILES))) as elsewhere:
        double.away = elsewhere.url
        folder = fetch(entry, tmp_path, progress)
    made = receipt.read(folder)
    assert made is not None
    assert {path: (record.sha256, record.checked) for path, record in made.files.items()} == {
        path: (hashlib.sha256(content).hexdigest(), "hub") for path, content in FILES.items()
    }
    assert progress.phases == [("fetching", sum(map(len, FILES.values())), "bytes")]
    assert "checked by what the hub itself announces" in progress.notes[-1]


@pytest.mark.parametrize("path", [BIG, "config.json"])
def test_a_file_that_is_not_what_the_hub_announced_is_refused(
    path: str, double: HubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = known(monkeypatch, entry_for({path: FILES[path]}, pinned=False))
    double.wrong_tags = True
    with pytest.raises(ModelError, match="was not kept"):
        fetch(entry, tmp_path)


def test_without_any_checksum_nothing_is_taken(
    double: HubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = known(monkeypatch, entry_for(FILES, pinned=False))
    double.tags = False
    with pytest.raises(MissingModelError) as caught:
        fetch(entry, tmp_path)
    assert "neither the catalogue nor the hub knows a checksum" in str(caught.value)


def test_an_optional_file_may_be_missing_there_but_no_other(
    double: HubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = entry_for(FILES, pinned=False)
    extra = FileSpec("special_tokens_map.json", optional=True)
    entry = known(monkeypatch, replace(plain, files={**plain.files, extra.path: extra}))
    assert not (fetch(entry, tmp_path) / extra.path).exists()
    with pytest.raises(MissingModelError, match="could not be fetched") as caught:
        needed = replace(extra, optional=False)
        fetch(replace(entry, files={**plain.files, extra.path: needed}, name="needy"), tmp_path)
    assert "answered 404 for special_tokens_map.json" in str(caught.value)


def test_a_reason_shows_no_address() -> None:
    said = hub._reason(RuntimeError("cannot read https://host/file?Signature=secret now\nsecond line"))
    assert said == "cannot read … now"


def test_an_endpoint_that_is_no_address_is_told(entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "ftp://mirror")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    with pytest.raises(MissingModelError) as caught:
        fetch(entry, tmp_path)
    assert "HF_ENDPOINT is no http(s) address" in str(caught.value)
