"""From a configuration to a model folder."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from text2earth.checkpoints import replaced_folder, save_cascade, save_model
from text2earth.data import DatasetIdentity, Examples, LatentCache, ShardIndex, batches
from text2earth.errors import ConfigError, ShardError
from text2earth.layout import read_tensors
from text2earth.models import (
    CASCADES,
    PRESETS,
    Inputs,
    Text2Earth,
    build,
    build_cascade,
    parameter_counts,
    start_as_average,
    train_tokenizer,
    warm_start,
)
from text2earth.training.adapting import (
    AdapterStage,
    adapted,
    adapter_parameters,
    under_control,
    write_adapter,
    write_adapter_card,
)
from text2earth.training.card import CardFacts, cascade_card, model_card
from text2earth.training.cascading import CascadeStage, cascade_stage
from text2earth.training.config import TrainConfig, VaeSettings, ValidationSettings
from text2earth.training.loop import Pace, Phase, run_stage
from text2earth.training.parallel import Spread, whole
from text2earth.training.stages import DenoiserLoss, DenoiserStage, VaeLoss, VaeStage, posterior_latents
from text2earth.training.tally import Tally
from text2earth.training.validation import Validation
from text2earth.zoo import find

__all__ = [
    "TrainResult",
    "denoiser_stage",
    "image_size",
    "new_model",
    "tokenizer_of",
    "train",
    "training_phases",
    "vae_stage",
]

_TOKENIZER_CAPTIONS = 200_000
"""Captions that the byte-pair encoding is learnt from, at most."""
_SCALE_IMAGES = 256
"""Images that the scale of the latents is measured on."""
_FREE_TO_CHANGE = {
    "data.path",
    "data.workers",
    "run.activation_checkpointing",
    "run.checkpoint_every",
    "run.compile",
    "run.keep",
    "run.log_every",
    "run.shard",
    "run.tensorboard",
    *("validation", *(f"validation.{name}" for name in ValidationSettings.model_fields)),
}
"""Settings that do not alter what is computed (some its rounding), so that an interrupted run may change them."""
_ENDED = "ended.json"


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training made.

    Args:
        folder: The model folder.
        parameters: Number of parameters of each network.
        tally: What the denoiser met in the data.
        identity: The training data.
    """

    folder: Path
    parameters: dict[str, int]
    tally: Tally
    identity: DatasetIdentity


def train(config: TrainConfig, *, output: Path) -> TrainResult:
    """Train a model, or go on with a training of the same configuration that was interrupted.

    ``output`` becomes a model folder; ``output/training`` holds the log and, until the end, the states. A training
    that has ended is not begun again.

    Raises:
        ConfigError: If the folder holds a training of another configuration or dataset; names the changed keys.
        ShardError: If there is nothing to train on, or no row has a caption.
        DivergedError: If a loss is infinite or not a number.
        InterruptedTraining: If SIGTERM or SIGINT came; the state is saved.
    """
    run = config.run
    accelerator = Accelerator(mixed_precision=run.precision)
    spread = Spread(accelerator, run.shard, run.compile, run.activation_checkpointing)
    index = config.data.index()
    if config.validation is not None:
        config.data.index(split=config.validation.split)  # a split that is not there is said now, not hours later
    folder = output / "training"
    with ExitStack() as held:
        with accelerator.main_process_first():
            _claim(folder, config=config, identity=index.identity)
            if (folder / _ENDED).is_file():
                return _ended(output, index.identity)
            if accelerator.is_main_process:
                held.enter_context(_alone(folder))
            _require_captions(index, config=config)
            tokenizer = tokenizer_of(folder, config=config, index=index)
        return _trained(config, index=index, tokenizer=tokenizer, spread=spread, output=output)


