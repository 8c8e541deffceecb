import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2earth.conditioning import NULL, Condition, DropRates, drop, parse, tokenize
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


@pytest.mark.parametrize("level", [-1, 23, 99])
def test_impossible_levels_are_refused(level):
    with pytest.raises(ConditionError, match=f"level {level} was given; levels are 1–22"):
        Condition("", level)


def test_null_condition_is_no_text_and_no_level():
    assert Condition("", 0) == NULL


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
    assert {id(found) for found in dropped if found == NULL and found is NULL}


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
