"""Untrained models of every kind: what a pipeline does with its networks does not depend on their weights."""

from __future__ import annotations

import pytest
import torch
from small_models import nano_preset

from text2earth.checkpoints import new_scheduler
from text2earth.models import CONDITIONS, Inputs, build, train_tokenizer
from text2earth.sampling import Text2EarthInpaintPipeline, Text2EarthPipeline

SOURCES = ("aerial", "satellite")


def made(kind, *, inputs=Inputs(), **config):  # noqa: B008
    """A pipeline of random weights, whose further conditions have an effect."""
    tokenizer = train_tokenizer(["a view of water. forest and fields"], vocab_size=600)
    model = build(nano_preset(), tokenizer=tokenizer, inputs=inputs)
    if inputs.conditions:
        torch.nn.init.normal_(model.unet.time_embedding.cond_proj.weight)
    parts = (model.vae.eval(), model.text_encoder.eval(), tokenizer, model.unet.eval(), new_scheduler("epsilon"))
    pipeline = kind(*parts, model.condition_embedder, **config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="session")
def everything():
    """A text-to-image pipeline that takes every condition, and prompts of two windows."""
    return made(Text2EarthPipeline, inputs=Inputs(tuple(CONDITIONS), SOURCES), text_windows=2)


@pytest.fixture(scope="session")
def inpainter():
    """A pipeline over an inpainting model."""
    return made(Text2EarthInpaintPipeline, inputs=Inputs(inpainting=True))
