"""What the zoo knows of each model. Data only: opens no weights and asks no server.

Hashes were read on the hub's own pages (stored copies, November 2026). Where a file or a revision is not listed here,
nobody of us has seen its hash: it is then verified against what the hub announces for the commit that is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["SHIPPED", "ZOO", "HubSource", "Kind", "Status", "ZooModel"]

Kind = Literal["text-to-image", "inpainting", "image-text"]
Status = Literal["shipped", "on hub", "recipe only"]

SHIPPED = Path(__file__).parents[1] / "zoo_models"
"""Folder of the package that holds shipped models, one folder each, by name."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """A model repository on the Hugging Face hub.

    Args:
        repository: ``owner/name``.
        revision: Full hash of the commit that is used; None: the head of the main branch when it is first fetched.
        sha256: Of files, by path, where we know it from elsewhere than the answer that is being checked.
    """

    repository: str
    revision: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def page(self) -> str:
        """Address of the model's page."""
        return f"https://huggingface.co/{self.repository}"


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A model that has a name.

    Args:
        name: Of the model.
        kind: ``"text-to-image"``, ``"inpainting"`` or ``"image-text"`` (scores how well a text fits an image).
        architecture: In a few words.
        parameters: Number of weights; None where only the files know.
        licence: As its publisher says it, with what else is said about its use.
        recipe: Arguments of ``text2earth train`` that make such a model, if there are some.
        hub: Where the hub has it, if it does.
    """

    name: str
    kind: Kind
    architecture: str
    parameters: int | None
    licence: str
    recipe: str | None = None
    hub: HubSource | None = None

    @property
    def shipped(self) -> Path:
        """Where its folder stands if it is shipped."""
        return SHIPPED / self.name

    @property
    def status(self) -> Status:
        """Whether it is in the package, on the hub, or only a command that makes it."""
        if (self.shipped / "model_index.json").is_file():
            return "shipped"
        return "on hub" if self.hub else "recipe only"

    @property
    def card(self) -> str:
        """Where its card stands: a file, an address, or the configuration that makes it."""
        if self.status == "shipped":
            return str(self.shipped / "README.md")
        return self.hub.page if self.hub else f"text2earth train {self.recipe}"


_APACHE = "Apache-2.0 (the hub's tag; trained on Git-10M, whose own licence is CC-BY-NC-ND-4.0)"

_ENTRIES = (
    ZooModel(
        "text2earth-tiny",
        "text-to-image",
        "Text2Earth at 64 px: KL autoencoder (factor 4), CLIP text encoder, U-Net with level",
        4_146_187,
        "Apache-2.0",
        recipe="pipelines/text2earth-tiny.toml --var dataset=FOLDER",
    ),
    ZooModel(
        "text2earth-tiny-inpainting",
        "inpainting",
        "text2earth-tiny with mask and masked image as further input",
        4_148_347,
        "Apache-2.0",
        recipe="pipelines/text2earth-tiny-inpainting.toml --var dataset=FOLDER --var start=text2earth-tiny",
    ),
    ZooModel(
        "text2earth-dit-tiny",
        "text-to-image",
        "transformer trained by flow matching, 64 px, in the place of text2earth-tiny's U-Net",
        6_378_887,
        "that of who trains it",
        recipe="pipelines/text2earth-dit-tiny.toml --var dataset=FOLDER",
    ),
    ZooModel(
        "text2earth-dit",
        "text-to-image",
        "transformer trained by flow matching, 256 px, in the place of Text2Earth's U-Net",
        722_810_103,
        "that of who trains it",
        recipe="pipelines/text2earth-dit.toml --var dataset=FOLDER",
    ),
    ZooModel(
        "text2earth",
        "text-to-image",
        "Text2Earth (arXiv 2501.00895): Stable Diffusion 2 with level, 256 px",
        1_292_002_987,
        _APACHE,
        recipe="pipelines/text2earth-from-scratch.toml --var dataset=FOLDER",
        hub=HubSource(
            "lcybuaa/Text2Earth",
            sha256={
                "unet/diffusion_pytorch_model.safetensors": (
                    "3f2228d1917595534b8789c404238b937fc64e672ee8bd4ddcdb1a3044e04b5e"
                )
            },
        ),
    ),
    ZooModel(
        "text2earth-inpainting",
        "inpainting",
        "Text2Earth (arXiv 2501.00895): Stable Diffusion 2 inpainting with level, 256 px",
        1_292_017_387,
        _APACHE,
        hub=HubSource("lcybuaa/Text2Earth-inpainting"),
    ),
    ZooModel(
        "git-rsclip",
        "image-text",
        "Git-RSCLIP (arXiv 2501.00895): SigLIP large, patch 16, 256 px, 64 tokens",
        652_150_786,
        _APACHE,
        hub=HubSource(
            "lcybuaa/Git-RSCLIP",
            sha256={"model.safetensors": "3cfce8058d573fa2dae91e0b872e2af724ae9337a923ff8b674a2aed4bd92750"},
        ),
    ),
    ZooModel(
        "git-rsclip-base",
        "image-text",
        "Git-RSCLIP (arXiv 2501.00895): SigLIP base, patch 16",
        None,
        _APACHE,
        hub=HubSource(
            "lcybuaa/Git-RSCLIP-base",
            revision="7870d619c5260add0f02eeee5d64ad61222339fc",
            sha256={"model.safetensors": "f412d26aab23cf124c83216cbbeee848aac7e6a7afa0e2966101373cf30dc1ca"},
        ),
    ),
)

ZOO: Mapping[str, ZooModel] = {model.name: model for model in _ENTRIES}
"""The models by name."""
