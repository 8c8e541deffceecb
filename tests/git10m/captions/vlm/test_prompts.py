"""What a model is told, and how its answer is read."""

import io
import json
from datetime import date

import pytest
from PIL import Image

from git10m.captions.facts import Subject
from git10m.captions.subjects import Picture, no_faults
from git10m.captions.vlm.conversation import Conversations
from git10m.captions.vlm.prompts import facts_of, prompt_hash, read_answer, system_prompt
from git10m.grid import Tile
from git10m.recipe import Captions, OpenAIWriter


def jpeg(side: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (90, 120, 60)).save(buffer, "JPEG")
    return buffer.getvalue()


def picture(*, synthetic: bool = False, image: bytes | None = None, side: int = 256) -> Picture:
    facts = {
        "platform": "satellite",
        "sensor": None,
        "date": date(2020, 8, 31),
        "season": "summer",
        "place": {"name": "Dole", "country": "France", "distance_km": 12.345678, "direction": None},
        "areas": [],
        "land_cover": [{"name": "forest", "share": 0.612345, "part": None}],
    }
    subject = Subject(Tile(15, 1, 2), 256, None, "satellite", None, synthetic)
    return Picture("a.jpg", facts, subject, 2.3887, side, side, image or jpeg(side))


@pytest.mark.parametrize(
    "text",
    [
        '{"long": " A field. "}',
        '```json\n{"long": "A field."}\n```',
        'Here you are:\n```\n{"long": "A field."}\n``` Anything else?',
        'Thinking {about it}… the answer is {"long": "A\\nfield.", "more": 1}. Done {"long": "no"}',
        '[{"long": "A field."}]',
        '<think>Say {"long": "a draft"}?</think>\n{"long": "A field."}',
        'From {"land_cover": "crops"} follows {"long": "A field."}',
    ],
)
def test_an_answer_is_read_through_fences_and_prose(text: str) -> None:
    assert read_answer(text, ["long"]) == ("A field.",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A field.", "no JSON object"),
        ("", "no JSON object"),
        ('{"long": ""}', "long: string should have at least 1"),
        ('{"long": "   "}', "long: string should have at least 1"),
        ('{"long": 5}', "long: input should be a valid string"),
        ('{"long": null}', "long: input should be a valid string"),
        ('{"caption": "A field."}', "long: field required"),
        ('{"long": "cut off', "no JSON object"),
        ("{" * 50_000, "no JSON object"),
    ],
)
def test_what_is_no_answer_says_why(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_answer(text, ["long"])


def test_both_lengths_come_in_the_order_that_was_asked() -> None:
    assert read_answer('{"long": "L", "short": "S"}', ["short", "long"]) == ("S", "L")
    with pytest.raises(ValueError, match="short: field required"):
        read_answer('{"long": "L"}', ["short", "long"])


def test_facts_are_plain_data_of_the_kinds_that_may_be_mentioned() -> None:
    told = facts_of(picture(), ["resolution", "platform", "place", "date", "land_cover", "objects"])
    assert told == {
        "platform": "satellite",
        "place": {"name": "Dole", "country": "France", "distance_km": 12.3},
        "date": "2020-08-31",
        "season": "summer",
        "land_cover": [{"name": "forest", "share": 0.612}],
        "metres_per_pixel": 2.39,
        "width_m": 612.0,
    }
    assert set(facts_of(picture(), ["land_cover"])) == {"land_cover"}
    assert "synthetic" in facts_of(picture(synthetic=True), [])
    assert json.dumps(told)


def test_the_hash_of_a_prompt_changes_with_all_that_is_told() -> None:
    same = prompt_hash(["long"], images=True)
    assert same == prompt_hash(["long"], images=True)
    others = [
        prompt_hash(["short"], images=True),
        prompt_hash(["long"], images=False),
        prompt_hash(["long"], images=True, instructions="x"),
        prompt_hash(["long"], images=True, temperature=1),
    ]
    assert len({same, *others}) == 5
    assert "image itself" not in system_prompt(["long"], images=False)


def conversation(**said: object) -> Conversations:
    return Conversations(Captions(writer="openai", openai=OpenAIWriter(model="m", **said)))  # type: ignore[arg-type]


def test_a_request_is_known_by_what_decides_about_its_answer() -> None:
    def key(talk: Conversations, about: Picture) -> str:
        return next(talk.about(about, no_faults)).key

    plain = key(conversation(), picture())
    assert key(conversation(base_url="http://other:1/v1", requests_per_minute=5, input_price=3), picture()) == plain
    others = [
        key(conversation(temperature=0.5), picture()),
        key(conversation(side_px=32), picture()),
        key(conversation(extra={"top_p": 0.5}), picture()),
        key(conversation(), picture(synthetic=True)),
        key(conversation(), picture(side=128)),
    ]
    assert len({plain, *others}) == 6


def test_parameters_of_the_body() -> None:
    talk = conversation(temperature=None, max_tokens_name="max_completion_tokens", json_mode="schema", seed=3)
    body = next(talk.about(picture(), no_faults)).body
    assert "temperature" not in body
    assert "max_tokens" not in body
    assert body["max_completion_tokens"] == 400
    assert body["seed"] == 3
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["long"]


def test_after_the_last_attempt_there_is_no_caption() -> None:
    asks = conversation(attempts=2).about(picture(), lambda text, about, length: ("hedge: likely",))
    next(asks)
    again = asks.send('{"long": "It is likely a field."}')
    assert "hedge: likely" in again.body["messages"][-1]["content"]
    with pytest.raises(StopIteration) as end:
        asks.send('{"long": "It is likely a field."}')
    assert end.value.value is None