def _trained(config: TrainConfig, *, index: ShardIndex, tokenizer: Any, spread: Spread, output: Path) -> TrainResult:
    run, accelerator, folder = config.run, spread.accelerator, output / "training"
    model = new_model(config, tokenizer=tokenizer, report=folder / "start.txt")
    pace = Pace(folder, run.checkpoint_every, run.log_every, config.data.workers, run.keep, run.tensorboard)
    phases = training_phases(config, index=index, image_size=model.image_size)
    if config.cascade is None:
        model = _with_vae(model, config=config, examples=phases[0].examples, spread=spread, pace=pace)
        phases = _from_cache(phases, config=config, vae=model.vae)
    model, tally = _train_denoiser(model, config=config, phases=phases, spread=spread, pace=pace)
    parameters = adapter_parameters(output) if config.is_adapter else parameter_counts(model)
    result = TrainResult(output, parameters, tally, index.identity)
    if accelerator.is_main_process:
        _publish(model, config=config, result=result)
    accelerator.wait_for_everyone()
    return result


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others from training in a folder; the system lets go of it when this process ends, however it ends.

    Raises:
        ConfigError: If another process trains there.
    """
    with (folder / "lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another process trains in {folder.parent}; wait for it, or give another --output"
            ) from error
        yield


def training_phases(config: TrainConfig, *, index: ShardIndex, image_size: int) -> list[Phase]:
    """Return the denoiser's phases, the stage's own steps first."""
    phases = [Phase(config.denoiser, _examples(config, index=index, image_size=image_size))]
    for settings in config.denoiser.phases:
        rows = config.data.narrowed(settings).index()
        phases.append(Phase(settings, _examples(config, index=rows, image_size=image_size)))
    return phases


def _examples(config: TrainConfig, *, index: ShardIndex, image_size: int) -> Examples:
    data, view = config.data, config.data.view_of(image_size)
    return Examples(index, view=view, seed=config.run.seed, images=data.images, window_groups=data.window_groups)


def _from_cache(phases: list[Phase], *, config: TrainConfig, vae: Any) -> list[Phase]:
    """Have the denoiser read cached latents in place of pixels, if the configuration names a cache."""
    if not config.data.latents:
        return phases
    cache = LatentCache(config.data.latents)
    found = []
    for phase in phases:
        cache.require(vae=vae, view=phase.examples.view, index=phase.examples.index)
        # What is around a mask is encoded as it is drawn; only the whole image is in the cache.
        examples = phase.examples.with_latents(cache, pixels_too=config.model.inpainting)
        found.append(replace(phase, examples=examples))
    return found


def new_model(config: TrainConfig, *, tokenizer: Any, report: Path | None = None) -> Any:
    """Return the model before its first step: fresh, or with the weights of the model that is its start.

    It is a ``Text2Earth``, or a ``Cascade`` where the configuration has one.

    Args:
        config: Of the training.
        tokenizer: The run's.
        report: File that says what became of each key of the start; a transformer may start from a model with a
            U-Net, and then only takes its autoencoder and text encoder.

    Raises:
        ModelError: If the start is no model, or of another shape; names the first keys that differ.
    """
    size, seed = image_size(config), config.run.seed
    if config.cascade is not None:
        cascade, factor = CASCADES[config.model.preset], config.cascade.factor
        return build_cascade(cascade, tokenizer=tokenizer, image_size=size, factor=factor, seed=seed)
    preset = PRESETS[config.model.preset]
    model = build(preset, tokenizer=tokenizer, image_size=size, seed=seed, inputs=_inputs(config))
    if not config.model.start:
        return model
    folder, said = find(config.model.start), []
    for name in ("vae", "text_encoder", model.denoiser_name):
        if name == "unet" and not (folder / name).is_dir():
            raise ConfigError(
                f"model.start {config.model.start} has no U-Net, and model.preset {config.model.preset} has one; give "
                "a start with a U-Net, or the preset of a transformer"
            )
        if name == "transformer" and not (folder / name).is_dir():
            said.append(f"{name}: fresh, for {folder} has another denoiser")
            continue
        said.append(f"{name}: {warm_start(getattr(model, name), _weights_of(folder / name))}")
    if model.condition_embedder is not None and (folder / "condition_embedder").is_dir():
        weights = _weights_of(folder / "condition_embedder")
        said.append(f"condition_embedder: {warm_start(model.condition_embedder, weights)}")
    scaling = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8")).get("scaling_factor")
    if scaling is not None:
        model.vae.register_to_config(scaling_factor=scaling)
    if report is not None:
        report.write_text("\n".join(said) + "\n", encoding="utf-8")
    return model


def _inputs(config: TrainConfig) -> Inputs:
    """Return what the U-Net takes beside the published model's inputs."""
    return Inputs(config.conditions.further, config.conditions.sources, config.model.inpainting)


def _weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a component in float32, by today's names, whichever layout and version wrote them."""
    tensors = read_tensors(folder, network=folder.name)
    return {name: tensor.float() for name, tensor in tensors if tensor.is_floating_point()}


def _require_captions(index: ShardIndex, *, config: TrainConfig) -> None:
    """Refuse a dataset without text, from which no prompt could be learnt."""
    if config.conditions.drop_text < 1.0 and not any(caption.strip() for caption in index.captions()):
        raise ShardError(
            f"{index.identity.name} has no captions: they are empty in all of its {index.rows:,} rows; run "
            "'git10m caption' on it, or train without text with conditions.drop_text = 1"
        )


def _ended(output: Path, identity: DatasetIdentity) -> TrainResult:
    found = json.loads((output / "training" / _ENDED).read_text(encoding="utf-8"))
    return TrainResult(output, found["parameters"], Tally.from_json(found["tally"]), identity)


