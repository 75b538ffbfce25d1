"""What all tests stand on: nobody's own settings reach a test, and a test says so when the model is not here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every machine and in every run, and no word about how long one takes.
settings.register_profile(
    "sememe", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("sememe")

DEFAULT_MODEL = "all-MiniLM-L6-v2"

#: the person's own home of sememe, from before any test changed the environment
_OWN_HOME = os.environ.get("SEMEME_HOME")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith("SEMEME_") or name in ("HF_HUB_OFFLINE", "NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    if _OWN_HOME:
        monkeypatch.setenv("SEMEME_HOME", _OWN_HOME)


@pytest.fixture(scope="session")
def models_folder() -> Path:
    """The person's models; skips where the default model was never fetched."""
    import platformdirs

    own = Path(_OWN_HOME) if _OWN_HOME else platformdirs.user_data_path("sememe", appauthor=False)
    if not (own / "models" / DEFAULT_MODEL / "model.safetensors").is_file():
        pytest.skip(f"{DEFAULT_MODEL} is not on disk; fetch it with: sememe models pull {DEFAULT_MODEL}")
    return own / "models"


@pytest.fixture
def home(tmp_path: Path, models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own for one test, with the person's models and no collections."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "models").symlink_to(models_folder, target_is_directory=True)
    monkeypatch.setenv("SEMEME_HOME", str(folder))
    monkeypatch.setenv("SEMEME_OFFLINE", "1")
    yield folder
