"""Commands that encode images before they are trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from text2earth.cli.asking import AsJson, app, hide_loading_bars, show
from text2earth.errors import RequestError

__all__ = ["encode"]


@dataclass(frozen=True, slots=True)
class _Encode:
    """A request of ``text2earth encode``."""

    dataset: str
    model: str
    output: Path
    split: str
    where: str
    levels: tuple[int, ...]
    image_size: int | None
    view: Literal["crop", "resize"]
    flips: bool
    turns: bool
    views: int
    log_variance: bool
    seed: int
    batch_size: int
    precision: str
    workers: int
    device: str | None
    part: tuple[int, int]

    def check(self) -> None:
        """Refuse at once what would fail later."""
        for name, least in (("views", 1), ("batch_size", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise RequestError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it is at least {least}")


@app.command("encode")
def encode(
    dataset: Annotated[str, typer.Argument(help="Dataset folder, folder, file or glob of shards; or an address.")],
    model: Annotated[str, typer.Argument(help="Model folder, name of a zoo model, or folder of a VAE.")],
    output: Annotated[Path, typer.Option(help="Folder of the latents.")],
    split: Annotated[str, typer.Option(help="Split to encode.")] = "train",
    where: Annotated[str, typer.Option(help="Rows to encode, e.g. 'img_quality_score > 4.8'; all if left out.")] = "",
    level: Annotated[list[int] | None, typer.Option(help="Level of rows to encode; may be repeated.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Pixels a side; the model's own if left out.")] = None,
    view: Annotated[str, typer.Option(help="'crop' cuts a square, 'resize' averages the tile down.")] = "crop",
    flips: Annotated[bool, typer.Option("--flips", help="Mirror views at random.")] = False,
    turns: Annotated[bool, typer.Option("--turns", help="Turn views by random quarters.")] = False,
    views: Annotated[int, typer.Option(help="Fixed views of each row.")] = 1,
    log_variance: Annotated[bool, typer.Option("--log-variance", help="Keep it beside the mean; twice as large.")] = (
        False
    ),
    seed: Annotated[int, typer.Option(help="Of the views.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 16,
    precision: Annotated[str, typer.Option(help="Of the encoder: no (float32), bf16 or fp16.")] = "no",
    workers: Annotated[int, typer.Option(help="Processes that decode.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …; the best there is if left out.")] = None,
    part: Annotated[str, typer.Option(help="I/N: every N-th shard from the I-th on.")] = "1/1",
    as_json: AsJson = False,
) -> None:
    """Encode a dataset's images to latents, once for all trainings; run again, it goes on where it was stopped."""
    kinds: dict[str, Literal["crop", "resize"]] = {"crop": "crop", "resize": "resize"}
    if view not in kinds:
        raise RequestError(f"--view is {view!r}; it is crop or resize")
    if precision not in {"no", "bf16", "fp16"}:
        raise RequestError(f"--precision is {precision!r}; it is no, bf16 or fp16")
    request = _Encode(
        dataset,
        model,
        output,
        split,
        where,
        tuple(level or ()),
        image_size,
        kinds[view],
        flips,
        turns,
        views,
        log_variance,
        seed,
        batch_size,
        precision,
        workers,
        device,
        _part(part),
    )
    request.check()
    report = _encode(request)
    show(report, as_json=as_json, text=_text(report))


def _part(text: str) -> tuple[int, int]:
    number, slash, count = text.partition("/")
    if slash and number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count):
        return int(number), int(count)
    raise RequestError(f"--part is {text!r}; it is I/N with I of 1 to N, as 2/8")


def _encode(request: _Encode) -> dict[str, Any]:
    """Encode; imports torch, so only once the request is known to be sound."""
    import torch

    from text2earth.data import RowFilter, View, scan
    from text2earth.data.encoding import EncodeSettings
    from text2earth.data.encoding import encode as run
    from text2earth.layout import require_device

    hide_loading_bars()
    index = scan(request.dataset, rows=RowFilter(request.split, request.levels, where=request.where))
    vae, own_size = _autoencoder(request.model)
    best = "cuda" if torch.cuda.is_available() else "cpu"
    settings = EncodeSettings(
        view=View(request.image_size or own_size, request.view, request.flips, request.turns),
        views=request.views,
        moments="mean+log_variance" if request.log_variance else "mean",
        seed=request.seed,
        batch_size=request.batch_size,
        precision=request.precision,
        workers=request.workers,
    )
    device = require_device(request.device or best)
    done = run(index, vae=vae, output=request.output, settings=settings, device=device, part=request.part)
    return {
        "latents": str(request.output),
        "key": done.key,
        "shards": done.shards,
        "rows": done.rows,
        "views": request.views,
        "bytes": done.bytes,
        "skipped_rows": dict(done.skipped),
    }


def _autoencoder(name: str) -> tuple[Any, int]:
    """Return the VAE of a model, and the image size of the model."""
    import json

    from diffusers import AutoencoderKL

    folder = Path(name)
    alone = folder / "config.json"
    if not alone.is_file():
        from text2earth.zoo import find

        folder = find(name) / "vae"
    vae: Any = AutoencoderKL.from_pretrained(folder, use_safetensors=True)  # type: ignore[no-untyped-call]
    unet = folder.parent / "unet" / "config.json"
    if not alone.is_file() and unet.is_file():
        from text2earth.models import latent_factor

        return vae, int(json.loads(unet.read_text(encoding="utf-8"))["sample_size"]) * latent_factor(vae)
    return vae, int(vae.config.sample_size)


def _text(report: dict[str, Any]) -> str:
    skipped = "".join(f"\nnot encoded: {row}: {reason}" for row, reason in report["skipped_rows"].items())
    size = report["bytes"] / max(1, report["rows"] * report["views"]) / 1024
    counts = f"{report['rows']:,} rows, {report['views']} view(s) each, of {report['shards']:,} shards"
    return f"latents in {report['latents']} ({counts}, {size:.1f} KiB a view){skipped}"
