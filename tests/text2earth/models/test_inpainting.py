import numpy as np
import pytest
import torch
from small_models import nano_preset

from text2earth.models import build, draw_mask, inpainting_channels, train_tokenizer


def test_a_mask_is_keyed_by_seed_and_counter():
    masks = [draw_mask(64, seed=3, counter=counter) for counter in range(40)]
    again = [draw_mask(64, seed=3, counter=counter) for counter in reversed(range(40))]
    assert all(np.array_equal(one, other) for one, other in zip(masks, again[::-1], strict=True))
    assert any(not np.array_equal(mask, draw_mask(64, seed=4, counter=c)) for c, mask in enumerate(masks))
    assert all(mask.dtype == bool and mask.shape == (64, 64) for mask in masks)


def test_the_distribution_of_masks_is_as_stated():
    masks = [draw_mask(64, seed=1, counter=counter) for counter in range(1000)]
    whole = [mask.all() for mask in masks]
    assert np.mean(whole) == pytest.approx(0.25, abs=0.055)  # four standard deviations
    assert all(mask.any() for mask in masks)
    # Outpainting: what is kept lies along the border, and the middle is painted.
    edge = [not mask.all() and bool(mask[32, 32]) and not (mask[0].any() and mask[-1].any()) for mask in masks]
    assert 0.1 < np.mean(edge) < 0.45
    shares = np.array([mask.mean() for mask in masks])
    assert ((shares > 0.01) & (shares < 0.3)).mean() > 0.15 and ((shares > 0.3) & (shares < 1.0)).mean() > 0.25


@pytest.mark.parametrize("size", [1, 3, 16, 257])
def test_any_size_has_masks(size):
    assert all(draw_mask(size, seed=0, counter=counter).shape == (size, size) for counter in range(30))


def test_channels_are_the_mask_and_the_rest_of_the_image():
    model = build(nano_preset(), tokenizer=train_tokenizer(["water"], vocab_size=600))
    pixels = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mask = torch.zeros(2, 1, 16, 16)
    mask[:, :, 5, 5] = 1.0
    with torch.no_grad():
        channels = inpainting_channels(pixels, mask, vae=model.vae)
        changed = pixels.clone()
        changed[:, :, 5, 5] = 1.0
        again = inpainting_channels(changed, mask, vae=model.vae)
    assert channels.shape == (2, 5, 8, 8)
    assert torch.equal(channels, again)  # nothing of the masked pixel is seen
    # A latent is to be painted if any of its pixels is.
    assert channels[:, 0].nonzero().tolist() == [[0, 2, 2], [1, 2, 2]]
