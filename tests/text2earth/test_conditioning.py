import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from text2earth.conditioning import (
    EXTRAS,
    NULL,
    Condition,
    DropRates,
    drop,
    embed,
    extras_of,
    parse,
    sampled_sentences,
    tokenize,
)
from text2earth.errors import ConditionError
from text2earth.models import train_tokenizer


def test_prefix_names_the_level():
    assert parse("16_GOOGLE_LEVEL_A harbour") == Condition("A harbour", 16)
    assert parse("0_GOOGLE_LEVEL_A harbour") == Condition("A harbour", 0)
    assert parse("A harbour") == Condition("A harbour", 0)
    assert parse("A harbour", level=12) == Condition("A harbour", 12)


@given(st.text(), st.integers(0, 22))
def test_prefix_and_argument_may_agree(text, level):
    prompt = f"{level}_GOOGLE_LEVEL_{text}"
    assert parse(prompt, level=level) == parse(prompt) == Condition(text.strip(), level)


def test_prefix_and_argument_may_not_contradict():
    with pytest.raises(ConditionError, match=r"prefix says level 16 and the argument says level 12"):
        parse("16_GOOGLE_LEVEL_A harbour", level=12)


@pytest.mark.parametrize("level", [-1, 23, 99, 14.5, float("nan"), "14"])
def test_impossible_levels_are_refused(level):
    with pytest.raises(ConditionError, match=re.escape(f"level {level!r} was given; levels are 1–22")):
        Condition("", level)


def test_null_condition_says_nothing():
    assert Condition("", 0, gsd_m=None, lon=None, lat=None, month=None, source=None) == NULL


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"gsd_m": 0.0}, r"gsd_m 0\.0 was given; it is metres a pixel, above 0"),
        ({"gsd_m": float("nan")}, "gsd_m nan was given"),
        ({"lon": 11.5}, r"lon 11\.5 and lat None were given; a place has both, or neither"),
        ({"lon": 181.0, "lat": 0.0}, r"lon 181\.0 was given; it is −180…180 degrees"),
        ({"lon": 0.0, "lat": float("nan")}, "lat nan was given; it is −90…90 degrees"),
        ({"month": 0}, "month 0 was given; months are 1–12"),
        ({"source": ""}, "source '' was given; name the source"),
    ],
)
def test_impossible_conditions_are_refused(given_, message):
    with pytest.raises(ConditionError, match=message):
        Condition("", **given_)


def test_a_coarsened_image_has_a_lower_level_and_a_larger_gsd():
    fine = Condition("a river", 14, gsd_m=6.5, month=3)
    assert fine.coarsened(2) == Condition("a river", 12, gsd_m=26.0, month=3)
    assert Condition("a river", 1).coarsened(2) == Condition("a river", 0)


def test_dropout_is_keyed_by_seed_and_counter():
    rates, condition = DropRates(0.3, 0.3, 0.2), Condition("a river", 14)
    first = [drop(condition, rates=rates, seed=5, counter=counter) for counter in range(200)]
    again = [drop(condition, rates=rates, seed=5, counter=counter) for counter in reversed(range(200))]
    other = [drop(condition, rates=rates, seed=6, counter=counter) for counter in range(200)]
    assert first == again[::-1]
    assert first != other


def test_dropout_rates():
    rates, condition, count = DropRates(text=0.2, level=0.3, both=0.1), Condition("a river", 14), 20_000
    dropped = [drop(condition, rates=rates, seed=1, counter=counter) for counter in range(count)]
    no_text = np.array([found.prompt == "" for found in dropped])
    no_level = np.array([found.level == 0 for found in dropped])
    # Four standard deviations of a share near 0.3 in 20,000 are 0.013.
    assert no_text.mean() == pytest.approx(0.1 + 0.9 * 0.2, abs=0.013)
    assert no_level.mean() == pytest.approx(0.1 + 0.9 * 0.3, abs=0.013)
    assert (no_text & no_level).mean() == pytest.approx(0.1 + 0.9 * 0.2 * 0.3, abs=0.013)


EVERYTHING = Condition("a river", 14, gsd_m=6.5, lon=11.5, lat=48.1, month=7, source="aerial")


@pytest.mark.parametrize(
    ("rate", "parts"),
    [
        ("text", {"prompt"}),
        ("level", {"level"}),
        ("gsd", {"gsd_m"}),
        ("place", {"lon", "lat"}),
        ("month", {"month"}),
        ("source", {"source"}),
    ],
)
def test_each_condition_has_a_rate_of_its_own(rate, parts):
    names = Condition.__dataclass_fields__
    keep = dict.fromkeys(DropRates.__dataclass_fields__, 0.0)
    dropped = [drop(EVERYTHING, rates=DropRates(**{**keep, rate: 0.3}), seed=1, counter=c) for c in range(2000)]
    for found in dropped:
        nulls = {name for name in names if getattr(found, name) == getattr(NULL, name)}
        assert nulls in (set(), parts)
    share = np.mean([found != EVERYTHING for found in dropped])
    assert share == pytest.approx(0.3, abs=0.041)  # four standard deviations


