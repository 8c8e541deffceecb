"""Captions of a finished dataset, written anew from its own rows: nothing is fetched.

    captions of every shard beside it ─► manifest says "unfinished" ─► shards replaced, one at a time
                                      ─► index, manifest, card, report

A shard is replaced whole or not at all, and what it is replaced with does not depend on whether it was already; so any
instant may see a kill, and the same command goes on. Until the new manifest stands, `verify` calls the dataset
unfinished.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from git10m import records
from git10m.building.captioning import caption_schema
from git10m.building.finish import caption_counts, mentioned
from git10m.building.first_pass import CHUNK_ROWS
from git10m.building.inputs import fingerprint_of, layer_digests, versions
from git10m.building.workspace import Workspace, read_json, write_json
from git10m.captions.credits import credited, fact_sources
from git10m.captions.similarity import similarity_identity
from git10m.captions.writing import CAPTION_COLUMNS, INPUT_COLUMNS, OUR_WRITERS, Captioner, check_writer
from git10m.engine import Engine, map_shards
from git10m.publish import read_manifest, write_card, write_index
from git10m.recipe import Captions
from git10m.report import write_report
from git10m.shards import ShardWriter, data_files, file_sha256

__all__ = ["Rewording", "recaption", "rewording_rows"]

_BLANKED = tuple(name for name in CAPTION_COLUMNS if name != "caption_facts")


@dataclass(frozen=True)
class Rewording:
    """How captions are written anew.

    Attributes:
        captions: With absolute paths.
        said: The same table as its author wrote it, for the manifest.
        keep_facts: Tell the facts that stand in the rows, rather than find them anew.
        replace_given: Also write captions of images that came with one.
        objects: Digests of the files of objects, which stand in ``work/facts``.
    """

    captions: Captions
    said: Mapping[str, Any]
    keep_facts: bool
    replace_given: bool
    objects: tuple[str, ...] = ()

    @cached_property
    def layers(self) -> dict[str, str]:
        """Digests of all files that are read: those that facts come from, unless these stay, and a model."""
        found = layer_digests(self.captions, facts=not self.keep_facts)
        return found | {f"objects/{number}": digest for number, digest in enumerate(self.objects)}

    @cached_property
    def similarity(self) -> dict[str, Any]:
        """What tells the models of similarity apart; empty without them."""
        return similarity_identity(self.captions.similarity) if self.captions.similarity is not None else {}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides about captions beside the rows."""
        parts = [self.captions.canonical(), self.layers, self.keep_facts, self.replace_given, versions()]
        if self.similarity:
            parts.append(self.similarity)
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class _CaptionPass:
    """Writes the captions of one shard beside it; picklable work for `engine.map_shards`."""

    workspace: Workspace
    rewording: Rewording
    files: tuple[Path, ...]
    digest: str

    def __call__(self, number: int) -> int:
        path = self.files[number]
        sidecar = _beside(self.workspace, path, "parquet")
        note = _beside(self.workspace, path, "captions.json")
        source = _rows_digest(path, self.digest)
        done = read_json(note)
        if done is not None and done["source"] == source and sidecar.exists():
            return int(done["rows"])
        before = self._captioner.cut
        with ShardWriter(sidecar, schema=caption_schema()) as writer:
            for table in rewording_rows(path, self.rewording, images=self._captioner.needs_images):
                writer.write(self._captioner.captioned(table))
        cut = dict(self._captioner.cut - before)
        write_json(note, {"source": source, "rows": writer.rows, "sha256": file_sha256(sidecar), "cut": cut})
        return writer.rows

    @cached_property
    def _captioner(self) -> Captioner:
        said = self.rewording
        return Captioner(said.captions, work=self.workspace.work, keep_facts=said.keep_facts)


