"""The latent cache: what is encoded, what a kill leaves, what is refused, and what training does with it."""

import json
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from averaging_vae import AveragingVae
from diffusers import AutoencoderKL
from small_models import nano_config, row, write_dataset

from git10m import records
from text2earth.data import Examples, LatentCache, RowFilter, View, batches, scan
from text2earth.data.encoding import EncodeSettings, encode
from text2earth.data.loader import worker_context
from text2earth.errors import LatentCacheError
from text2earth.latents import draw_latents
from text2earth.noise import Stream, normals
from text2earth.training import train
from text2earth.training.stages import posterior_latents

CPU = torch.device("cpu")


@pytest.fixture
def vae(model_folder):
    return AutoencoderKL.from_pretrained(model_folder / "vae", use_safetensors=True).eval()


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """30 tiles of 32 px in three shards."""
    return write_dataset(tmp_path_factory.mktemp("data") / "d", rows=30, tile_px=32, shards=3, group_rows=4)


@pytest.fixture(scope="module")
def index(shards):
    return scan(str(shards), rows=RowFilter())


def made(index, vae, output, **said):
    settings = EncodeSettings(**{"view": View(16), "views": 3, "batch_size": 4, **said})
    return encode(index, vae=vae, output=output, settings=settings)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_mean_is_two_bytes_a_number(index, vae, tmp_path):
    done = made(index, vae, tmp_path, views=1, view=View(32))
    assert (done.shards, done.rows, done.skipped) == (3, 30, ())
    tables = [pq.read_table(path) for path in sorted(tmp_path.glob("*.latents.parquet"))]
    sizes = {len(mean.as_py()) for table in tables for mean in table["mean"]}
    assert sizes == {4 * 16 * 16 * 2}  # at 256 px and a factor of 8 that is 4·32·32·2 = 8 KiB
    assert sum(table.num_rows for table in tables) == 30


@pytest.mark.parametrize("moments", ["mean", "mean+log_variance"])
def test_latents_are_those_that_training_would_encode(index, vae, tmp_path, moments):
    """A view without choice: the cached draw equals the live one, to float16's rounding, noise included."""
    made(index, vae, tmp_path, views=1, view=View(16, "resize"), moments=moments)
    live = Examples(index, view=View(16, "resize"), seed=5)
    cached = live.with_latents(LatentCache(str(tmp_path)))
    one, other = (next(batches(each, positions=[list(range(30, 38))])) for each in (live, cached))
    assert one.names == other.names and one.conditions == other.conditions
    assert other.pixels.shape == (8, 3, 0, 0) and other.latents.dtype == torch.float16
    if moments == "mean":
        with torch.no_grad():
            expected = vae.encode(one.pixels).latent_dist.mean * vae.config.scaling_factor
    else:
        expected = posterior_latents(vae, one, seed=5, device=CPU)
    found = posterior_latents(vae, other, seed=5, device=CPU)
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)


def test_the_draw_is_the_posteriors_and_keyed(vae):
    mean, log_variance = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    stored = torch.cat([mean, log_variance], dim=1)
    drawn = draw_latents(stored, channels=4, seed=2, counters=[7, 8, 9])
    noise = torch.from_numpy(normals(2, [7, 8, 9], stream=Stream.POSTERIOR, shape=(4, 8, 8)))
    torch.testing.assert_close(drawn, mean + torch.exp(log_variance / 2) * noise)
    assert draw_latents(stored[1:2], channels=4, seed=2, counters=[8]).equal(drawn[1:2])
    assert draw_latents(mean, channels=4, seed=2, counters=[7, 8, 9]).equal(mean)
    with pytest.raises(LatentCacheError, match=r"have 8 channels; this autoencoder has 3, or twice that"):
        draw_latents(stored, channels=3, seed=2, counters=[7, 8, 9])


def test_views_are_of_the_very_squares_that_they_name(index, vae, tmp_path):
    """Crops, flips and turns are encoded: each stored mean is the encoder's answer to the square that it names."""
    made(index, vae, tmp_path, views=4, view=View(16, flips=True, turns=True))
    cache = LatentCache(str(tmp_path))
    tiles = Examples(index, view=View(16), seed=0)
    draws = np.random.default_rng(0)
    met = set()
    for counter in range(30):
        group, place = tiles.places([counter])[0].tolist()
        stored = cache.group(index.file_of(group).path, int(index.group_number[group])).view(place, draws=draws)
        pixels = np.ascontiguousarray(stored.cut.of(tiles._tile(group, place).pixels))
        with torch.no_grad():
            given = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
            mean = vae.encode(given).latent_dist.mean[0]
        np.testing.assert_allclose(stored.moments, mean, atol=2e-3, rtol=2e-3)
        met.add((stored.cut.down, stored.cut.across, stored.cut.turns))
    assert len(met) > 5


