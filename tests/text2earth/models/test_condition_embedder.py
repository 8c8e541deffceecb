from dataclasses import replace

import pytest
import torch
from small_models import nano_preset

from text2earth.conditioning import NULL, Condition, extras_of
from text2earth.errors import ModelError
from text2earth.models import CONDITIONS, ConditionEmbedder, Inputs, build, train_tokenizer

SOURCES = ("aerial", "satellite")
EVERYTHING = Condition("", 0, gsd_m=0.6, lon=11.5, lat=48.1, month=7, source="aerial")


@pytest.fixture
def embedder():
    torch.manual_seed(0)
    return ConditionEmbedder(tuple(CONDITIONS), width=32, sources=SOURCES)


def embedded(embedder, *conditions):
    """One vector for each condition."""
    return embedder(extras_of(conditions, sources=SOURCES))


@pytest.mark.parametrize(
    "change", [{"gsd_m": 1.2}, {"lon": 12.0}, {"lat": 20.0}, {"month": 1}, {"source": "satellite"}]
)
def test_each_condition_tells(embedder, change):
    one, other = embedded(embedder, EVERYTHING, replace(EVERYTHING, **change)).detach()
    assert float((one - other).abs().max()) > 1e-3


def test_near_is_near_and_the_antimeridian_is_nowhere_special(embedder):
    def place(lon, lat):
        return Condition("", 0, lon=lon, lat=lat)

    west, east, far = embedded(embedder, place(-180.0, 10.0), place(180.0, 10.0), place(0.0, 10.0)).detach()
    torch.testing.assert_close(west, east, atol=1e-4, rtol=0)
    pole, same = embedded(embedder, place(0.0, 90.0), place(120.0, 90.0))
    torch.testing.assert_close(pole, same, atol=1e-4, rtol=0)
    assert float((west - far).abs().max()) > 1e-2
    december, january, june = embedded(embedder, *(Condition("", 0, month=month) for month in (12, 1, 6))).detach()
    assert float((december - january).norm()) < float((december - june).norm())


def test_each_null_is_learnt_by_itself(embedder):
    """A row's gradient reaches the nulls of what it leaves open, the embedders of what it says, and no other."""
    for name, fields in CONDITIONS.items():
        embedder.zero_grad()
        embedded(embedder, replace(EVERYTHING, **dict.fromkeys(fields))).square().sum().backward()
        moved = {other for other in CONDITIONS if float(embedder.nulls[other].grad.abs().sum()) > 0}
        assert moved == {name}
        said = {
            other
            for other in CONDITIONS
            if any(float(weight.grad.abs().sum()) > 0 for weight in embedder.embedders[other].parameters())
        }
        assert said == set(CONDITIONS) - {name}
        assert all(weight.grad.isfinite().all() for weight in embedder.parameters())


def test_the_null_condition_is_the_sum_of_the_nulls(embedder):
    torch.testing.assert_close(embedded(embedder, NULL)[0], sum(embedder.nulls.values()))


@pytest.mark.parametrize(
    ("conditions", "sources", "message"),
    [
        (("weather",), (), "conditions \\['weather'\\] were given; choose from gsd, place, month, source"),
        ((), (), "choose from gsd"),
        (("source",), (), "the condition 'source' needs the names"),
        (("gsd",), ("aerial",), "and they need it"),
    ],
)
def test_impossible_embedders_are_refused(conditions, sources, message):
    with pytest.raises(ModelError, match=message):
        ConditionEmbedder(conditions, sources=sources)


def test_it_saves_and_loads_as_a_component(embedder, tmp_path):
    embedder.save_pretrained(tmp_path)
    again = ConditionEmbedder.from_pretrained(tmp_path)
    assert tuple(again.config.sources) == SOURCES
    assert torch.equal(embedded(again, EVERYTHING, NULL), embedded(embedder, EVERYTHING, NULL))


def test_new_conditions_have_no_effect_at_first():
    tokenizer = train_tokenizer(["water"], vocab_size=600)
    model = build(nano_preset(), tokenizer=tokenizer, inputs=Inputs(("gsd", "place", "month", "source"), SOURCES))
    noisy = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    rest = {"encoder_hidden_states": torch.zeros(2, 77, 32), "class_labels": torch.tensor([0, 14])}
    said = embedded(model.condition_embedder, EVERYTHING, NULL)
    with torch.no_grad():
        plain = model.unet(noisy, 5, **rest).sample
        assert torch.equal(model.unet(noisy, 5, timestep_cond=said, **rest).sample, plain)
    # … but they can be learnt: the gradient reaches the way in, and beyond it once that has moved.
    model.unet(noisy, 5, timestep_cond=said, **rest).sample.square().sum().backward()
    way_in = model.unet.time_embedding.cond_proj.weight
    assert float(way_in.grad.abs().sum()) > 0
