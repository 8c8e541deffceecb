"""The card of a trained model: what it is, what it learnt from and whose imagery that was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from text2earth.data import DatasetIdentity
from text2earth.models import PRESETS
from text2earth.training.config import TrainConfig

__all__ = ["CardFacts", "cascade_card", "credits_table", "model_card"]


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card reports beside the configuration.

    Args:
        identity: The training data.
        parameters: Number of parameters of each network.
        image_size: Pixels a side.
        levels: Images trained on, by level as the view labels them.
        seen: Images trained on.
        truncated: Captions among them that lost their end.
        skipped: Reason by row, of rows that could not be used.
    """

    identity: DatasetIdentity
    parameters: Mapping[str, int]
    image_size: int
    levels: Mapping[int, int]
    seen: int
    truncated: int
    skipped: Mapping[str, str]


def model_card(config: TrainConfig, facts: CardFacts) -> str:
    """Return the README.md of a model folder, with the front matter that the Hugging Face hub reads."""
    identity = facts.identity
    levels = ", ".join(f"{level} ({count:,})" for level, count in sorted(facts.levels.items()))
    sizes = ", ".join(f"{name} {count:,}" for name, count in facts.parameters.items())
    seen = "computed by a program, not observed" if identity.synthetic else "observed"
    version = f", version {identity.version}" if identity.version else ""
    images = "image=image, mask_image=mask, " if config.model.inpainting else ""
    some_level = max(facts.levels, key=lambda level: facts.levels[level], default=0)
    return f"""---
library_name: diffusers
pipeline_tag: {"image-to-image" if config.model.inpainting else "text-to-image"}
tags: [text2earth, remote-sensing, satellite-imagery, synthetic]
---

# {config.name}

{_kind(config)}: text and a resolution level in, a satellite-like image out.

**Every image that it makes is synthetic.** It shows no place on Earth, whatever coordinates it is given; the
writers of `text2earth` mark their files so, and whoever passes an image on should keep the mark.

| | |
|---|---|
| size | {sum(facts.parameters.values()):,} parameters ({sizes}), preset `{config.model.preset}` |
| image | {facts.image_size} × {facts.image_size} px, RGB |
| levels trained on (images) | {levels or "none"} |
| prediction | {config.model.prediction} |
| images seen | {facts.seen:,} by the denoiser, batch {config.denoiser.batch_size}, {config.denoiser.steps:,} steps |
| captions cut at the encoder's length | {facts.truncated:,} |
| rows that could not be read | {len(facts.skipped):,} |

## Use

    import text2earth

    pipeline = text2earth.load("THIS_FOLDER")
    image = pipeline("a river through forest", {images}level={some_level}).images[0]

## Training data

`{identity.name}`{version}, fingerprint `{identity.fingerprint}`: {identity.rows:,} images, {seen}.

{credits_table(identity)}

Weights learn from these images; whoever passes the model on should pass these credits on.
"""


def cascade_card(config: TrainConfig, facts: CardFacts) -> str:
    """Return the README.md of a cascade's model folder."""
    assert config.cascade is not None
    identity, cascade = facts.identity, config.cascade
    levels = ", ".join(f"{level} ({count:,})" for level, count in sorted(facts.levels.items()))
    sizes = ", ".join(f"{name} {count:,}" for name, count in facts.parameters.items())
    stages = " → ".join(map(str, cascade.stage_levels))
    seen = "computed by a program, not observed" if identity.synthetic else "observed"
    return f"""---
library_name: diffusers
pipeline_tag: text-to-image
tags: [metaearth, remote-sensing, satellite-imagery, synthetic]
---

# {config.name}

A cascade after MetaEarth (arXiv 2405.13570): one network paints every stage, from text and level, and from the window
at the level above, {cascade.factor} times coarser.

**Every image that it makes is synthetic.** It shows no place on Earth, wherever it is put on a map; the writers of
`text2earth` mark their files so, and whoever passes an image on should keep the mark.

| | |
|---|---|
| size | {sum(facts.parameters.values()):,} parameters ({sizes}), preset `{config.model.preset}` |
| window | {facts.image_size} × {facts.image_size} px, RGB |
| levels of the stages | {stages} |
| levels trained on (images) | {levels or "none"} |
| prediction | {config.model.prediction}, {cascade.steps} steps when it paints |
| images seen | {facts.seen:,}, batch {config.denoiser.batch_size}, {config.denoiser.steps:,} steps |
| rows that could not be used | {len(facts.skipped):,} |

## Use

    import text2earth

    pipeline = text2earth.load("THIS_FOLDER")
    coarse = pipeline("forest", level={cascade.base_level}).images[0]
    centre = coarse.crop((24, 24, 40, 40))
    finer = pipeline("forest", level={cascade.stage_levels[-1]}, low=centre).images[0]

## Training data

`{identity.name}`, fingerprint `{identity.fingerprint}`: {identity.rows:,} tiles, {seen}.

{credits_table(identity)}

Weights learn from these images; whoever passes the model on should pass these credits on.
"""


def _kind(config: TrainConfig) -> str:
    """Return what sort of model it is."""
    masked = " for inpainting" if config.model.inpainting else ""
    if PRESETS[config.model.preset].transformer:
        return f"A transformer{masked} in the place of Text2Earth's U-Net (arXiv 2501.00895), with the same conditions"
    return f"A Text2Earth model{masked} (arXiv 2501.00895)"


def credits_table(identity: DatasetIdentity) -> str:
    """Return whose imagery a model learnt from, as a table in Markdown."""
    if not identity.credits:
        return "The rows name no licence and no attribution."
    rows = [f"| {credit.source_id} | {credit.licence} | {credit.attribution} |" for credit in identity.credits]
    return "\n".join(["| source | licence | attribution |", "|---|---|---|", *rows])