def image_size(config: TrainConfig) -> int:
    """Return the side of the images that are trained on, in pixels.

    Raises:
        ConfigError: If the networks cannot halve it.
    """
    preset = _preset(config)
    size = config.model.image_size or preset.image_size
    if size % preset.size_step:
        raise ConfigError(
            f"model.image_size is {size}; for preset {config.model.preset} it is a multiple of {preset.size_step}"
        )
    return size


def _preset(config: TrainConfig) -> Any:
    """Return the sizes of the model: of a Text2Earth, or of a cascade."""
    name = config.model.preset
    return PRESETS[name] if config.cascade is None else CASCADES[name]


def _claim(folder: Path, *, config: TrainConfig, identity: DatasetIdentity) -> None:
    """Note what is trained here, or refuse to go on with something else."""
    wanted = {
        "config": config.model_dump(mode="json"),
        "dataset": identity.fingerprint,
        "rows": identity.rows,
    }
    name = folder / "run.json"
    if name.is_file():
        before, now = (_flat(found) for found in (json.loads(name.read_text(encoding="utf-8")), wanted))
        changed = [
            f"{key} ({before.get(key)!r} → {now.get(key)!r})"
            for key in sorted({*before, *now})
            if before.get(key) != now.get(key) and key.removeprefix("config.") not in _FREE_TO_CHANGE
        ]
        if changed:
            raise ConfigError(
                f"{folder.parent} holds a training of another configuration; changed: {', '.join(changed)}. "
                "Restore it to go on, or give another --output"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    fresh = name.with_suffix(".tmp")
    fresh.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
    fresh.replace(name)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix.removesuffix("."): value}
    return {key: found for name, item in value.items() for key, found in _flat(item, f"{prefix}{name}.").items()}


def tokenizer_of(folder: Path, *, config: TrainConfig, index: ShardIndex) -> Any:
    """Return the run's tokenizer: that of the start, else one trained on the captions at the first run."""
    name = folder / "tokenizer"
    if not name.is_dir() and config.model.start:
        with replaced_folder(name) as fresh:
            CLIPTokenizer.from_pretrained(find(config.model.start) / "tokenizer").save_pretrained(fresh)
    if not name.is_dir():
        sizes = _preset(config).text_encoder
        captions = islice(index.captions(), _TOKENIZER_CAPTIONS)
        positions = int(sizes["max_position_embeddings"])
        trained = train_tokenizer(captions, vocab_size=int(sizes["vocab_size"]), positions=positions)
        with replaced_folder(name) as fresh:
            trained.save_pretrained(fresh)
    return CLIPTokenizer.from_pretrained(name)


def _with_vae(model: Text2Earth, *, config: TrainConfig, examples: Examples, spread: Spread, pace: Pace) -> Text2Earth:
    """Train the autoencoder, or read it back if that stage has ended; set the scale of its latents."""
    name, settings = pace.folder / "vae-trained", config.vae
    if not name.is_dir():
        if settings is None:
            _keep_vae(model.vae, name, spread=spread)
        else:
            if not config.model.start:
                start_as_average(model.vae)
            _train_vae(model.vae, config=config, settings=settings, examples=examples, spread=spread, pace=pace)
            scale = _latent_scale(model.vae, examples=examples, seed=config.run.seed, device=spread.device)
            model.vae.register_to_config(scaling_factor=scale)
            _keep_vae(model.vae, name, spread=spread)
    # Always from disk: a run that never stopped and one that was resumed go on from the same bytes.
    vae: Any = AutoencoderKL.from_pretrained(name, use_safetensors=True)  # type: ignore[no-untyped-call]
    vae.to(spread.device, memory_format=torch.channels_last).requires_grad_(False).eval()
    return replace(model, vae=vae)


def _keep_vae(vae: Any, name: Path, *, spread: Spread) -> None:
    if spread.accelerator.is_main_process:
        with replaced_folder(name) as fresh:
            vae.to(memory_format=torch.contiguous_format).save_pretrained(fresh)
    spread.accelerator.wait_for_everyone()


def _train_vae(
    vae: Any, *, config: TrainConfig, settings: VaeSettings, examples: Examples, spread: Spread, pace: Pace
) -> None:
    run_stage(
        vae_stage(vae, config=config, settings=settings),
        settings=settings,
        phases=[Phase(settings, examples)],
        first_counter=0,
        # The autoencoder is small, and is not called as a whole, which sharding needs.
        spread=replace(spread, shard=False, checkpointing=False),
        pace=pace,
    )


def _latent_scale(vae: Any, *, examples: Examples, seed: int, device: torch.device) -> float:
    """Return 1/σ of the latents, which the denoiser then sees with unit variance."""
    vae.register_to_config(scaling_factor=1.0)
    positions = [list(range(start, start + 8)) for start in range(0, _SCALE_IMAGES, 8)]
    latents = [
        posterior_latents(vae, batch, seed=seed, device=device).float().cpu()
        for batch in batches(examples, positions=positions)
    ]
    return 1.0 / float(torch.cat(latents).std())


