"""What can be set, where it came from, and which place wins.

A value is looked for in this order, and the first place that has it wins:

    a flag  >  SEMEME_* in the environment  >  ./sememe.toml, or [tool.sememe] in ./pyproject.toml
            >  the user's config.toml  >  built in

Every value remembers its place, so that ``sememe config list`` can say not only what is set but why. A file may hold
only keys that are listed here: a misspelt key is an error with its line, never ignored.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sememe.errors import DataError, UsageError

BUILT_IN = "built in"
PRECISIONS = ("auto", "f32", "bf16", "int8")
MODES = ("hybrid", "dense", "words")
VECTORS = ("float32", "float16", "int8", "binary")
INDEXES = ("codes", "hnsw", "ivf")
CACHES = ("auto", "on", "off")


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: its dotted name, its value when nobody says anything, and what is accepted."""

    name: str
    default: Any
    read: Callable[[Any], Any]
    accepts: str
    about: str

    @property
    def env(self) -> str:
        """The environment variable: ``chunk.size`` is ``SEMEME_CHUNK_SIZE``."""
        return "SEMEME_" + self.name.replace(".", "_").upper()


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one run. ``origins`` says for each key's name where its value came from."""

    model: str
    home: Path
    offline: bool
    threads: int
    precision: str
    chunk_size: int
    chunk_overlap: int
    vectors: str
    index: str
    dims: int
    search_mode: str
    search_k: int
    cache_mode: str
    cache_size: int
    origins: Mapping[str, str]

    def get(self, name: str) -> Any:
        """The value of a dotted name, such as ``"chunk.size"``; an unknown name raises `UsageError`."""
        return getattr(self, _attribute(find_key(name).name))

    @property
    def models_dir(self) -> Path:
        """Where fetched models are kept."""
        return self.home / "models"

    @property
    def collections_dir(self) -> Path:
        """Where collections are kept, one folder each."""
        return self.home / "collections"


def load(flags: Mapping[str, object] | None = None, *, folder: Path | None = None) -> Settings:
    """Read every place and decide each key.

    Args:
        flags: values given on the command line by dotted name; None means "not given".
        folder: where ``sememe.toml`` and ``pyproject.toml`` are looked for; the working directory if None.

    Raises:
        UsageError: an unknown key, or a value that the key does not accept; the message names the place.
        DataError: a settings file that is not TOML.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    for name in given:
        find_key(name)
    files = [
        *_project_files(folder if folder is not None else Path.cwd()),
        (user_file(), _read_table(user_file(), ())),
    ]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key in KEYS:
        values[_attribute(key.name)], origins[key.name] = _decide(key, given, files)
    if values["chunk_overlap"] >= values["chunk_size"]:
        raise UsageError(
            "chunk.overlap must be smaller than chunk.size",
            why=[(k, f"{values[_attribute(k)]}  ({origins[k]})") for k in ("chunk.size", "chunk.overlap")],
            do=["lower the overlap, or raise the size"],
        )
    return Settings(**values, origins=origins)


def user_file() -> Path:
    """The user's own settings file; it need not exist."""
    import platformdirs

    return platformdirs.user_config_path("sememe", appauthor=False) / "config.toml"


def find_key(name: str, *, place: str = "") -> Key:
    """The key of a dotted name; a name that does not exist is answered with the nearest one."""
    for key in KEYS:
        if key.name == name:
            return key
    names = [key.name for key in KEYS]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    raise UsageError(
        f'{place + ": " if place else ""}there is no setting "{name}"',
        why=[f"the settings are: {', '.join(names)}"],
        do=[f'did you mean "{near[0]}"?'] if near else ["see them all with:  sememe config list"],
    )


def check_value(key: Key, value: object, place: str) -> Any:
    """``value`` as the key's own type, or a `UsageError` that says what the key accepts."""
    try:
        return key.read(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"{place}: {key.name} = {value!r} is not accepted",
            do=[f"{key.name} takes {key.accepts}"],
        ) from None


def write_user(name: str, text: str) -> Path:
    """Set one key in the user's file, keeping its other lines and comments; says which file that is.

    ``text`` is what a person typed: it is checked as the key's own type first.
    """
    key = find_key(name)
    value = check_value(key, text, "config set")
    path = user_file()
    _read_table(path, ())  # a file with mistakes is not written over
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    section, _, last = name.rpartition(".")
    written = f"{last} = {_toml(value)}"
    begin, end = _section_bounds(lines, section)
    same = [n for n in range(begin, end) if re.match(rf'\s*"?{re.escape(last)}"?\s*=', lines[n])]
    if same:
        lines[same[0]] = written
    elif section and begin > len(lines):
        lines += ["", f"[{section}]", written] if lines else [f"[{section}]", written]
    else:
        lines.insert(begin, written)
    text = "\n".join(lines) + "\n"
    if not _says(text, name, value):  # the file spells its keys in a way that a line of ours would contradict
        raise UsageError(f"{path} cannot be changed by machine without breaking it", do=[("write there", written)])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, "utf-8")
    partial.replace(path)
    return path


def _says(text: str, name: str, value: object) -> bool:
    import tomllib

    try:
        return dict(_flatten(tomllib.loads(text))).get(name) == (str(value) if isinstance(value, Path) else value)
    except tomllib.TOMLDecodeError:
        return False


