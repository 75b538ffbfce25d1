"""How much disk the base installation takes: installs it into a scratch environment and weighs every package.

The bound is a promise of the README. `python .ci/size.py [--keep FOLDER]` prints the table, and fails above the bound.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

BOUND_MB = 450
ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="make the environment here and leave it")
    keep = parser.parse_args().keep
    if keep:
        return weigh(keep)
    with tempfile.TemporaryDirectory(prefix="sememe-size-") as folder:
        return weigh(Path(folder) / "env")


def weigh(folder: Path) -> int:
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    site = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    before = {path.name for path in site.iterdir()}
    subprocess.run([python, "-m", "pip", "install", "-q", str(ROOT)], check=True)
    sizes = sorted(
        ((size_of(path) / 1e6, path.name) for path in site.iterdir() if path.name not in before), reverse=True
    )
    total = sum(size for size, _ in sizes)
    print(f"{'MB':>8}  package")
    for size, name in sizes[:15]:
        print(f"{size:8.1f}  {name}")
    rest = sizes[15:]
    print(f"{sum(size for size, _ in rest):8.1f}  {len(rest)} others")
    print(f"{total:8.1f}  in all, bound {BOUND_MB} MB")
    return 0 if total <= BOUND_MB else 1


def size_of(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())


if __name__ == "__main__":
    sys.exit(main())
