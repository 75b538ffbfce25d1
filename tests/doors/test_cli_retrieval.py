"""search and similar as processes: pages, groups, ranges, facets, neighbours."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sememe.encoders.reranker import load_reranker
from tests.doors.conftest import Ran, Run, environment
from tests.oracle import tiny_folders

pytestmark = pytest.mark.model

SUBJECTS = ("the broken kettle", "a lost parcel", "the leaking roof", "a late train")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Path:
    """A home with the collection `letters`: a table of twelve rows and one long text; only read by the tests."""
    folder = tmp_path_factory.mktemp("desk")
    rows = ["id,body,lang,year"]
    for n in range(12):
        rows.append(
            f"{n},Letter {n} about {SUBJECTS[n % 4]} and the money for it,{('en', 'de')[n % 3 == 0]},{2000 + n % 2}"
        )
    (folder / "letters.csv").write_text("\n".join(rows) + "\n")
    parts = [f"Chapter {n} tells of {SUBJECTS[n % 4]}. " + f"It was day {n} of the long story. " * 30 for n in range(5)]
    (folder / "story.txt").write_text("\n\n".join(parts))
    (folder / "home").mkdir()
    (folder / "home" / "models").symlink_to(models_folder)
    command = [sys.executable, "-m", "sememe", "index", "letters.csv", "story.txt", "-c", "letters", "-d", "home"]
    command += ["--text", "body", "--id", "id", "--chunk", "64/8"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment())
    return folder


@pytest.fixture
def at_desk(desk: Path, run: Run) -> Run:
    def go(*arguments: str, **more: object) -> Ran:
        env = {"SEMEME_HOME": str(desk / "home"), "SEMEME_OFFLINE": "1"}
        return run(*arguments, **{"cwd": desk, "env": env, **more})

    return go


def found(ran: Ran) -> dict[str, object]:
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_pages_follow_each_other(at_desk: Run) -> None:
    ask = ("search", "money for the kettle", "-c", "letters", "--json", "--where", 'source like "%.csv%"')
    whole = found(at_desk(*ask, "--all"))
    assert (len(whole["hits"]), whole["cursor"]) == (12, None)
    first = found(at_desk(*ask, "-k", "5"))
    second = found(at_desk(*ask, "-k", "100", "--after", first["cursor"]))
    assert first["hits"] + second["hits"] == whole["hits"]
    assert second["cursor"] is None
    ran = at_desk("search", "roof", "-c", "letters", "--after", first["cursor"])
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: this cursor belongs to another question\n")


def test_the_way_on_is_said_to_who_turns_pages(at_desk: Run) -> None:
    ask = ("search", "kettle", "-c", "letters", "--mode", "dense", "-k", "3")
    assert "more:" not in at_desk(*ask).err
    (cursor,) = re.findall(r"^more:  --after (\S+)$", at_desk(*ask, "-v").err, re.M)
    turned = at_desk(*ask, "--after", cursor)
    assert re.search(r"^more:  --after \S+$", turned.err, re.M)
    assert turned.out != at_desk(*ask).out
    assert "more:" not in at_desk(*ask, "--all").err


def test_a_group_shows_its_best_hit_and_the_others(at_desk: Run) -> None:
    ask = ("search", "chapter of the long story", "-c", "letters", "-k", "1", "--group", "source")
    (hit,) = found(at_desk(*ask, "--json"))["hits"]
    assert (hit["source"], hit["group"]["by"], hit["group"]["key"]) == ("story.txt", "source", "story.txt")
    assert hit["group"]["count"] == len(hit["group"]["others"]) + 1 > 4
    assert hit["span"][1] > hit["span"][0]
    last = at_desk(*ask).out.splitlines()[-1]
    assert re.fullmatch(rf"  \+ {hit['group']['count'] - 1} more: (story\.txt:\S+ \(\S+\), ){{3}}…", last)


def test_ways_to_refine_are_passed_on(at_desk: Run) -> None:
    ask = ("search", "money for the kettle", "-c", "letters", "--json", "-k", "6")
    plain, ranks = found(at_desk(*ask)), found(at_desk(*ask, "--fusion", "ranks"))
    assert (plain["kind"], ranks["kind"]) == ("hybrid", "rrf")
    spread = found(at_desk(*ask, "--diverse", "0.6"))
    assert spread["hits"][0] == plain["hits"][0]
    assert [hit["id"] for hit in spread["hits"]] != [hit["id"] for hit in plain["hits"]]
    few = found(at_desk(*ask, "--diverse", "0.6", "--depth", "6"))
    assert sorted(hit["id"] for hit in few["hits"]) == sorted(hit["id"] for hit in plain["hits"])
    ran = at_desk(*ask, "--fusion", "ranks", "--mode", "dense")
    assert ran.code == 2
    assert ran.err.startswith('error: fusion="ranks" puts two sides together')
    assert at_desk(*ask, "--diverse", "1.5").code == 2
    assert re.match(r"0\.\d\d cos · +\d+\.\d bm25   letters", at_desk(*ask[:4], "--fusion", "ranks").out)


def test_a_reranker_has_the_last_word(at_desk: Run, tmp_path: Path) -> None:
    folder = tiny_folders.write_reranker(tmp_path / "judge", "bert")
    ask = ("search", "a train", "-c", "letters", "--json", "-k", "4", "--where", 'source like "%.csv%"')
    value = found(at_desk(*ask, "--rerank", str(folder), "--precision", "f32"))
    assert value["kind"] == "rerank"
    judge = load_reranker(folder, precision="f32", home=tmp_path, offline=True)
    for hit in value["hits"]:
        (score,) = judge.score("a train", [hit["text"]], on_long="cut")
        assert hit["score"] == pytest.approx(score, abs=1e-4)
        assert hit["scores"].keys() >= {"rerank", "cosine"}
    scores = [hit["score"] for hit in value["hits"]]
    assert scores == sorted(scores, reverse=True)
    late = found(at_desk(*ask, "--rerank", "late"))
    assert all("late train" in hit["text"] for hit in late["hits"][:2])
    ran = at_desk(*ask, "--rerank", str(tmp_path / "none"))
    assert ran.code == 3 or "not a folder" in ran.err
    assert "Traceback" not in ran.err


def test_facets_stand_below_the_hits_and_count_what_the_filter_lets_through(at_desk: Run) -> None:
    where = ("--where", "year = 2001", "--facet", "lang", "--facet", "year")
    ask = ("search", "money", "-c", "letters", "-k", "1", *where)
    value = found(at_desk(*ask, "--json"))
    assert value["facets"] == [
        {"field": "lang", "counts": [{"value": "en", "items": 4}, {"value": "de", "items": 2}],
         "values": 2, "items": 6, "without": 0},
        {"field": "year", "counts": [{"value": 2001, "items": 6}], "values": 1, "items": 6, "without": 0},
    ]  # fmt: skip
    lines = at_desk(*ask).out.splitlines()
    start = lines.index("lang: 2 values in 6 chunks")
    assert lines[start - 1 :] == ["", "lang: 2 values in 6 chunks", "  4  en", "  2  de", "",
                                  "year: 1 value in 6 chunks", "  6  2001"]  # fmt: skip
    ran = at_desk(*ask, "--facet", "lanng")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith('error: no record has a field "lanng"\n')


def test_similar_finds_neighbours_without_an_encoder(at_desk: Run) -> None:
    ran = at_desk("similar", "0", "-c", "letters", "-k", "2", "--json")
    value = found(ran)
    assert (value["like"], value["unlike"], value["kind"]) == (["0"], [], "cosine")
    assert {hit["id"] for hit in value["hits"]} == {"4", "8"}
    away = found(at_desk("similar", "0", "1", "-c", "letters", "--unlike", "2", "--all", "--json"))["hits"]
    assert not {"0", "1", "2"} & {hit["id"] for hit in away}
    rows = list(csv.DictReader(io.StringIO(at_desk("similar", "0", "-c", "letters", "-k", "2", "--csv").out)))
    assert [row["id"] for row in rows] == [hit["id"] for hit in value["hits"]]
    shown = at_desk("similar", "0", "-c", "letters", "-k", "2")
    assert re.match(r"0\.\d\d cos   letters\.csv row \d+\n  Letter \d about the broken kettle", shown.out)
    assert re.fullmatch(r"2 hits of \d+ chunks, similar, .*ms\n", shown.err)
    assert at_desk("similar", "0", "-c", "letters", "--min-score", "1.5").code == 1
    ran = at_desk("similar", "nobody", "-c", "letters")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: 1 of 1 ids are those of no chunk and no item\n  nobody  [exit 2]\n")


def test_context_and_reasons_for_people_and_for_programs(at_desk: Run) -> None:
    ran = at_desk("search", "the broken kettle", "-c", "letters", "-k", "3", "-C", "2", "--explain", "--json")
    assert ran.code == 0, ran.err
    for hit in json.loads(ran.out)["hits"]:
        assert {"words", "missing", "steps"} == set(hit["explained"])
        assert sum(step["share"] for step in hit["explained"]["steps"]) == pytest.approx(hit["score"], abs=1e-6)
        assert set(hit["context"]) == {"before", "after"}
    ran = at_desk("search", "chapter", "-c", "letters", "--mode", "words", "-C", "1", "--explain", "-k", "1")
    assert "\n  │ " in ran.out
    assert "\n  words: chapter ×" in ran.out
    ran = at_desk("search", "chapter", "-c", "letters", "--mode", "words", "--jsonl", "-k", "1")
    assert not {"context", "explained"} & set(json.loads(ran.out))
