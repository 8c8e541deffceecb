import numpy as np
import pytest
import torch

from text2earth.errors import ModelError
from text2earth.training.averages import Averages, exponent, mixture, rebuilt, snapshots, write_snapshot


def walk(steps, seed=0):
    """Weights that wander, as those of a training do."""
    draws = np.random.default_rng(seed)
    return torch.tensor(np.cumsum(draws.normal(0, 0.1, (steps, 5)), axis=0) + np.linspace(0, 3, steps)[:, None])


def averaged(path, **settings):
    """Averages after each step of a path."""
    weight = torch.nn.Parameter(torch.zeros(5, dtype=torch.float64))
    averages = Averages({"w": weight}, decay=0.999, power=0.75, **settings)
    for value in path:
        with torch.no_grad():
            weight.copy_(value)
        averages.update()
        yield averages


def test_the_published_average_warms_up():
    """Its decay at step n is min(decay, 1 − n^−power); the first step is taken whole."""
    path = walk(50)
    expected = torch.zeros(5, dtype=torch.float64)
    for number, averages in enumerate(averaged(path), start=1):
        decay = min(0.999, 1 - number**-0.75)
        expected = decay * expected + (1 - decay) * path[number - 1]
        torch.testing.assert_close(averages.published[0], expected)


@pytest.mark.parametrize("length", [0.05, 0.10, 0.25])
def test_a_power_average_has_the_length_that_it_is_called_by(length):
    """The weights of the steps, found by averaging unit vectors, spread by ``length`` of all steps."""
    steps = 400
    path = torch.eye(steps, dtype=torch.float64)
    weight = torch.nn.Parameter(torch.zeros(steps, dtype=torch.float64))
    averages = Averages({"w": weight}, decay=0.9, power=1.0, lengths=(length,))
    for value in path:
        with torch.no_grad():
            weight.copy_(value)
        averages.update()
    shares = averages.powers[0][0].numpy()
    places = np.arange(1, steps + 1)
    assert shares.sum() == pytest.approx(1.0)
    mean = (shares * places).sum()
    assert np.sqrt((shares * (places - mean) ** 2).sum()) / steps == pytest.approx(length, rel=0.03)


def test_any_length_is_rebuilt_from_snapshots_of_two(tmp_path):
    """Rebuilt against kept: an average of 0.07 that ran along, at the end and at an earlier step."""
    path, kept = walk(600), {}
    for number, averages in enumerate(averaged(path, lengths=(0.05, 0.10, 0.07)), start=1):
        if number % 60 == 0:
            for length, average in zip((0.05, 0.10), averages.powers, strict=False):
                write_snapshot(tmp_path, {"w": average[0]}, step=number, length=length)
            kept[number] = averages.powers[2][0].clone().float()
    assert len(snapshots(tmp_path)) == 20
    spread = float(path.std())
    for step in (600, 420):
        found = rebuilt(tmp_path, length=0.07, step=step)["w"]
        assert float((found - kept[step]).abs().max()) < 0.02 * spread
    # What was kept comes back as it was.
    again = rebuilt(tmp_path, length=0.05)["w"]
    shorter = rebuilt(tmp_path, length=0.02)["w"]
    assert float((again - found).abs().max()) > 0.05 * spread
    assert float((shorter - path[-1].float()).abs().mean()) < float((again - path[-1].float()).abs().mean())


def test_a_mixture_of_what_is_wanted_is_itself():
    have = [(100, exponent(0.05)), (100, exponent(0.10)), (50, exponent(0.05))]
    np.testing.assert_allclose(mixture(have, wanted=have[1]), [0, 1, 0], atol=1e-6)


def test_what_cannot_be_rebuilt_is_said(tmp_path):
    with pytest.raises(ModelError, match=r"holds snapshots of 0 lengths; two are needed: train with denoiser\.ema"):
        rebuilt(tmp_path, length=0.1)
    for length in (0.05, 0.10):
        write_snapshot(tmp_path, {"w": torch.zeros(1)}, step=10, length=length)
    with pytest.raises(ModelError, match="step 11 was asked for; the last snapshot is of step 10"):
        rebuilt(tmp_path, length=0.1, step=11)
    with pytest.raises(ValueError, match=r"length 0\.3 was given"):
        rebuilt(tmp_path, length=0.3)


def test_weights_come_back_to_the_bit_after_a_look():
    weight = torch.nn.Parameter(torch.randn(7))
    averages = Averages({"w": weight}, decay=0.9, power=1.0)
    with torch.no_grad():
        weight.add_(1.0)
    before = weight.detach().clone()
    with averages.in_place():
        torch.testing.assert_close(weight.detach(), averages.published[0])
        assert not torch.equal(weight, before)
    assert torch.equal(weight, before)