def _train_denoiser(
    model: Any, *, config: TrainConfig, phases: list[Phase], spread: Spread, pace: Pace
) -> tuple[Any, Tally]:
    """Train the denoiser; return the model with its average in place, and what it met."""
    stage = denoiser_stage(model, config=config)
    tally = run_stage(
        stage,
        settings=config.denoiser,
        phases=phases,
        first_counter=0 if config.vae is None else config.vae.steps * config.vae.batch_size,
        spread=spread,
        pace=pace,
        watcher=_validation(stage, config=config, spread=spread, folder=pace.folder),
    )
    if isinstance(stage, AdapterStage) and spread.accelerator.is_main_process:
        write_adapter(stage, config=config, folder=pace.folder.parent)
    spread.accelerator.wait_for_everyone()
    return (_in_one_piece(model, config=config) if spread.is_sharded else model), tally


def vae_stage(vae: Any, *, config: TrainConfig, settings: VaeSettings) -> VaeStage:
    """Return how the autoencoder is trained."""
    loss = VaeLoss(
        vae,
        kl_weight=settings.kl_weight,
        gradient_weight=settings.gradient_weight,
        texture_weight=settings.texture_weight,
    )
    return VaeStage(loss, config.run.seed)


def denoiser_stage(model: Any, *, config: TrainConfig) -> DenoiserStage | CascadeStage:
    """Return how the denoiser is trained."""
    if config.cascade is not None:
        return cascade_stage(model, config=config)
    settings, conditions = config.denoiser, config.conditions
    objective = settings.objective(config.model.prediction)
    networks = under_control(model, config=config)
    loss = DenoiserLoss(networks, objective=objective, train_text_encoder=settings.train_text_encoder)
    stage = DenoiserStage(
        loss,
        networks,
        conditions.rates(),
        config.run.seed,
        long_captions=conditions.long_captions,
        windows=conditions.windows,
    )
    return adapted(stage, config=config, model=model) if config.is_adapter else stage


def _validation(
    stage: DenoiserStage | CascadeStage, *, config: TrainConfig, spread: Spread, folder: Path
) -> Validation | None:
    settings = config.validation
    if settings is None:
        return None
    rows = config.data.index(split=settings.split)
    view = replace(config.data.view_of(stage.model.image_size), flips=False, turns=False)
    examples = Examples(rows, view=view, seed=settings.seed, images=config.data.images)
    return Validation(settings, stage, examples, spread, folder, config.name)


def _in_one_piece(model: Text2Earth, *, config: TrainConfig) -> Text2Earth:
    """Return a sharded model as one of stock classes, on the CPU."""
    preset, size = PRESETS[config.model.preset], image_size(config)
    fresh = build(preset, tokenizer=model.tokenizer, image_size=size, inputs=_inputs(config))
    for name in (model.denoiser_name, "text_encoder", "condition_embedder"):
        if getattr(fresh, name) is None:
            continue
        gathered = {key: whole(part).cpu() for key, part in getattr(model, name).state_dict().items()}
        getattr(fresh, name).load_state_dict(gathered)
    return replace(fresh, vae=model.vae)


def _publish(model: Any, *, config: TrainConfig, result: TrainResult) -> None:
    tally = result.tally
    facts = CardFacts(
        identity=result.identity,
        parameters=result.parameters,
        image_size=model.image_size,
        levels=tally.levels,
        seen=tally.seen,
        truncated=tally.truncated,
        skipped=tally.skipped,
    )
    levels = tuple(sorted(level for level in tally.levels if level))
    if config.cascade is not None:
        settings = {**config.cascade.of_the_folder, "trained_levels": list(levels)}
        for network in model.networks().values():
            network.cpu()
        card = cascade_card(config, facts)
        save_cascade(model, result.folder, prediction=config.model.prediction, settings=settings, card=card)
    elif config.is_adapter:
        write_adapter_card(result.folder, config=config, identity=result.identity, seen=tally.seen)
    else:
        for network in model.networks().values():
            network.cpu()
        save_model(
            model,
            result.folder,
            prediction=config.model.prediction,
            levels=levels,
            card=model_card(config, facts),
            shift=config.denoiser.flow_shift,
            text_windows=config.conditions.windows,
        )
    ended = {"parameters": result.parameters, "tally": tally.to_json()}
    (result.folder / "training" / _ENDED).write_text(json.dumps(ended, indent=2) + "\n", encoding="utf-8")
    for stage in ("vae", "denoiser"):  # states of a training that has ended
        shutil.rmtree(result.folder / "training" / stage, ignore_errors=True)