def test_the_joint_drop_leaves_nothing():
    keep = dict.fromkeys(DropRates.__dataclass_fields__, 0.0)
    dropped = [drop(EVERYTHING, rates=DropRates(**{**keep, "both": 0.2}), seed=1, counter=c) for c in range(2000)]
    assert set(dropped) == {EVERYTHING, NULL}
    assert np.mean([found == NULL for found in dropped]) == pytest.approx(0.2, abs=0.036)


@pytest.mark.parametrize(("rate", "kept"), [(0.0, Condition("a river", 14)), (1.0, NULL)])
def test_dropout_at_its_ends(rate, kept):
    assert drop(Condition("a river", 14), rates=DropRates(rate, rate, rate), seed=0, counter=0) == kept


def test_rates_are_probabilities():
    with pytest.raises(ConditionError, match=r"drop rate both = 1\.5; a probability is 0–1"):
        DropRates(both=1.5)


def test_tokens_are_padded_and_truncation_is_counted():
    tokenizer = train_tokenizer(["a river through forest"], vocab_size=600)
    words = "a river through forest " * 40
    tokens = tokenize([Condition("a river", 14), NULL, Condition(words, 3)], tokenizer=tokenizer)
    assert tokens.ids.shape == (3, 77)
    assert tokens.levels.tolist() == [14, 0, 3]
    assert tokens.truncated == 1
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    assert tokens.ids[1].tolist() == [begin] + [end] * 76
    assert tokens.ids[2, 0] == begin and tokens.ids[2, -1] == end
    # The oracle: the tokenizer's own truncation and padding.
    stock = tokenizer(["a river", "", words], padding="max_length", truncation=True, max_length=77)
    assert tokens.ids.tolist() == stock["input_ids"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["a river through forest. fields"], vocab_size=600)


def words(count):
    return " ".join(["river", "forest", "fields", "a"][number % 4] for number in range(count))


def test_a_long_caption_fills_windows_and_a_short_one_is_as_ever(tokenizer):
    short, long_ = Condition("a river"), Condition(words(200))
    tokens = tokenize([short, long_, Condition(words(300))], tokenizer=tokenizer, windows=3)
    assert tokens.ids.shape == tokens.mask.shape == (3, 231)
    assert tokens.truncated == 1  # 300 words do not fit 3 · 75
    assert torch.equal(tokens.ids[:1, :77], tokenize([short], tokenizer=tokenizer).ids)
    assert tokens.mask[0].tolist() == [True] * 77 + [False] * 154
    assert tokens.mask[1].all() and tokens.mask[2].all()
    # No word is lost: the windows' contents, joined, are the caption's own tokens.
    special = {tokenizer.bos_token_id, tokenizer.eos_token_id}
    joined = [number for number in tokens.ids[1].tolist() if number not in special]
    assert joined == tokenizer(long_.prompt, verbose=False)["input_ids"][1:-1]


def test_windows_are_encoded_each_by_itself(tokenizer):
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    encoder = CLIPTextModel(
        CLIPTextConfig(vocab_size=600, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=1)
    ).eval()
    tokens = tokenize([Condition(words(100)), NULL], tokenizer=tokenizer, windows=2)
    with torch.no_grad():
        states = embed(tokens.ids, text_encoder=encoder)
        alone = encoder(tokens.ids[:, 77:])[0]
    assert states.shape == (2, 154, 16)
    torch.testing.assert_close(states[:, 77:], alone)


def test_extras_are_numbers_and_not_a_number_where_null():
    rows = extras_of([EVERYTHING, NULL], sources=("satellite", "aerial"))
    assert rows[0].tolist() == pytest.approx([6.5, 11.5, 48.1, 7.0, 1.0])
    assert rows.shape == (2, len(EXTRAS)) and rows[1].isnan().all()
    assert extras_of([EVERYTHING])[0, 4].isnan()  # a model that does not know sources apart
    with pytest.raises(ConditionError, match="source 'aerial' was given; the model knows satellite, radar"):
        extras_of([EVERYTHING], sources=("satellite", "radar"))


def test_sentences_are_drawn_so_that_they_fit_and_each_is_seen(tokenizer):
    sentences = [f"{words(20)} {name}." for name in ("one", "two", "three", "four", "five", "six")]
    caption = " ".join(sentences)
    seen = set()
    for counter in range(40):
        shown = sampled_sentences(caption, tokenizer=tokenizer, seed=3, counter=counter)
        assert shown == sampled_sentences(caption, tokenizer=tokenizer, seed=3, counter=counter)
        assert tokenize([Condition(shown)], tokenizer=tokenizer).truncated == 0
        kept = [number for number, sentence in enumerate(sentences) if sentence in shown]
        assert shown == " ".join(sentences[number] for number in kept)  # whole, and in their order
        seen |= set(kept)
    assert seen == set(range(6))


def test_a_caption_that_fits_is_left_and_one_endless_sentence_is_cut_and_counted(tokenizer):
    assert sampled_sentences("a river. fields.", tokenizer=tokenizer, seed=0, counter=0) == "a river. fields."
    endless = words(100)
    assert sampled_sentences(endless, tokenizer=tokenizer, seed=0, counter=0) == endless
    assert tokenize([Condition(endless)], tokenizer=tokenizer).truncated == 1
