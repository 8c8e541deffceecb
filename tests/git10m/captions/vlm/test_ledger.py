"""The ledger of requests: counts that add up, a pace that is kept, a budget that stops."""

import time
from pathlib import Path

import pytest

from git10m.captions.vlm.answers import Answers
from git10m.captions.vlm.batches import BatchFiles
from git10m.captions.vlm.conversation import Ask
from git10m.captions.vlm.ledger import Ledger, summed
from git10m.captions.vlm.server import retry_after
from git10m.errors import CaptionError, RequestError
from git10m.recipe import OpenAIWriter


def ledger(folder: Path, **said: object) -> Ledger:
    return Ledger(folder, model=OpenAIWriter(model="m", **said))  # type: ignore[arg-type]


def test_sums_by_status_and_model(tmp_path: Path) -> None:
    book = ledger(tmp_path, input_price=1.0, output_price=4.0)
    for status, again, tokens in (("200", False, (1000, 100)), ("429", False, (0, 0)), ("200", True, (2000, 50))):
        number = book.begin("k", again=again, tokens=10)
        assert isinstance(number, int)
        book.end(number, status, prompt=tokens[0], completion=tokens[1])
    book.begin("k", again=False, tokens=10)  # and the process dies
    book.close()
    found = summed(tmp_path)
    assert found is not None
    assert found["by_status"] == {"200": 2, "429": 1, "interrupted": 1}
    assert (found["requests"], found["retries"]) == (4, 1)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (3000, 150)
    assert found["cost"] == pytest.approx(3000e-6 + 150 * 4e-6)
    assert found["by_model"]["m"]["requests"] == 4
    assert summed(tmp_path / "elsewhere") is None


def test_requests_leave_evenly(tmp_path: Path) -> None:
    book, other = (ledger(tmp_path, requests_per_minute=60) for _ in range(2))
    assert isinstance(book.begin("a", again=False, tokens=1), int)
    wait = other.begin("b", again=False, tokens=1)
    assert isinstance(wait, float)
    assert 0.8 < wait <= 1.02


def test_tokens_of_the_last_minute_count(tmp_path: Path) -> None:
    book = ledger(tmp_path, tokens_per_minute=1000)
    number = book.begin("a", again=False, tokens=900)
    assert isinstance(number, int)
    wait = book.begin("b", again=False, tokens=500)
    assert isinstance(wait, float)
    assert 59 < wait <= 60
    book.end(number, "200", prompt=300, completion=100)  # it was less than thought
    assert isinstance(book.begin("b", again=False, tokens=500), int)
    assert isinstance(ledger(tmp_path, tokens_per_minute=1000).begin("c", again=False, tokens=50_000), float)
    assert isinstance(ledger(tmp_path / "new", tokens_per_minute=1000).begin("c", again=False, tokens=50_000), int)


def test_a_pause_holds_for_all(tmp_path: Path) -> None:
    book, other = ledger(tmp_path), ledger(tmp_path)
    book.pause(30)
    book.pause(5)
    wait = other.begin("a", again=False, tokens=1)
    assert isinstance(wait, float)
    assert 29 < wait <= 30


@pytest.mark.parametrize(
    ("limit", "said"), [({"most_requests": 2}, "2 were made"), ({"most_cost": 0.5}, "1 was spent")]
)
def test_a_budget_counts_over_all_ranks(
    limit: dict[str, float], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank in (0, 1):
        monkeypatch.setenv("GIT10M_RANK", str(rank))
        monkeypatch.setenv("GIT10M_RANKS", "2")
        book = ledger(tmp_path, input_price=1e6)
        number = book.begin("a", again=False, tokens=1)
        assert isinstance(number, int)
        book.end(number, "200", prompt=rank)
    with pytest.raises(CaptionError, match=said):
        ledger(tmp_path, input_price=1e6, **limit).begin("b", again=False, tokens=1)


def test_answers_of_all_ranks_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "ab" * 32
    monkeypatch.setenv("GIT10M_RANK", "3")
    monkeypatch.setenv("GIT10M_RANKS", "4")
    Answers(tmp_path).put(key, "first")
    monkeypatch.delenv("GIT10M_RANK")
    answers = Answers(tmp_path)
    assert answers.get(key) == "first"
    assert answers.get("cd" * 32) is None
    assert len(answers) == 1


def test_retry_after_is_a_number_or_a_date() -> None:
    now = time.mktime((2026, 11, 24, 12, 0, 0, 0, 0, 0)) - time.timezone
    assert retry_after({"retry-after": "7"}, now=now) == 7
    assert retry_after({"retry-after": "-7"}, now=now) == 0
    assert retry_after({"retry-after": "Tue, 24 Nov 2026 12:00:09 GMT"}, now=now) == 9
    assert retry_after({"retry-after": "Tue, 24 Nov 2020 12:00:09 GMT"}, now=now) == 0
    for said in ("soon", "", "2026", "Tue, 99 Nov 2026 12:00:09 GMT"):
        assert retry_after({"retry-after": said}, now=now) == (2026.0 if said == "2026" else None)
    assert retry_after({}, now=now) is None


def ask(number: int, size: int = 0) -> Ask:
    return Ask(f"{number:064x}", {"model": "m", "text": "x" * size}, tokens=1)


def test_batch_files_keep_within_requests_and_bytes(tmp_path: Path) -> None:
    with BatchFiles(tmp_path, most_requests=3) as files:
        for number in (0, 1, 2, 2, 3):
            files.add(ask(number))
    assert files.requests == 4, "the same request goes once"
    assert [len(path.read_text().splitlines()) for path in files.files] == [3, 1]
    with BatchFiles(tmp_path, most_bytes=2000) as files:
        for number in range(5):
            files.add(ask(number, size=700))
        with pytest.raises(RequestError, match="side_px"):
            files.add(ask(9, size=3000))
    assert [path.stat().st_size < 2000 for path in files.files] == [True] * 3
    assert sorted(tmp_path.glob("*.jsonl")) == files.files, "those of the earlier export are gone"
