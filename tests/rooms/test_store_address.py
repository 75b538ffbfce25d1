"""Addresses of servers: what is read from them, and that a password is never shown, however it is misspelt."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sememe.errors import MissingExtraError, StoreError, UsageError
from sememe.store.open import create_store, open_store
from sememe.store.servers.address import read_address

END = "?collection=notes"


@pytest.mark.parametrize(
    ("url", "shown", "driver", "secrets"),
    [
        (f"postgresql://anna:se%40cret@db.example:5433/texts{END}", f"postgresql://anna:***@db.example:5433/texts{END}",
         "postgresql://anna:se%40cret@db.example:5433/texts", ("se%40cret", "se@cret")),
        (f"postgresql://db.example/texts{END}", f"postgresql://db.example/texts{END}",
         "postgresql://db.example/texts", ()),
        ("postgresql://anna@/texts?host=%2Frun%2Fpg&password=geheim&collection=notes",
         f"postgresql://anna@/run/pg/texts{END}",
         "postgresql://anna@/texts?host=%2Frun%2Fpg&password=geheim", ("geheim",)),
    ],
)  # fmt: skip
def test_an_address_is_read_and_shown_without_its_password(
    url: str, shown: str, driver: str, secrets: tuple[str, ...]
) -> None:
    address = read_address(url)
    assert (address.shown, repr(address), str(address)) == (shown,) * 3
    assert (address.url, address.collection, address.secrets) == (driver, "notes", secrets)
    assert address.scrubbed("no: se@cret\nse%40cret geheim") == " ".join(
        "***" if secrets and word in secrets else word for word in ["no:", "se@cret", "se%40cret", "geheim"]
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://anna:geh@eim@host/db" + END,
        "postgresql://anna:geh/eim@host/db" + END,
        "postgresql://anna:12/geheim@host/db" + END,
        "postgresql://anna:geh?eim@host/db" + END,
        "postgresql://anna:geh#eim@host/db" + END,
        "postgresql://anna:geh]eim@host/db" + END,
        "postgresql://[anna:geheim@host/db" + END,
        "postgresql://anna:x@host:geheim/db" + END,
        "postgresql://anna:x@host/db?geheim",
        "postgresql://anna:x@host/db?collection=notes#geheim",
    ],
)
def test_a_misspelt_address_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_address(url)
    assert "eim" not in "".join(traceback.format_exception(caught.value))
    assert "%40" in str(caught.value)


@given(st.text(max_size=8), st.text(min_size=6, max_size=12), st.text(max_size=8))
def test_any_password_stays_hidden(user: str, password: str, host: str) -> None:
    url = f"postgresql://{user}:{password}@{host}/db{END}"
    try:
        said = repr(read_address(url))
    except UsageError as error:
        said = str(error)
    if not any(password in harmless for harmless in (user, host, str(open_error()))):
        assert password not in said


def open_error() -> UsageError:
    with pytest.raises(UsageError) as caught:
        read_address("postgresql://[/")
    return caught.value


@pytest.mark.parametrize("name", ["", "Notes", "a b", "a.b", 'x"; DROP SCHEMA public; --', "ä", "x" * 57, "../x"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="collection"):
        read_address("postgresql://host/db", collection=name)


def test_a_name_is_said_once() -> None:
    assert read_address("postgresql://host/db", collection="notes").collection == "notes"
    with pytest.raises(UsageError, match="collection"):
        read_address("postgresql://host/db?collection=a&collection=b")


def test_a_path_is_a_store_in_a_folder(tmp_path: Path) -> None:
    made = create_store(tmp_path / "s", dim=3, manifest={"encoder": "x"})
    made.close()
    opened = open_store(str(tmp_path / "s"))
    assert (opened.dim, opened.manifest) == (3, made.manifest)
    opened.close()
    with pytest.raises(StoreError):
        open_store(tmp_path / "other")


@pytest.mark.parametrize("scheme", ["postgressql", "postgre", "POSTGRESQLS", "weaviate", "https"])
@pytest.mark.parametrize("do", [open_store, lambda url: create_store(url, dim=3)])
def test_an_unknown_scheme_names_the_extra(scheme: str, do: object) -> None:
    with pytest.raises(UsageError) as caught:
        do(f"{scheme}://anna:geheim@host/db")  # type: ignore[operator]
    assert 'pip install "sememe[postgres]"' in str(caught.value)
    assert ("did you mean:" in str(caught.value)) == ("post" in scheme.lower())
    assert "geheim" not in str(caught.value)


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"sememe\[postgres\]"):
        open_store(f"postgresql://host/db{END}")
