"""How an image was made, as text tags and as an XMP packet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol, Self
from xml.sax.saxutils import escape, quoteattr

__all__ = ["DIGITAL_SOURCE_TYPE", "Origin", "PaintedWorld", "xmp_packet"]

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for media made by a model that learnt from sampled content."""

_LONGEST = 8000
"""Characters of a prompt in an XMP packet, which a JPEG holds in one segment of 64 KiB."""

_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 and UTF-8 cannot hold: control characters and halves of surrogate pairs."""


class PaintedWorld(Protocol):
    """What a world says of itself."""

    @property
    def model_name(self) -> str:
        """Name of the model that paints it."""

    @property
    def prompt(self) -> str:
        """Text that it was asked with."""

    @property
    def seed(self) -> int:
        """Of its noise."""

    @property
    def fingerprint(self) -> str:
        """Hash of all that its pixels depend on, the weights first."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How an image was made.

    Args:
        model: Name or folder name of the model.
        prompt: Text that it was asked with.
        level: Zoom level 0…22; 0 is unknown, but for a world's tile.
        seed: Of the initial noise.
        steps: Denoising steps; None where the model's own configuration says so.
        guidance_scale: Of the text; None likewise.
        further: Conditions beside text and level, as (name, value).
        model_hash: Hash of the weights and their configuration; "" where it was not taken.
    """

    model: str
    prompt: str
    level: int
    seed: int
    steps: int | None = None
    guidance_scale: float | None = None
    further: tuple[tuple[str, str], ...] = ()
    model_hash: str = ""

    @classmethod
    def of_world(cls, world: PaintedWorld, *, level: int) -> Self:
        """Return that of a world's pixels at a zoom level."""
        return cls(world.model_name, world.prompt, level, world.seed, model_hash=world.fingerprint)

    def tags(self) -> dict[str, str]:
        """Return it as text tags; the first one says what matters."""
        said = {
            "SYNTHETIC": "YES",
            "DESCRIPTION": "Synthetic image made by a generative model; it shows no real place.",
            "DIGITAL_SOURCE_TYPE": DIGITAL_SOURCE_TYPE,
            "SOFTWARE": self.software,
            "MODEL": self.model,
            "MODEL_HASH": self.model_hash or None,
            "PROMPT": self.prompt,
            "LEVEL": self.level,
            "SEED": self.seed,
            "STEPS": self.steps,
            "GUIDANCE_SCALE": self.guidance_scale,
            **{name.upper(): value for name, value in self.further},
        }
        return {name: _writable(str(value)) for name, value in said.items() if value is not None}

    @property
    def software(self) -> str:
        """Name and version of this program."""
        return f"text2earth {_version()}"


def xmp_packet(origin: Origin) -> str:
    """Return an XMP packet (ISO 16684-1) with IPTC's properties of generated media, and the seed.

    ``DigitalSourceType`` and the ``AI…`` properties are those of IPTC Photo Metadata 2025.1.
    """
    tags = origin.tags()
    prompt = tags["PROMPT"] if len(tags["PROMPT"]) <= _LONGEST else tags["PROMPT"][: _LONGEST - 1] + "…"
    said = {
        "xmp:CreatorTool": f"{origin.software}, model {tags['MODEL']}",
        "Iptc4xmpExt:DigitalSourceType": DIGITAL_SOURCE_TYPE,
        "Iptc4xmpExt:AISystemUsed": tags["MODEL"],
        "Iptc4xmpExt:AISystemVersionUsed": tags.get("MODEL_HASH"),
        "Iptc4xmpExt:AIPromptInformation": prompt or None,
        "text2earth:Level": tags["LEVEL"],
        "text2earth:Seed": tags["SEED"],
    }
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in said.items() if value is not None)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about=""'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        f' xmlns:text2earth="urn:text2earth:origin:"{attributes}>'
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{escape(prompt)}</rdf:li></rdf:Alt>'
        "</dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="r"?>'
    )


def _writable(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)


def _version() -> str:
    try:
        return version("git10m")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