def test_workers_and_parts_make_the_same_files(index, tmp_path):
    vae = AveragingVae()
    made(index, vae, tmp_path / "a", view=View(16, flips=True))
    made(index, vae, tmp_path / "b", view=View(16, flips=True), workers=2)
    for part in (1, 2):
        settings = EncodeSettings(View(16, flips=True), views=3, batch_size=4)
        encode(index, vae=vae, output=tmp_path / "c", settings=settings, part=(part, 2))
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "c")


def test_a_killed_run_goes_on_and_ends_at_the_same_bytes(index, tmp_path):
    """SIGKILL again and again, at any instant: no half file bears a final name, and what is done stays."""
    vae = AveragingVae()
    made(index, vae, tmp_path / "whole")
    output, kills = tmp_path / "killed", 0
    settings = EncodeSettings(View(16), views=3, batch_size=4)
    while len(list(output.glob("*.done.json"))) < 3 and kills < 6:
        arguments = {"vae": vae, "output": output, "settings": settings}
        child = worker_context().Process(target=encode, args=(index,), kwargs=arguments)
        child.start()
        until = time.monotonic() + 20
        while not output.exists() and time.monotonic() < until and child.is_alive():
            time.sleep(0.005)
        time.sleep(0.03 * kills)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        kills += 1
        for left in output.glob("*.latents.parquet"):
            pq.read_table(left)  # whole, or not there
    assert kills >= 1
    made(index, vae, output)
    assert contents(output) == contents(tmp_path / "whole")


def test_rows_that_do_not_decode_are_named_and_replaced_in_training(vae, tmp_path):
    table = records.table([row(number, tile_px=16) for number in range(8)])
    images = table["image"].to_pylist()
    images[3] = {"bytes": b"not an image", "path": "x"}
    broken = table.set_column(0, table.schema.field("image"), pa.array(images, type=records.IMAGE))
    pq.write_table(broken, tmp_path / "data.parquet", row_group_size=5)
    index = scan(str(tmp_path / "data.parquet"), rows=RowFilter())
    done = made(index, vae, tmp_path / "latents", views=2)
    assert done.rows == 7
    ((where, reason),) = done.skipped
    assert where == "data.parquet, row group 0, row 3" and reason.startswith("the image does not decode")
    examples = Examples(index, view=View(16), seed=0, latents=LatentCache(str(tmp_path / "latents")))
    batch = next(batches(examples, positions=[list(range(8))]))
    assert len(batch.names) == 8 and batch.skipped == ((where, reason),)
    # Latents that stand beside the shards are not taken for shards.
    assert scan(str(tmp_path), rows=RowFilter()).rows == 8


def test_latents_of_something_else_are_refused(index, shards, vae, tmp_path):
    made(index, vae, tmp_path)
    cache = LatentCache(str(tmp_path))
    cache.require(vae=vae, view=View(16), index=index)
    with pytest.raises(LatentCacheError, match=r"of another making: flips \(False in the cache, True now\); run"):
        cache.require(vae=vae, view=View(16, flips=True), index=index)
    with pytest.raises(LatentCacheError, match=r"image_size \(16 in the cache, 32 now\), view \(crop in the cache"):
        cache.require(vae=vae, view=View(32, "resize"), index=index)
    with torch.no_grad():
        vae.decoder.conv_in.weight.add_(1.0)
    cache.require(vae=vae, view=View(16), index=index)  # what decodes does not matter here
    with torch.no_grad():
        vae.encoder.conv_in.weight[0, 0, 0, 0] += 1e-3
    with pytest.raises(LatentCacheError, match=r"encoder \([0-9a-f]{12}… in the cache, [0-9a-f]{12}… now\)"):
        cache.require(vae=vae, view=View(16), index=index)
    with pytest.raises(LatentCacheError, match=r"encoder \("):
        made(index, vae, tmp_path)
    with pytest.raises(LatentCacheError, match=r"holds no latents \(no latents\.json\); make them with"):
        LatentCache(str(shards))


