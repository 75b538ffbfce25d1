"""Folders into files: order, names, ignore files, links, and everything that is no file."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.errors import DataError, UsageError
from sememe.readers.walk import Walk, printable, walk
from sememe.shapes import Skipped


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"this is {name}\n")
    return root


def names(found: Walk) -> list[str]:
    return [source.name for source in found.files]


def test_names_begin_with_the_given_folder_and_are_sorted(tmp_path: Path) -> None:
    root = put(tmp_path / "notes", "b.md", "a/z.md", "a.md", "a/b/c.txt")
    found = walk([root])
    assert names(found) == ["notes/a.md", "notes/a/b/c.txt", "notes/a/z.md", "notes/b.md"]
    assert found.files[0].path.read_text() == "this is a.md\n"
    assert found.files[0].size == 13
    assert found.files[0].mtime_ns == (root / "a.md").stat().st_mtime_ns
    assert not found.files[0].named


def test_a_given_file_is_called_by_its_name_and_known_as_given(tmp_path: Path) -> None:
    root = put(tmp_path, "notes/a.md")
    found = walk(root / "notes" / "a.md")
    assert names(found) == ["a.md"]
    assert found.files[0].named


def test_the_current_folder_and_dots_are_named_by_the_real_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "notes", "a.md", "deep/b.md")
    monkeypatch.chdir(tmp_path / "notes" / "deep")
    assert names(walk(["."])) == ["deep/b.md"]
    assert names(walk([".."])) == ["notes/a.md", "notes/deep/b.md"]
    assert names(walk(["../../notes/a.md"])) == ["a.md"]


def test_two_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    put(tmp_path, "x/docs/a.md", "y/docs/a.md")
    assert names(walk([tmp_path / "x/docs", tmp_path / "y/docs"])) == ["x/docs/a.md", "y/docs/a.md"]


def test_a_file_reached_by_two_arguments_is_read_once(tmp_path: Path) -> None:
    root = put(tmp_path / "n", "a.md", "sub/b.md")
    assert names(walk([root, root / "sub", root / "a.md", root])) == ["n/a.md", "n/sub/b.md"]


def test_what_is_skipped_is_named_once(tmp_path: Path) -> None:
    root = put(tmp_path / "n", "sub/b.md", "sub/.hidden")
    os.mkfifo(root / "sub" / "pipe")
    found = walk([root, root / "sub"])
    assert found.skipped == (Skipped("n/sub/pipe", "not a file but a pipe"),)
    assert found.ignored == 1


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert walk([tmp_path]) == Walk(())


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file or folder"):
        walk([tmp_path / "nothing.txt"])


def test_hidden_names_stay_out_unless_asked_for(tmp_path: Path) -> None:
    root = put(tmp_path / "n", "a.md", ".secret.md", ".hid/b.md", ".git/config", "sub/.git")
    found = walk([root])
    assert names(found) == ["n/a.md"]
    assert found.ignored == 4
    assert names(walk([root], hidden=True)) == ["n/.hid/b.md", "n/.secret.md", "n/a.md"]
    assert names(walk([root / ".hid"])) == [".hid/b.md"]
    assert names(walk([root / ".secret.md"])) == [".secret.md"]


def test_ignore_files_hold_from_their_own_folder_and_deeper_ones_win(tmp_path: Path) -> None:
    root = put(
        tmp_path / "n", "a.log", "keep.log", "sub/b.log", "sub/c.tmp", "build/x.md", "sub/build/y.md", "only/x.md"
    )
    (root / ".gitignore").write_text("*.log\n!keep.log\n/build/\nonly\n")
    (root / "sub" / ".gitignore").write_text("!b.log\n*.tmp\n")
    found = walk([root])
    assert names(found) == ["n/keep.log", "n/sub/b.log", "n/sub/build/y.md"]
    assert found.ignored == 6  # two ignore files, a.log, sub/c.tmp, build, only


def test_sememeignore_has_the_last_word(tmp_path: Path) -> None:
    root = put(tmp_path / "n", "a.log", "draft.md", "b.md")
    (root / ".gitignore").write_text("*.log\n")
    (root / ".sememeignore").write_text("draft.*\n!a.log\n")
    assert names(walk([root])) == ["n/a.log", "n/b.md"]


def test_a_part_of_a_repository_obeys_the_repository(tmp_path: Path) -> None:
    root = put(tmp_path / "repo", "docs/a.md", "docs/out/b.md", ".git/config")
    (root / ".gitignore").write_text("out/\n")
    (tmp_path / ".gitignore").write_text("*\n")  # outside of the repository, so it does not count
    assert names(walk([root / "docs"])) == ["docs/a.md"]


def test_a_given_folder_is_read_although_it_is_ignored(tmp_path: Path) -> None:
    root = put(tmp_path / "repo", "out/a.md", "out/deep/b.md", "out/c.log", ".git/config")
    (root / ".gitignore").write_text("out/\n")
    (root / "out" / ".gitignore").write_text("*.log\n")
    assert names(walk([root / "out"])) == ["out/a.md", "out/deep/b.md"]
    assert names(walk([root / "out" / "deep"])) == ["deep/b.md"]
    assert names(walk([root])) == []
    (root / ".gitignore").write_text("*\n")
    assert names(walk([root / "out"])) == ["out/a.md", "out/deep/b.md"]


def test_taking_back_a_folder_does_not_take_back_its_files(tmp_path: Path) -> None:
    root = put(tmp_path / "n", "sub/deep/a.md", "sub/deep/b.txt", "all/x/a.md", "all/keep.md")
    (root / ".gitignore").write_text("*.md\n!all/*.md\nall/**\n!all/keep.md\n")
    (root / "sub" / ".gitignore").write_text("!deep/\n")
    assert names(walk([root])) == ["n/all/keep.md", "n/sub/deep/b.txt"]


def test_a_given_file_is_read_although_it_is_ignored(tmp_path: Path) -> None:
    root = put(tmp_path / "n", "a.log")
    (root / ".gitignore").write_text("*.log\n")
    assert names(walk([root / "a.log"])) == ["a.log"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@settings(max_examples=20, deadline=None)
@given(
    lines=st.lists(
        st.sampled_from(
            [
                "*.md",
                "!a.md",
                "/sub",
                "sub/",
                "sub/*",
                "!sub/b.md",
                "**/deep",
                "deep/**",
                "sub/**",
                "!sub/deep/",
                "!sub/deep/**",
                "sub/deep",
                "!sub/deep/a.md",
                "a*",
                "# x",
                "[ab].md",
                "\\!x",
            ]
        ),
        max_size=6,
    ),
    inner=st.lists(
        st.sampled_from(
            ["*", "!*.md", "b.md", "/deep", "!deep/", "deep/a.md", "deep/**", "!deep/a.md", "a.*", "**", "!*/"]
        ),
        max_size=3,
    ),
)
def test_ignoring_agrees_with_git(tmp_path_factory: pytest.TempPathFactory, lines: list[str], inner: list[str]) -> None:
    root = put(
        tmp_path_factory.mktemp("g") / "n", "a.md", "b.md", "c.txt", "sub/a.md", "sub/b.md", "sub/deep/a.md", "deep/x"
    )
    (root / ".gitignore").write_text("\n".join(lines))
    (root / "sub" / ".gitignore").write_text("\n".join(inner))
    git = ["git", "-c", "core.excludesFile=/dev/null", "-C", str(root)]
    subprocess.run([*git, "init", "-q"], check=True)
    listed = subprocess.run([*git, "ls-files", "-co", "--exclude-standard"], check=True, capture_output=True, text=True)
    expected = sorted(f"n/{line}" for line in listed.stdout.splitlines() if "/." not in f"/{line}")
    assert names(walk([root])) == expected


def test_a_broken_or_hostile_pattern_is_named_and_the_others_hold(tmp_path: Path) -> None:
    root = put(tmp_path / "n", "a.log", "b.md")
    (root / ".gitignore").write_text("!\n" + "*a" * 30 + "\n*.log\n")
    found = walk([root])
    assert names(found) == ["n/b.md"]
    assert any("too many wildcards" in note for note in found.notes)


def test_a_pipe_called_gitignore_does_not_hold_up_the_walk(tmp_path: Path) -> None:
    root = put(tmp_path / "n", "b.md")
    os.mkfifo(root / ".gitignore")
    assert names(walk([root])) == ["n/b.md"]


def test_glob_picks_files_and_takes_back(tmp_path: Path) -> None:
    root = put(tmp_path / "n", "a.md", "b.txt", "sub/c.md", "sub/d.txt", "old/e.md")
    assert names(walk([root], glob=["*.md"])) == ["n/a.md", "n/old/e.md", "n/sub/c.md"]
    assert names(walk([root], glob=["**/*.md", "!old/"])) == ["n/a.md", "n/sub/c.md"]
    assert names(walk([root], glob=["!*.md"])) == ["n/b.txt", "n/sub/d.txt"]
    assert names(walk([root / "a.md"], glob=["*.txt"])) == []
    assert walk([root], glob=["*.md"]).ignored == 2


def test_a_glob_that_means_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="glob"):
        walk([tmp_path], glob=["!"])


def test_a_loop_of_links_ends_and_real_names_win(tmp_path: Path) -> None:
    root = put(tmp_path / "n", "z/a.md")
    (root / "z" / "up").symlink_to(root)
    (root / "again").symlink_to(root / "z")
    (root / "same.md").symlink_to(root / "z" / "a.md")
    (root / "self").symlink_to(root / "self")
    found = walk([root])
    assert names(found) == ["n/z/a.md"]
    assert [skipped.source for skipped in found.skipped] == ["n/self"]
    assert len([note for note in found.notes if "link to something that was read already" in note]) == 3


def test_a_link_to_an_unread_part_of_the_tree_is_followed_once(tmp_path: Path) -> None:
    root = put(tmp_path / "n", ".v2/a.md")
    (root / "latest").symlink_to(".v2")
    (root / "newest").symlink_to(".v2")
    assert names(walk([root])) == ["n/latest/a.md"]


def test_links_that_leave_the_tree_or_lead_nowhere_are_named(tmp_path: Path) -> None:
    put(tmp_path / "outside", "secret.md")
    root = put(tmp_path / "out", "a.md")
    (root / "leak").symlink_to("../outside")
    (root / "leak.md").symlink_to("../outside/secret.md")
    (root / "gone.md").symlink_to("nothing")
    found = walk([root])
    assert names(found) == ["out/a.md"]
    reasons = {skipped.source: skipped.reason for skipped in found.skipped}
    assert reasons["out/gone.md"] == "a link to nothing"
    assert reasons["out/leak"] == f"a link out of the folder, to {tmp_path / 'outside'}"
    assert reasons["out/leak.md"].startswith("a link out of the folder")


def test_a_given_link_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "real", "a.md")
    (tmp_path / "link").symlink_to("real")
    assert names(walk([tmp_path / "link"])) == ["link/a.md"]


def test_special_files_are_named(tmp_path: Path) -> None:
    root = put(tmp_path / "n", "a.md")
    os.mkfifo(root / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "sock"))
        found = walk([root])
    assert found.skipped == (
        Skipped("n/pipe.txt", "not a file but a pipe"),
        Skipped("n/sock", "not a file but a socket"),
    )
    assert walk([root / "pipe.txt"]).skipped == (Skipped("pipe.txt", "not a file but a pipe"),)


def test_a_folder_without_permission_is_named_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = put(tmp_path / "n", "a.md", "shut/b.md")
    real = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = walk([root])
    assert names(found) == ["n/a.md"]
    assert found.skipped == (Skipped("n/shut", "permission denied"),)


def test_odd_names_are_shown_as_text(tmp_path: Path) -> None:
    root = put(tmp_path / "n", "a\nb\x1b[2J.txt", "täg.txt")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.txt")).write_text("odd")
    found = walk([root])
    assert names(found) == ["n/\\xff.txt", "n/a\\nb\\x1b[2J.txt", "n/täg.txt"]
    assert all(source.path.exists() for source in found.files)


@given(st.text())
def test_printable_is_always_storable_and_on_one_line(name: str) -> None:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return
    shown = printable(name)
    assert shown.isprintable()
    assert shown.encode("utf-8").decode("utf-8") == shown


def test_hundreds_of_folders_deep(tmp_path: Path) -> None:
    deep = tmp_path / "n"
    for _ in range(400):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "a.md").write_text("deep")
    assert len(walk([tmp_path / "n"]).files) == 1