@dataclass(frozen=True)
class _ReplacePass:
    """Puts the captions beside a shard into it; picklable work for `engine.map_shards`."""

    workspace: Workspace
    files: tuple[Path, ...]

    def __call__(self, number: int) -> int:
        path = self.files[number]
        captions = (read_json(_beside(self.workspace, path, "captions.json")) or {})["sha256"]
        note = _beside(self.workspace, path, "replaced.json")
        done = read_json(note)
        if done is not None and done["captions"] == captions and done["bytes"] == path.stat().st_size:
            return int(done["rows"])
        with pq.ParquetFile(path) as file:
            group_rows = max(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))
            told = pq.read_table(_beside(self.workspace, path, "parquet"))
            # Not the file's own, which notes what reading adds.
            schema = records.schema(
                bounds=_bounds(file.schema_arrow),
                modalities=records.modalities_of(file.schema_arrow),
                embedding=records.embedding_of(file.schema_arrow),
            )
            with ShardWriter(path, schema=schema, row_group_rows=group_rows) as writer:
                for group in range(file.num_row_groups):
                    table = records.conformed(file.read_row_group(group), schema)
                    writer.write(_with_captions(table, told.slice(writer.rows + writer.waiting_rows, table.num_rows)))
        facts = {"rows": writer.rows, "bytes": path.stat().st_size, "sha256": file_sha256(path)}
        write_json(note, {"captions": captions, **facts})
        return writer.rows


def recaption(folder: Path, rewording: Rewording, *, engine: Engine | None = None) -> dict[str, Any]:
    """Write the captions of a finished dataset anew, or go on where an interrupted run stopped.

    No row goes, whatever its caption: a cut by similarity belongs to a build.

    Args:
        folder: The dataset; its ``work/`` may be gone.
        rewording: How.
        engine: Where the work runs; None: in this process.

    Returns:
        The manifest.

    Raises:
        DatasetError: If the folder is no finished dataset, or a build is at work there.
        CaptionError: If a model cannot be asked.
    """
    workspace, engine = Workspace(folder), engine or Engine()
    read_manifest(folder)
    with workspace.locked(shared=False):
        manifest = read_manifest(folder)
        check_writer(rewording.captions)  # the key is asked for with the first request
        place = workspace.recaption
        place.mkdir(parents=True, exist_ok=True)
        for part in [*place.glob(".*.part"), *workspace.data.glob(".*.part"), *folder.glob(".*.part")]:
            part.unlink(missing_ok=True)
        files = tuple(data_files(folder))
        first = _CaptionPass(workspace, rewording, files, rewording.digest)
        _for_all(first, files, engine, desc="captions")
        renewed = _renewed(manifest, rewording)
        _begin_replacing(workspace, manifest, renewed)
        _for_all(_ReplacePass(workspace, files), files, engine, desc="rows")
        return _finish(workspace, renewed, files, rewording)


def rewording_rows(path: Path, rewording: Rewording, *, images: bool) -> Iterator[pa.Table]:
    """Yield what captioning sees of the rows of a shard, without the captions that are to be replaced.

    Args:
        path: The shard.
        rewording: Which captions stay.
        images: With the column ``image``.
    """
    columns = [*INPUT_COLUMNS, *(["image"] if images else [])]
    with pq.ParquetFile(path) as file:
        modalities = records.modalities_of(file.schema_arrow)
        known = records.schema(modalities=modalities, embedding=records.embedding_of(file.schema_arrow))
        wanted = pa.schema([known.field(name) for name in columns])
        for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=columns):
            table = records.conformed(pa.Table.from_batches([batch]), wanted)
            stays = [
                row["caption"] is not None and not rewording.replace_given and row["caption_source"] not in OUR_WRITERS
                for row in table.select(["caption", "caption_source"]).to_pylist()
            ]
            for name in _BLANKED:
                at = table.schema.get_field_index(name)
                field = table.schema.field(at)
                kept = [value if stay else None for value, stay in zip(table[name].to_pylist(), stays, strict=True)]
                table = table.set_column(at, field, pa.array(kept, type=field.type))
            yield table


def _bounds(schema: pa.Schema) -> tuple[float, float, float, float] | None:
    """Return what a shard's GeoParquet metadata say of its extent."""
    noted = json.loads(schema.metadata.get(b"geo", b"{}")).get("columns", {}).get("geometry", {}).get("bbox")
    return tuple(noted) if noted is not None else None


def _with_captions(table: pa.Table, captions: pa.Table) -> pa.Table:
    for name in CAPTION_COLUMNS:
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), captions[name])
    return table


def _beside(workspace: Workspace, path: Path, kind: str) -> Path:
    return workspace.recaption / f"{path.stem}.{kind}"