def test_shards_made_anew_and_rows_not_encoded_are_refused(vae, tmp_path):
    folder = write_dataset(tmp_path / "d", rows=12, tile_px=16, shards=2)
    index = scan(str(folder), rows=RowFilter(where="level == 14"))
    made(index, vae, tmp_path / "latents")
    cache = LatentCache(str(tmp_path / "latents"))
    cache.require(vae=vae, view=View(16), index=index)
    whole = scan(str(folder), rows=RowFilter())
    examples = Examples(whole, view=View(16), seed=0, latents=cache)
    with pytest.raises(LatentCacheError, match=r"has no latents of row \d+; encode with the filter"):
        next(batches(examples, positions=[list(range(12))]))
    with pytest.raises(LatentCacheError, match=r"holds latents of another choice of rows"):
        made(whole, vae, tmp_path / "latents")
    shard = sorted((folder / "data").iterdir())[0]
    pq.write_table(records.table([replace(row(50), split="train")]), shard)
    anew = scan(str(folder), rows=RowFilter(where="level == 14"))
    with pytest.raises(LatentCacheError, match=r"lacks the latents of 1 of 2 shards, the first is .*-00000-of-00002"):
        LatentCache(str(tmp_path / "latents")).require(vae=vae, view=View(16), index=anew)


def test_training_on_latents(small_tiles, model_folder, vae, tmp_path):
    """The same run on cached latents learns as that on pixels does, by the same rows and levels."""
    index = scan(str(small_tiles), rows=RowFilter())
    made(index, vae, tmp_path / "latents", views=4, moments="mean+log_variance")
    config = nano_config(small_tiles)
    cached = config.model_copy(update={"data": config.data.model_copy(update={"latents": str(tmp_path / "latents")})})
    result = train(cached, output=tmp_path / "model")
    assert result.tally.seen == 480

    def losses(folder):
        lines = map(json.loads, (folder / "training" / "log.jsonl").read_text().splitlines())
        return [line["loss"] for line in lines if line["stage"] == "denoiser"]

    on_pixels, on_latents = losses(model_folder), losses(tmp_path / "model")
    assert on_pixels != on_latents
    assert np.mean(on_latents[-20:]) == pytest.approx(np.mean(on_pixels[-20:]), rel=0.1)
    made(index, vae, tmp_path / "flipped", view=View(16, flips=True))
    wrong = config.model_copy(update={"data": config.data.model_copy(update={"latents": str(tmp_path / "flipped")})})
    with pytest.raises(LatentCacheError, match=r"flips \(True in the cache, False now\)"):
        train(wrong, output=tmp_path / "other")


def test_pixels_beside_latents_are_of_the_view_that_was_encoded(small_tiles, vae, tmp_path):
    """An inpainting model encodes what is around its mask as it is drawn, and takes the whole image from the cache."""
    index, view = scan(str(small_tiles), rows=RowFilter()), View(16, flips=True)
    made(index, vae, tmp_path / "latents", view=view, views=4)
    examples = Examples(index, view=view, seed=3).with_latents(LatentCache(str(tmp_path / "latents")), pixels_too=True)
    (batch,) = batches(examples, positions=[list(range(6))])
    with torch.no_grad():
        found = vae.encode(batch.pixels).latent_dist.mean
    torch.testing.assert_close(found, batch.latents.float(), atol=2e-3, rtol=2e-3)


def test_the_command(run, shards, model_folder, tmp_path):
    said = ("--views", 2, "--flips", "--where", "level == 15", "--json")
    status, out, err = run("encode", shards, model_folder, "--output", tmp_path / "latents", *said)
    assert status == 0, err
    report = json.loads(out.splitlines()[-1])
    assert (report["shards"], report["rows"], report["views"], report["skipped_rows"]) == (3, 14, 2, {})
    # The autoencoder of a training by itself will do too; the second call finds all done.
    vae_folder = model_folder / "training" / "vae-trained"
    status, out, err = run("encode", shards, vae_folder, "--output", tmp_path / "latents", *said[:-1])
    assert status == 0, err
    assert "14 rows, 2 view(s) each, of 3 shards" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--views", "0"), "--views is 0; it is at least 1"),
        (("--view", "zoom"), "--view is 'zoom'; it is crop or resize"),
        (("--precision", "int8"), "--precision is 'int8'; it is no, bf16 or fp16"),
        (("--part", "3/2"), "--part is '3/2'; it is I/N with I of 1 to N"),
        (("--where", "level >"), "the filter 'level >' cannot be read"),
        (("--image-size", "17"), "image size 17 was given; it is a multiple of 2"),
    ],
)
def test_faults_of_the_command_are_named(run, shards, model_folder, tmp_path, arguments, message):
    status, _, err = run("encode", shards, model_folder, "--output", tmp_path / "latents", *arguments)
    assert status == 2 and message in err