def _section_bounds(lines: list[str], section: str) -> tuple[int, int]:
    """The lines of a TOML table, header excluded; a start beyond the end says that there is no such table."""
    headers = [(n, line.strip().strip("[] ")) for n, line in enumerate(lines) if line.lstrip().startswith("[")]
    starts = [(-1, ""), *headers]
    for (at, title), following in zip(starts, [n for n, _ in headers] + [len(lines)], strict=True):
        if title == section:
            return at + 1, following
    return len(lines) + 1, len(lines) + 1


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    # JSON's escapes are all legal in a basic TOML string.
    return json.dumps(str(value), ensure_ascii=False)


def unknown_environment() -> list[str]:
    """Variables that begin with ``SEMEME_`` and mean nothing to sememe, most likely misspelt."""
    known = {key.env for key in KEYS} | {"SEMEME_DEBUG", "SEMEME_SERVER_TOKEN"}
    return sorted(name for name in os.environ if name.startswith("SEMEME_") and name not in known)


def _decide(key: Key, flags: Mapping[str, object], files: list[tuple[Path, dict[str, Any]]]) -> tuple[Any, str]:
    if key.name in flags:
        return check_value(key, flags[key.name], "flag"), "flag"
    if os.environ.get(key.env):
        return check_value(key, os.environ[key.env], key.env), f"{key.env} in the environment"
    if key.name == "offline" and os.environ.get("HF_HUB_OFFLINE"):
        # The hub's own variable is honoured: who set it does not want the network to be used.
        return check_value(key, os.environ["HF_HUB_OFFLINE"], "HF_HUB_OFFLINE"), "HF_HUB_OFFLINE in the environment"
    for path, table in files:
        if key.name in table:
            value = check_value(key, table[key.name], str(path))
            # A relative folder in a file is meant from where the file stands.
            return (path.parent / value if key.name == "home" else value), str(path)
    return key.read(key.default() if callable(key.default) else key.default), BUILT_IN


def _project_files(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    own, shared = folder / "sememe.toml", folder / "pyproject.toml"
    return [(own, _read_table(own, ())), (shared, _read_table(shared, ("tool", "sememe")))]


def _read_table(path: Path, under: tuple[str, ...]) -> dict[str, Any]:
    """The settings of one file by dotted name; a file that is not there has none."""
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DataError(f"{path} cannot be read", why=[str(error.strerror)]) from None
    # Another project's pyproject.toml is none of our business, broken or not.
    if under and b"sememe" not in raw:
        return {}
    import tomllib

    try:
        text = raw.decode("utf-8")
        table = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path} is not valid TOML", why=[str(error)], do=["mend the file, or remove it"]) from None
    for name in under:
        inner = table.get(name, {})
        table = inner if isinstance(inner, dict) else {}
    flat: dict[str, Any] = {}
    for name, value in _flatten(table):
        find_key(name, place=f"{path}{_line_of(text, name)}")
        flat[name] = value
    return flat


def _flatten(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in table.items():
        if isinstance(value, dict):
            pairs += _flatten(value, f"{prefix}{name}.")
        else:
            pairs.append((prefix + name, value))
    return pairs


def _line_of(text: str, name: str) -> str:
    """`` line 7``, when the last part of the name stands at the beginning of exactly one line."""
    start = re.compile(rf'\s*"?([\w.]+\.)?{re.escape(name.rpartition(".")[2])}"?\s*=')
    lines = [number for number, line in enumerate(text.splitlines(), 1) if start.match(line)]
    return f" line {lines[0]}" if len(lines) == 1 else ""


def _attribute(name: str) -> str:
    return name.replace(".", "_")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


def _folder(value: object) -> Path:
    if isinstance(value, Path):
        return value
    return Path(_text(value)).expanduser()


def _yes_or_no(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else None
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError


def _whole(least: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError
        number = int(value)
        if number < least:
            raise ValueError
        return number

    return read


def _one_of(choices: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    return read


def _user_data() -> Path:
    import platformdirs

    return platformdirs.user_data_path("sememe", appauthor=False)


KEYS: tuple[Key, ...] = (
    Key("model", "all-MiniLM-L6-v2", _text, "a model's name, or a folder", "the encoder of new collections"),
    Key("home", _user_data, _folder, "a folder", "where models and collections are kept"),
    Key("offline", False, _yes_or_no, "true or false", "never use the network"),
    Key("threads", 0, _whole(0), "a whole number, 0 for all cores", "processor threads for encoding"),
    Key("precision", "auto", _one_of(PRECISIONS), f"one of: {', '.join(PRECISIONS)}", "arithmetic of the encoder"),
    Key("chunk.size", 256, _whole(8), "a whole number of tokens, at least 8", "tokens in a chunk"),
    Key("chunk.overlap", 32, _whole(0), "a whole number of tokens, 0 or more", "tokens that two neighbours share"),
    Key("vectors", "float32", _one_of(VECTORS), "one of: " + ", ".join(VECTORS), "how new collections keep vectors"),
    Key("index", "codes", _one_of(INDEXES), "one of: " + ", ".join(INDEXES), "how new collections find vectors"),
    Key("dims", 0, _whole(0), "a whole number, 0 for all", "cut the vectors of an encoder to so many numbers"),
    Key("search.mode", "hybrid", _one_of(MODES), "one of: hybrid, dense, words", "how hits are found"),
    Key("search.k", 10, _whole(1), "a whole number, at least 1", "how many hits are shown"),
    Key("cache.mode", "auto", _one_of(CACHES), "one of: " + ", ".join(CACHES), "remember vectors; auto: hosted ones"),
    Key("cache.size", 1000, _whole(1), "a whole number of megabytes", "how large the file of kept vectors may be"),
)