def _rows_digest(path: Path, wording: str) -> str:
    """Return a digest of rows that stays the same when their captions are replaced."""
    digest = hashlib.sha256(wording.encode())
    for batch in pq.ParquetFile(path).iter_batches(columns=["img_name", "sha256"], batch_size=10_000):
        digest.update(json.dumps(batch.to_pydict()).encode())
    return digest.hexdigest()


def _for_all(step: _CaptionPass | _ReplacePass, files: tuple[Path, ...], engine: Engine, *, desc: str) -> None:
    with tqdm(total=sum(pq.read_metadata(path).num_rows for path in files), desc=desc, unit="row") as bar:
        for _, rows in map_shards(step, range(len(files)), engine):
            bar.update(rows)


def _renewed(manifest: Mapping[str, Any], rewording: Rewording) -> dict[str, Any]:
    """Return the manifest of the same dataset with the captions of another recipe: that which its build would have."""
    inputs = json.loads(json.dumps(manifest["inputs"]))
    changed = inputs["recipe"]["captions"] != json.loads(json.dumps(rewording.captions.canonical()))
    inputs["recipe"]["captions"] = rewording.captions.canonical()
    kept = {name: value for name, value in inputs["layers"].items() if name != "model" and rewording.keep_facts}
    inputs["layers"] = kept | rewording.layers
    now = {name: versions()[name] for name in ("template", "checks")}
    inputs["versions"] = {**inputs["versions"], **now}
    inputs.pop("similarity", None)
    if rewording.similarity:
        inputs["similarity"] = rewording.similarity
    if changed and rewording.captions.drops_rows:
        inputs["recaptioned"] = True  # a build would have dropped other rows
    recipe = {**manifest["recipe"], **({"captions": dict(rewording.said)} if rewording.said else {})}
    renewed = {name: value for name, value in manifest.items() if name != "unfinished"}
    found = {"fingerprint": fingerprint_of(inputs), "inputs": inputs, "recipe": recipe}
    return renewed | found | {"versions": {**manifest["versions"], **now}}


def _begin_replacing(workspace: Workspace, manifest: Mapping[str, Any], renewed: Mapping[str, Any]) -> None:
    """Say that the dataset is unfinished, and that what a build left in ``work/`` is not in it any more."""
    if "unfinished" not in manifest:
        for note in workspace.recaption.glob("*.replaced.json"):
            note.unlink()  # of an earlier run, after which a build may have written the shards
        write_json(workspace.manifest, {"unfinished": "git10m caption", **manifest})
    if (held := read_json(workspace.note)) is not None:
        new = {"fingerprint": renewed["fingerprint"], "inputs": renewed["inputs"]}
        write_json(workspace.note, {**held, **new})
    for done in (workspace.work / "rows").glob("*.done.json"):
        done.unlink()


def _finish(
    workspace: Workspace, renewed: dict[str, Any], files: tuple[Path, ...], rewording: Rewording
) -> dict[str, Any]:
    index = workspace.folder / "index.parquet"
    write_index(files, index)
    notes = {path.name: read_json(_beside(workspace, path, "replaced.json")) or {} for path in files}
    hashes = {f"data/{name}": {key: note[key] for key in ("sha256", "rows", "bytes")} for name, note in notes.items()}
    rows = pq.read_metadata(index).num_rows
    hashes["index.parquet"] = {"sha256": file_sha256(index), "rows": rows, "bytes": index.stat().st_size}
    hashes["rejected.parquet"] = renewed["files"]["rejected.parquet"]
    cut: Counter[str] = Counter()
    for path in files:
        cut.update((read_json(_beside(workspace, path, "captions.json")) or {}).get("cut", {}))
    told = caption_counts(index, workspace.answers, before=renewed)
    manifest = {**renewed, "files": hashes, "captions": told, "captions_cut": dict(sorted(cut.items()))}
    if not rewording.keep_facts:
        columns = pq.read_table(index, columns=["level", "sources"])
        facts = fact_sources(rewording.captions, placed=bool(pc.any(pc.greater(columns["level"], 0)).as_py()))
        manifest["fact_sources"] = facts
        manifest["attributions"] = sorted({*mentioned(columns, "attribution"), *credited(facts)})
    write_json(workspace.manifest, manifest)
    write_card(workspace.folder)
    write_report(workspace.folder)
    return manifest
