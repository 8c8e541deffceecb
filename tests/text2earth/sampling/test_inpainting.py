import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
)
from PIL import Image

from text2earth.errors import RequestError
from text2earth.sampling import Text2EarthImg2ImgPipeline, Text2EarthInpaintPipeline

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

MASK = np.zeros((16, 24), dtype=bool)
MASK[3:8, 5:21] = True


@pytest.fixture(scope="module")
def tile():
    """A picture of 24×16 px."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8))


@pytest.fixture(scope="module", params=["an inpainting model", "a text-to-image model"])
def painter(request, inpainter, everything):
    if request.param == "an inpainting model":
        return inpainter
    pipeline = Text2EarthInpaintPipeline.from_pipe(everything)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def paint(pipeline, image, mask=MASK, prompt="water", **changes):
    request = {"num_inference_steps": 3, "output_type": "np", "generator": torch.Generator().manual_seed(1), **changes}
    return pipeline(prompt, image, mask, 14, **request).images


@pytest.mark.parametrize("strength", [1.0, 0.7])
def test_pixels_outside_the_mask_come_back_exactly(painter, tile, strength):
    original = np.asarray(tile)
    painted = np.asarray(paint(painter, tile, output_type="pil", strength=strength)[0])
    assert np.array_equal(painted[~MASK], original[~MASK])
    assert np.abs(painted[MASK].astype(int) - original[MASK]).max() > 10
    floats = original.astype(np.float32) / 255
    for image in (floats, torch.from_numpy(floats).permute(2, 0, 1)):
        assert np.array_equal(paint(painter, image, strength=strength)[0][~MASK], floats[~MASK])


def test_a_mask_may_be_a_picture_an_array_or_a_tensor(painter, tile):
    as_picture = Image.fromarray((MASK * 255).astype(np.uint8))
    first = paint(painter, tile)
    for mask in (as_picture, MASK.astype(np.float32), torch.from_numpy(MASK), torch.from_numpy(MASK)[None, None]):
        assert np.array_equal(paint(painter, tile, mask), first)


def test_what_lies_under_the_mask_is_not_seen(inpainter, tile):
    """At full strength an inpainting model starts from noise: the masked pixels leave no trace."""
    other = np.array(tile)
    other[MASK] = 255 - other[MASK]
    np.testing.assert_allclose(paint(inpainter, Image.fromarray(other)), paint(inpainter, tile), atol=1e-6)


def test_an_empty_mask_gives_the_image_back(painter, tile):
    assert np.array_equal(np.asarray(paint(painter, tile, MASK & False, output_type="pil")[0]), np.asarray(tile))


def test_several_images_with_masks_of_their_own(painter, tile):
    noise = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    images, masks = [tile, tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT)], [MASK, ~MASK]
    masks = [torch.from_numpy(mask)[None] for mask in masks]
    both = paint(painter, images, masks, ["water", "forest"], latents=noise)
    alone = paint(painter, images[1], masks[1], "forest", latents=noise[1:])
    np.testing.assert_allclose(both[1], alone[0], atol=1e-4)
    assert paint(painter, tile, prompt=["water", "forest"], num_images_per_prompt=2).shape == (4, 16, 24, 3)


@pytest.mark.parametrize(
    "scheduler",
    [
        DDIMScheduler,
        PNDMScheduler,
        DPMSolverMultistepScheduler,
        HeunDiscreteScheduler,
        FlowMatchEulerDiscreteScheduler,
    ],
)
def test_schedulers_are_swappable(painter, tile, scheduler):
    swapped = type(painter)(**{**painter.components, "scheduler": scheduler()})
    redrawn = Text2EarthImg2ImgPipeline.from_pipe(swapped) if swapped.unet.config.in_channels == 4 else None
    for pipeline in (swapped, redrawn):
        if pipeline is not None:
            pipeline.set_progress_bar_config(disable=True)
            arguments = (tile, MASK) if pipeline is swapped else (tile,)
            image = pipeline("water", *arguments, 14, strength=0.6, num_inference_steps=5, output_type="np").images
            assert image.shape == (1, 16, 24, 3) and np.isfinite(image).all()


def test_image_to_image_keeps_more_the_less_its_strength(everything, tile):
    redraw = Text2EarthImg2ImgPipeline.from_pipe(everything)
    redraw.set_progress_bar_config(disable=True)
    clean = redraw._latents_of(torch.from_numpy(np.asarray(tile) / np.float32(255)).permute(2, 0, 1)[None])

    def distance(strength):
        found = redraw(
            "water", tile, 14, strength=strength, num_inference_steps=20, guidance_scale=1.0, output_type="latent",
            generator=torch.Generator().manual_seed(1),
        ).images  # fmt: skip
        return float((found - clean).detach().norm())

    for scheduler in (redraw.scheduler, PNDMScheduler.from_config(redraw.scheduler.config)):
        redraw.scheduler = scheduler
        distances = [distance(strength) for strength in (0.05, 0.3, 0.9)]
        assert distances == sorted(distances) and distances[2] > 2 * distances[0]


def test_image_to_image_takes_as_many_steps_as_its_strength(everything, tile):
    redraw = Text2EarthImg2ImgPipeline.from_pipe(everything)
    redraw.set_progress_bar_config(disable=True)
    seen = []
    redraw(
        "water", tile, strength=0.5, num_inference_steps=10,
        callback_on_step_end=lambda _, step, timestep, tensors: seen.append(timestep) or tensors,
    )  # fmt: skip
    assert seen == [499, 399, 299, 199, 99]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": MASK[:, :16]}, "the mask is 16×16 px and the image 24×16 px; give a mask of the image's size"),
        ({"mask": MASK.astype(np.uint8)}, "the mask has the bytes 0 and 1, both nearly black; give 0 and 255"),
        ({"mask": []}, "an empty list of masks was given"),
        ({"mask": None}, "an image and a mask_image are needed"),
        (
            {"image": np.zeros((17, 24, 3), np.uint8)},
            "the image is 24×17 px; its sides are multiples of 2: crop or .* 24×16",
        ),
        ({"image": np.full((16, 24, 3), 3.0)}, r"the image has values 3…3; numbers are in 0…1, or uint8"),
        ({"image": np.zeros((16, 24, 4), np.uint8)}, r"the image has shape \(16, 24, 4\); an array ends in"),
        ({"image": np.zeros((16, 24), np.uint8)}, r"the image has shape \(16, 24\); an array ends in"),
        (
            {"image": Image.fromarray(np.full((16, 24), 4000, np.uint16))},
            r"the image has more than 8 bits \(Pillow mode I;16\)",
        ),
        ({"image": "tile.png"}, "str was given as image; give a Pillow image, an array or a tensor"),
        (
            {"image": [Image.new("RGB", (24, 16)), Image.new("RGB", (16, 16))]},
            "24×16, 16×16 px were given; a batch is of",
        ),
        ({"image": [Image.new("RGB", (24, 16))] * 3}, "3 images were given for 1 to paint; give one"),
        ({"strength": None}, "strength is None; it is a number"),
        ({"strength": 0.0}, r"strength 0\.0 was given; it is above 0 and at most 1"),
        ({"strength": 0.1}, r"strength 0\.1 of 3 steps leaves no step"),
        ({"output_type": "latent"}, "output_type 'latent' was given; choose from pil, np, pt"),
    ],
)
def test_impossible_requests_are_refused(painter, tile, change, message):
    with pytest.raises(RequestError, match=message):
        paint(painter, **{"image": tile, **change})


def test_an_inpainting_model_is_loaded_as_one(inpainter, tile, tmp_path):
    import text2earth

    inpainter.save_pretrained(tmp_path)
    again = text2earth.load(tmp_path, device="cpu")
    again.set_progress_bar_config(disable=True)
    assert isinstance(again, Text2EarthInpaintPipeline)
    assert np.array_equal(paint(again, tile), paint(inpainter, tile))
