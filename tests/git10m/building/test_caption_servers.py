"""Captions by a server, through builds and `git10m caption`: the real client, and a server that keeps count itself."""

import asyncio
import itertools
import json
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from caption_server import CAPTION, SHORT, CaptionServer, Fault
from small_imagery import built, promised, small_units, write_recipe, write_scene

from git10m.building.caption_batches import export_batch, import_batch
from git10m.building.recaptioning import recaption
from git10m.building.rewording import rewording_of
from git10m.captions.vlm.ledger import summed
from git10m.engine import Engine
from git10m.errors import CaptionError, RecipeError
from git10m.verify import verify

pytest.importorskip("openai")

TABLE = """
[captions]
writer = "openai"
lengths = {lengths}
[captions.openai]
base_url = "{url}"
model = "tiny"
timeout_s = 5
concurrency = 4
{more}
"""


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset of a dozen rows in several shards, captioned by template."""
    folder = tmp_path_factory.mktemp("told")
    write_scene(folder / "imagery/a.tif", size=900)
    write_recipe(folder / "recipe.toml", more="[output]\nshard_rows = 5\nrow_group_rows = 3")
    with small_units():
        built(folder, folder / "dataset")
    return folder / "dataset"


@pytest.fixture
def dataset(told: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(told, tmp_path / "dataset"))


def table(folder: Path, url: str, *, more: str = "", lengths: str = '["long"]', top: str = "") -> Path:
    """Write a recipe that holds captions alone."""
    path = folder.parent / "captions.toml"
    said = TABLE.format(url=url, more=more, lengths=lengths).replace("[captions]\n", f"[captions]\n{top}\n")
    path.write_text(said, encoding="utf-8")
    return path


def captioned(folder: Path, recipe: Path, **options: Any) -> dict[str, Any]:
    return recaption(folder, rewording_of(folder, recipe=recipe), **options)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    names = ["img_name", "caption", "caption_length", "caption_source", "caption_version", "captions", "caption_flags"]
    found: list[dict[str, Any]] = pq.read_table(folder / "index.parquet", columns=names).to_pylist()
    return found


def test_each_tile_is_asked_about_once_and_the_ledger_is_the_servers(dataset: Path) -> None:
    with CaptionServer() as server:
        prices = "input_price = 2.0\noutput_price = 10.0"
        manifest = captioned(dataset, table(dataset, server.url, more=prices, lengths='["long", "short"]'))
    rows = rows_of(dataset)
    assert {row["caption"] for row in rows} == {CAPTION}
    assert {tuple(row["captions"]) for row in rows} == {(CAPTION, SHORT)}
    assert {row["caption_source"] for row in rows} == {"openai"}
    assert all(row["caption_version"].startswith("tiny ") and row["caption_flags"] == [] for row in rows)
    assert len({asked.key for asked in server.asked}) == len(server.asked) == len(rows)
    requests = manifest["captions"]["requests"]
    assert requests["by_status"] == dict(server.counts()) == {"200": len(rows)}
    assert (requests["prompt_tokens"], requests["completion_tokens"]) == server.tokens()
    prompt, completion = server.tokens()
    assert requests["cost"] == pytest.approx(prompt * 2e-6 + completion * 1e-5)
    assert manifest["captions"]["writers"][0]["rows"] == len(rows)
    assert verify(dataset) == []


def test_a_rerun_asks_nothing_and_gives_the_same_bytes(dataset: Path) -> None:
    with CaptionServer() as server:
        recipe = table(dataset, server.url)
        captioned(dataset, recipe)
        first, count = promised(dataset), len(server.asked)
        captioned(dataset, recipe)
        shutil.rmtree(dataset / "work/recaption")
        captioned(dataset, recipe)
        assert promised(dataset) == first
        assert len(server.asked) == count


def test_image_facts_and_orders_are_in_a_request(dataset: Path) -> None:
    with CaptionServer() as server:
        captioned(dataset, table(dataset, server.url, more='side_px = 64\ninstructions = "Name no colours."'))
    body = server.asked[0].body
    orders, question = body["messages"]
    assert "Name no colours." in orders["content"]
    assert '"likely"' in orders["content"]
    facts = json.loads(question["content"][0]["text"].removeprefix("Facts: ").partition("\n")[0])
    assert facts["metres_per_pixel"] > 1
    assert facts["place"]["country"]
    assert question["content"][1]["image_url"]["url"].startswith("data:image/jpeg;base64,")


def test_it_works_where_a_loop_runs_already_as_in_a_notebook(dataset: Path) -> None:
    async def cell(recipe: Path) -> dict[str, Any]:
        return captioned(dataset, recipe)

    with CaptionServer() as server:
        manifest = asyncio.run(cell(table(dataset, server.url)))
    assert manifest["captions"]["writers"][0]["source"] == "openai"


def every_fault(number: int, body: dict[str, Any]) -> Fault | str | None:
    """Each of the first requests fails in another way."""
    first: dict[int, Fault | str] = {
        0: Fault(429, headers={"Retry-After": "1"}),
        1: Fault(503, headers={"Retry-After": formatdate(time.time() + 2, usegmt=True)}),
        2: Fault(500),
        3: Fault(kind="reset"),
        4: Fault(kind="hang", delay_s=3.0),
        5: Fault(200, body=b"<html>gateway</html>", headers={"Content-Type": "text/html"}),
        6: Fault(200, body=b'{"choices": []}'),
        7: Fault(429),
        8: f'```json\n{{"long": "{CAPTION}"}}\n```',
        9: f'Sure! Here it is: {{"long": "{CAPTION}"}} I hope this helps.',
        10: '{"long": 5}',
        11: "I cannot help with that.",
        12: '{"long": "It is likely a field, possibly with some trees, and may be a road in the north of the image."}',
    }
    # The first answers must be good, or the address would be taken for a wrong one.
    return first.get(number - 2)


def test_faults_that_pass_are_waited_out_and_counted(dataset: Path) -> None:
    rows = rows_of(dataset)
    with CaptionServer(every_fault) as server:
        manifest = captioned(dataset, table(dataset, server.url, more="attempts = 6"))
        asked = list(server.asked)
    assert {row["caption"] for row in rows_of(dataset)} == {CAPTION}
    ledger = manifest["captions"]["requests"]
    counts = server.counts()
    assert ledger["requests"] == len(asked)
    statuses = ledger["by_status"]
    assert statuses["429"] == counts["429"] == 2
    assert statuses["503"] == counts["503"] == 1
    assert statuses["500"] == counts["500"] == 1
    assert statuses["unreachable"] == counts["reset"] + counts["hang"] == 2
    assert statuses["no answer"] + statuses["200"] == counts["200"]
    assert (ledger["prompt_tokens"], ledger["completion_tokens"]) == server.tokens()
    assert ledger["retries"] == 8
    again = [each for each in asked if len(each.body["messages"]) > 2]
    assert len(again) == 3, "two answers that are no captions, and one that hedges"
    assert any("hedge" in each.body["messages"][-1]["content"] for each in again)
    assert statuses["200"] == len(rows) + len(again)


@pytest.mark.parametrize("fallback", ["template", "none"])
def test_a_model_that_cannot_do_it_leaves_the_tile_to_the_template(fallback: str, dataset: Path) -> None:
    before = {row["img_name"]: row["caption"] for row in rows_of(dataset)}
    with CaptionServer(lambda number, body: "no JSON at all") as server:
        recipe = table(dataset, server.url, more="attempts = 2", top=f'fallback = "{fallback}"')
        manifest = captioned(dataset, recipe)
        assert len(server.asked) == 2 * len(before)
        captioned(dataset, recipe)
        assert len(server.asked) == 2 * len(before), "that it failed is known, too"
    for row in rows_of(dataset):
        assert row["caption"] == (before[row["img_name"]] if fallback == "template" else None)
        assert row["caption_source"] == ("template" if fallback == "template" else None)
    assert manifest["captions"]["without"] == (0 if fallback == "template" else len(before))
    assert verify(dataset) == []


REFUSALS = {
    "key": (Fault(401), "access is refused, 401"),
    "model": (Fault(404), "has the model 'tiny'"),
    "request": (Fault(400), "refuses the request, 400"),
    "page": (Fault(200, body=b"<!doctype html><title>Welcome</title>", headers={"Content-Type": "text/html"}), "…/v1"),
    "credit": (Fault(429, code="insufficient_quota"), "no credit"),
    "long": (Fault(429, headers={"Retry-After": "86400"}), "asks to wait 86400 s"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_will_not_pass_is_one_clear_error_and_no_retry(name: str, dataset: Path) -> None:
    fault, said = REFUSALS[name]
    before = promised(dataset)
    with CaptionServer(lambda number, body: fault) as server:
        with pytest.raises(CaptionError, match=said):
            captioned(dataset, table(dataset, server.url))
        assert len(server.asked) <= 4, "what was under way at once, and nothing again"
    assert promised(dataset) == before
    assert verify(dataset) == []


def test_a_server_that_is_not_there(dataset: Path) -> None:
    with pytest.raises(CaptionError, match=r"cannot be reached .* run the same command again"):
        captioned(dataset, table(dataset, "http://127.0.0.1:9/v1"))


def test_a_tile_that_a_server_fails_on_does_not_stop_the_others(dataset: Path) -> None:
    rows = len(rows_of(dataset))
    poison: list[str] = []

    def manner(number: int, body: dict[str, Any]) -> Fault | None:
        image = body["messages"][1]["content"][1]["image_url"]["url"]
        if number == 2:
            poison.append(image)
        return Fault(500) if image in poison else None

    with CaptionServer(manner) as server:
        manifest = captioned(dataset, table(dataset, server.url, more="retries = 2\nattempts = 1"))
    assert {each["source"]: each["rows"] for each in manifest["captions"]["writers"]} == {
        "openai": rows - 1,
        "template": 1,
    }


def test_the_budget_stops_and_a_larger_one_goes_on(dataset: Path) -> None:
    rows = len(rows_of(dataset))
    with CaptionServer() as server:
        with pytest.raises(CaptionError, match=r"most_requests = 5; 5 were made.*raise the limit"):
            captioned(dataset, table(dataset, server.url, more="most_requests = 5"))
        assert len(server.asked) == 5
        assert verify(dataset) == []
        captioned(dataset, table(dataset, server.url, more="most_requests = 500"))
        assert len(server.asked) == rows


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "sk-test-4711-0815-not-to-be-seen"
    with CaptionServer() as server:
        recipe = table(dataset, server.url, more='api_key = "SOME_KEY"')
        with pytest.raises(CaptionError, match="SOME_KEY is not set"):
            captioned(dataset, recipe)
        monkeypatch.setenv("SOME_KEY", secret)
        captioned(dataset, recipe)
        with monkeypatch.context() as patch:
            patch.delenv("SOME_KEY")
            captioned(dataset, recipe)  # nothing is left to ask
        assert {each.headers["authorization"] for each in server.asked} == {f"Bearer {secret}"}
        server.manner = lambda number, body: Fault(401, body=json.dumps({"error": {"message": secret}}).encode())
        with pytest.raises(CaptionError) as error:
            captioned(dataset, table(dataset, server.url, more='api_key = "SOME_KEY"\nseed = 1'))
    assert secret not in str(error.value)
    said = capfd.readouterr()
    assert secret not in said.out + said.err
    for path in dataset.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path.name


@pytest.mark.parametrize("line", ['api_key = "sk-abcdef0123456789"', 'base_url = "http://user:pass@host/v1"'])
def test_a_secret_in_a_recipe_is_refused_and_not_repeated(line: str, dataset: Path) -> None:
    recipe = table(dataset, "http://127.0.0.1:9/v1")
    said = recipe.read_text()
    recipe.write_text(said.replace('base_url = "http://127.0.0.1:9/v1"', line) if "base" in line else said + line)
    with pytest.raises(RecipeError) as error:
        captioned(dataset, recipe)
    assert "abcdef" not in str(error.value)
    assert "pass@" not in str(error.value)


@pytest.mark.slow
def test_the_pace_is_kept_by_all_processes_together(dataset: Path) -> None:
    rows = len(rows_of(dataset))
    with CaptionServer() as server:
        recipe = table(dataset, server.url, more="requests_per_minute = 300")
        captioned(dataset, recipe, engine=Engine("processes", 2))
    with sqlite3.connect(dataset / "work/answers/ledger.sqlite") as database:
        sent = [at for (at,) in database.execute("SELECT sent FROM requests ORDER BY sent")]
    assert len(sent) == len(server.asked) == rows
    assert min(later - earlier for earlier, later in itertools.pairwise(sent)) >= 0.2


@pytest.mark.slow
def test_a_build_with_a_server_gives_what_captioning_afterwards_gives(
    told: Path, dataset: Path, tmp_path: Path
) -> None:
    source = told.parent
    with CaptionServer() as server:
        recipe = table(dataset, server.url)
        captioned(dataset, recipe)
        shutil.copytree(source / "imagery", tmp_path / "built/imagery")
        more = recipe.read_text() + "[output]\nshard_rows = 5\nrow_group_rows = 3"
        write_recipe(tmp_path / "built/recipe.toml", more=more)
        with small_units():
            built(tmp_path / "built", tmp_path / "built/dataset", engine=Engine("processes", 2))
    of_rows = [
        {name: digest for name, digest in promised(each).items() if name.endswith(".parquet")}
        for each in (dataset, tmp_path / "built/dataset")
    ]
    assert of_rows[0] == of_rows[1]
    one, other = (json.loads((each / "manifest.json").read_text()) for each in (dataset, tmp_path / "built/dataset"))
    assert one["fingerprint"] == other["fingerprint"]


def kill_after_answers(order: list[str], server: CaptionServer, answers: int) -> None:
    process = subprocess.Popen(order, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(server.asked) < answers and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()


@pytest.mark.slow
def test_killed_between_answers_nothing_that_was_answered_is_asked_again(
    dataset: Path, git10m: Callable[..., Any]
) -> None:
    start = git10m(dataset, dataset)[: -1 - git10m(dataset, dataset)[::-1].index("build")]
    rows = len(rows_of(dataset))
    with CaptionServer(lambda number, body: time.sleep(0.15)) as server:
        recipe = table(dataset, server.url, more="").read_text().replace("concurrency = 4", "concurrency = 1")
        (dataset.parent / "captions.toml").write_text(recipe)
        order = [*start, "caption", str(dataset), "--recipe", str(dataset.parent / "captions.toml"), "--workers", "1"]
        for answers in (3, 7):
            kill_after_answers(order, server, answers)
        kept = held(dataset)
        done = subprocess.run(order, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert 2 <= kept < rows
    per_tile = {key: sum(asked.key == key for asked in server.asked) for key in {each.key for each in server.asked}}
    assert len(per_tile) == rows
    assert len(server.asked) <= rows + 2, "at most what was under way at a kill is asked again"
    ledger = summed(dataset / "work/answers")
    assert ledger is not None
    noted = ledger["by_status"]["200"] + ledger["by_status"].get("interrupted", 0)
    assert len(server.asked) <= noted <= len(server.asked) + 2, "a kill may come before a noted request has left"
    assert verify(dataset) == []


def held(folder: Path) -> int:
    with sqlite3.connect(folder / "work/answers/answers.sqlite") as database:
        return int(database.execute("SELECT count(*) FROM answers").fetchone()[0])


# Batch files


def processed(folder: Path, out: Path, *, fail: int = 0, lose: int = 0) -> list[Path]:
    """Play the service: answer the requests of a folder of batch files, but fail some and lose some."""
    lines = [line for path in sorted(folder.glob("requests-*.jsonl")) for line in path.read_text().splitlines()]
    good, bad = [], []
    for number, line in enumerate(lines[lose:]):
        request = json.loads(line)
        assert request["method"] == "POST"
        assert request["url"] == "/v1/chat/completions"
        result: dict[str, Any] = {"id": f"batch_{number}", "custom_id": request["custom_id"], "error": None}
        if number < fail:
            result |= {"response": None, "error": {"code": "batch_expired", "message": "not in time"}}
            bad.append(json.dumps(result))
            continue
        message = {"role": "assistant", "content": json.dumps({"long": CAPTION})}
        usage = {"prompt_tokens": 100, "completion_tokens": 20}
        body = {"choices": [{"index": 0, "message": message}], "usage": usage}
        result["response"] = {"status_code": 200, "request_id": "r", "body": body}
        good.append(json.dumps(result))
    out.mkdir(exist_ok=True)
    (out / "output.jsonl").write_text("\n".join(reversed(good)) + "\n")  # in no order
    (out / "errors.jsonl").write_text("\n".join(bad) + "\n")
    return [out / "output.jsonl", out / "errors.jsonl"]


def test_a_batch_goes_out_and_comes_back_until_every_request_is_answered(dataset: Path, tmp_path: Path) -> None:
    rows = len(rows_of(dataset))
    how = rewording_of(dataset, recipe=table(dataset, "http://127.0.0.1:9/v1", more='api_key = "NOT_SET_HERE"'))
    first = export_batch(dataset, how, into=tmp_path / "batch")
    assert first["requests"] == rows
    files = processed(tmp_path / "batch", tmp_path / "results", fail=2, lose=1)
    with pytest.raises(CaptionError, match=rf"{rows - 3} answers came new.*batch_expired 2.*3 requests are still open"):
        import_batch(dataset, how, files=files)
    again = export_batch(dataset, how, into=tmp_path / "batch")
    assert again["requests"] == 3
    files = processed(tmp_path / "batch", tmp_path / "results")
    assert import_batch(dataset, how, files=[tmp_path / "results"])["open"] == 0
    ledger = summed(dataset / "work/answers")
    assert ledger is not None
    assert ledger["by_status"] == {"batch": rows}
    assert ledger["prompt_tokens"] == 100 * rows
