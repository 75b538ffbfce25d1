"""Settings: the order of the places, the memory of where a value came from, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sememe import settings
from sememe.errors import DataError, UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEMEME_HOME", raising=False)
    return tmp_path


def write_user(text: str) -> Path:
    path = settings.user_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_without_any_place_everything_is_built_in(folder: Path) -> None:
    got = settings.load()
    assert (got.model, got.offline, got.threads, got.precision) == ("all-MiniLM-L6-v2", False, 0, "auto")
    assert (got.chunk_size, got.chunk_overlap, got.search_mode, got.search_k) == (256, 32, "hybrid", 10)
    assert set(got.origins.values()) == {"built in"}
    assert got.home.is_absolute()
    assert got.models_dir == got.home / "models"


def test_each_place_wins_over_the_ones_below_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = write_user("[search]\nk = 1\n")
    assert (settings.load().search_k, settings.load().origins["search.k"]) == (1, str(user))

    (folder / "pyproject.toml").write_text('[project]\nname = "other"\n[tool.sememe.search]\nk = 2\n')
    assert (settings.load().search_k, settings.load().origins["search.k"]) == (2, str(folder / "pyproject.toml"))

    (folder / "sememe.toml").write_text("search.k = 3\n")
    assert (settings.load().search_k, settings.load().origins["search.k"]) == (3, str(folder / "sememe.toml"))

    monkeypatch.setenv("SEMEME_SEARCH_K", "4")
    assert (settings.load().search_k, settings.load().origins["search.k"]) == (4, "SEMEME_SEARCH_K in the environment")

    got = settings.load({"search.k": 5, "threads": None})
    assert (got.search_k, got.origins["search.k"], got.origins["threads"]) == (5, "flag", "built in")


def test_the_hubs_own_offline_variable_counts_but_ours_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    got = settings.load()
    assert got.offline is True
    assert got.origins["offline"] == "HF_HUB_OFFLINE in the environment"
    monkeypatch.setenv("SEMEME_OFFLINE", "0")
    assert settings.load().offline is False


def test_home_expands_the_tilde_and_is_relative_to_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMEME_HOME", "~/somewhere")
    assert settings.load().home == Path.home() / "somewhere"
    monkeypatch.delenv("SEMEME_HOME")
    (folder / "sememe.toml").write_text('home = "data"\n')
    assert settings.load().home == folder / "data"


def test_a_misspelt_key_names_file_line_and_neighbour(folder: Path) -> None:
    (folder / "sememe.toml").write_text('model = "x"\n\n[chunk]\nsise = 12\n')
    with pytest.raises(UsageError) as caught:
        settings.load()
    assert caught.value.what == f'{folder / "sememe.toml"} line 4: there is no setting "chunk.sise"'
    assert caught.value.do == ('did you mean "chunk.size"?',)


@pytest.mark.parametrize(
    ("name", "value", "accepts"),
    [
        ("threads", "many", "a whole number, 0 for all cores"),
        ("threads", "-1", "a whole number, 0 for all cores"),
        ("offline", "perhaps", "true or false"),
        ("precision", "f16", "one of: auto, f32, bf16, int8"),
        ("search.mode", "fuzzy", "one of: hybrid, dense, words"),
        ("search.k", "0", "a whole number, at least 1"),
        ("chunk.size", "1.5", "a whole number of tokens, at least 8"),
        ("model", " ", "a model's name, or a folder"),
    ],
)
def test_a_bad_value_says_what_is_accepted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, accepts: str
) -> None:
    variable = settings.find_key(name).env
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as caught:
        settings.load()
    assert caught.value.what == f"{variable}: {name} = {value!r} is not accepted"
    assert caught.value.do == (f"{name} takes {accepts}",)


@pytest.mark.parametrize("text", ['threads = "x"', "threads = true", "threads = [1]", "threads = 1.5", "offline = 1"])
def test_a_value_of_another_type_in_a_file_is_refused(folder: Path, text: str) -> None:
    (folder / "sememe.toml").write_text(text)
    with pytest.raises(UsageError, match="is not accepted"):
        settings.load()


def test_overlap_must_be_smaller_than_size_and_both_places_are_named(folder: Path) -> None:
    (folder / "sememe.toml").write_text("chunk.size = 32\n")
    with pytest.raises(UsageError, match="overlap must be smaller") as caught:
        settings.load()
    assert caught.value.why == (
        ("chunk.size", f"32  ({folder / 'sememe.toml'})"),
        ("chunk.overlap", "32  (built in)"),
    )


@pytest.mark.parametrize("junk", [b"model = ", b"\xff\xfe\x00", b"[chunk\nsize=1", b"a = 1\na = 2"])
def test_a_broken_file_is_named(folder: Path, junk: bytes) -> None:
    (folder / "sememe.toml").write_bytes(junk)
    with pytest.raises(DataError, match="not valid TOML") as caught:
        settings.load()
    assert str(folder / "sememe.toml") in caught.value.what


def test_another_projects_broken_pyproject_is_left_alone(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project\nname = ")
    assert settings.load().search_k == 10


def test_unknown_flags_and_variables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r'no setting "search\.kk"'):
        settings.load({"search.kk": 3})
    monkeypatch.setenv("SEMEME_MODLE", "x")
    monkeypatch.setenv("SEMEME_DEBUG", "1")
    assert settings.unknown_environment() == ["SEMEME_MODLE"]


def test_get_by_dotted_name(folder: Path) -> None:
    assert settings.load({"chunk.size": 64}).get("chunk.size") == 64
    with pytest.raises(UsageError, match='did you mean "model"'):
        settings.load().get("modle")


def test_write_keeps_comments_and_other_lines(folder: Path) -> None:
    path = write_user('# mine\nmodel = "a"  # an encoder\n\n[chunk]\n# tokens\nsize = 128\n\n[search]\nk = 3\n')
    for name, value in [("chunk.size", "64"), ("chunk.overlap", "8"), ("threads", "2"), ("search.mode", "words")]:
        assert settings.write_user(name, value) == path
    text = path.read_text("utf-8")
    assert {"# mine", "# tokens", "k = 3", 'model = "a"  # an encoder'} <= set(text.splitlines())
    got = settings.load()
    assert (got.model, got.chunk_size, got.chunk_overlap, got.threads) == ("a", 64, 8, 2)
    assert (got.search_mode, got.search_k) == ("words", 3)


def test_write_checks_first_and_leaves_the_file(folder: Path) -> None:
    path = write_user("search.k = 3\n")
    with pytest.raises(UsageError, match="is not accepted"):
        settings.write_user("search.k", "none")
    # The dotted spelling above and a table of ours would contradict each other.
    with pytest.raises(UsageError, match="cannot be changed by machine"):
        settings.write_user("search.k", "4")
    assert path.read_text("utf-8") == "search.k = 3\n"
    assert list(path.parent.iterdir()) == [path]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip))
def test_any_text_that_is_written_reads_back(text: str) -> None:
    settings.user_file().unlink(missing_ok=True)
    settings.write_user("model", text)
    assert settings.load(folder=settings.user_file().parent / "nowhere").model == text


def test_reading_settings_without_files_loads_no_toml_reader(folder: Path) -> None:
    import subprocess

    code = "import sys; from sememe import settings; settings.load(); assert 'tomllib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
