"""Real servers on loopback for the tests: a file server with ranges, TiTiler, S3, a STAC API on PostgreSQL.

Each is a child process on a free port, started once a session (of each xdist worker) by the first test that asks for
its fixture, and stopped at the end of it. Where a program is not installed the tests skip and say which.

    range_server      range_server(folder).url; .requests() are those that it was asked, .forget() clears them
    titiler           titiler.xyz(path), titiler.wmts(path): addresses of a raster's tiles and capabilities
    s3_server         s3_server.fill(folder) gives "s3://bucket"; the environment names the server to GDAL and pyarrow
    stac_api          stac_api.url; .load(collection, items) adds to it; empty at first
    stac_catalog      stac_api, loaded with items of the real imagery
"""

from __future__ import annotations

import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

__all__ = [
    "S3",
    "FileServer",
    "Served",
    "StacApi",
    "Titiler",
    "range_server",
    "raster_items",
    "real_items",
    "s3_process",
    "s3_server",
    "stac_api",
    "stac_catalog",
    "titiler",
]

HERE = Path(__file__).parent
TITILER = """
import sys
import uvicorn
from rio_tiler.profiles import img_profiles
img_profiles.data["webp"]["quality"] = 90  # of 75 as it comes, by which real imagery loses more than it should here
uvicorn.run("titiler.application.main:app", host="127.0.0.1", port=int(sys.argv[1]))
"""
PATIENCE_S = 60.0
"""A server that is not up after this is an error; one that shares two cores with everything else needs some."""


@dataclass(frozen=True)
class Served:
    """One request that a file server answered."""

    at: float
    method: str
    path: str
    range: str | None
    status: int
    bytes: int
    headers: Mapping[str, str]


@dataclass(frozen=True)
class FileServer:
    """A folder's files over HTTP with ranges, ETag, HEAD and keep-alive.

    Attributes:
        url: Address of the folder, without a slash at its end.
        folder: What is served; files that are written into it later are served too.
        log: One JSON line a request.
    """

    url: str
    folder: Path
    log: Path

    def requests(self) -> list[Served]:
        """Return what was asked since the start, or since `forget`, in order."""
        return [Served(**json.loads(line)) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def forget(self) -> None:
        """Begin to count anew."""
        os.truncate(self.log, 0)


@dataclass(frozen=True)
class Titiler:
    """A TiTiler: any raster that GDAL opens, as XYZ tiles and WMTS."""

    url: str

    def xyz(self, path: Path | str, *, suffix: str = ".png", **said: str) -> str:
        """Return the address template of a raster's tiles; ``said``: TiTiler's options, e.g. ``resampling``."""
        query = urllib.parse.urlencode({"url": str(path), **said})
        return f"{self.url}/cog/tiles/WebMercatorQuad/{{z}}/{{x}}/{{y}}{suffix}?{query}"

    def wmts(self, path: Path | str, **said: str) -> str:
        """Return the address of a raster's WMTS capabilities."""
        query = urllib.parse.urlencode({"url": str(path), "tile_format": "png", **said})
        return f"{self.url}/cog/WMTSCapabilities.xml?{query}"


@dataclass(frozen=True)
class S3:
    """A server that speaks S3; the environment of the test names it to GDAL, pyarrow and boto3."""

    url: str

    def fill(self, folder: Path, *, bucket: str = "imagery") -> str:
        """Make a bucket that holds a folder's files and return its address, ``"s3://BUCKET"``."""
        from pyarrow import fs

        # S3FileSystem() reads no endpoint from the environment; only addresses do
        store = fs.S3FileSystem(endpoint_override=self.url, allow_bucket_creation=True)
        store.create_dir(bucket)
        fs.copy_files(str(folder), bucket, destination_filesystem=store)
        return f"s3://{bucket}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Refuse whoever does not have keys that the server gave out: every request fails with 403."""
        self._requests_without_keys("0")
        try:
            yield
        finally:
            self._requests_without_keys("inf")

    def _requests_without_keys(self, count: str) -> None:
        host = urllib.parse.urlsplit(self.url).netloc
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request("POST", "/moto-api/reset-auth", body=count)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        connection.close()


@dataclass(frozen=True)
class StacApi:
    """A STAC API (stac-fastapi on pgstac) over a PostgreSQL of its own.

    Attributes:
        url: Landing page.
        dsn: The database.
        loaded: Ids of the collections that are there.
    """

    url: str
    dsn: str
    loaded: set[str] = field(default_factory=set)

    def load(self, collection: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> str:
        """Add a collection with its items, or replace them; return its id."""
        import psycopg

        name = str(collection["id"])
        owned = [{**item, "collection": name} for item in items]
        options = "-c search_path=pgstac,public"
        with psycopg.connect(self.dsn, options=options, autocommit=True) as database:
            if name in self.loaded:
                database.execute("SELECT delete_collection(%s)", [name])
            database.execute("SELECT create_collection(%s::jsonb)", [json.dumps(collection)])
            database.execute("SELECT create_items(%s::jsonb)", [json.dumps(owned)])
        self.loaded.add(name)
        return name


@pytest.fixture(scope="session")
def range_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], FileServer]]:
    """Serve a folder; the same server for the same folder."""
    started: dict[Path, FileServer] = {}
    with ExitStack() as running:

        def serve(folder: Path) -> FileServer:
            if folder not in started:
                log = tmp_path_factory.mktemp("range-server") / "requests.jsonl"
                log.touch()
                command = [sys.executable, str(HERE / "file_server.py"), str(folder), str(log)]
                child = running.enter_context(process(command, log=log.with_suffix(".err"), piped=True))
                assert child.stdout is not None
                port = child.stdout.readline().strip()
                assert port, f"the file server did not start: {log.with_suffix('.err').read_text()}"
                started[folder] = FileServer(f"http://127.0.0.1:{int(port)}", folder, log)
            return started[folder]

        yield serve


@pytest.fixture(scope="session")
def titiler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Titiler]:
    """A running TiTiler."""
    installed("titiler.application", "uvicorn")
    command = [sys.executable, "-c", TITILER, "{port}"]
    with server(command, log=tmp_path_factory.mktemp("titiler") / "log", path="/healthz") as url:
        yield Titiler(url)


@pytest.fixture(scope="session")
def s3_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """Moto's S3 server, which keeps its buckets in memory."""
    installed("moto", "flask")
    moto = Path(sys.executable).with_name("moto_server")
    command = [str(moto), "-H", "127.0.0.1", "-p", "{port}"]
    with server(command, log=tmp_path_factory.mktemp("s3") / "log", path="/moto-api/data.json") as url:
        yield S3(url)


@pytest.fixture
def s3_server(s3_process: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """An empty S3 server, named by the environment of this test."""
    host = urllib.parse.urlsplit(s3_process.url).netloc
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        # pyarrow (FileSystem.from_uri) and boto3 read the one, GDAL the other three
        "AWS_ENDPOINT_URL": s3_process.url,
        "AWS_S3_ENDPOINT": host,
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }.items():
        monkeypatch.setenv(name, value)
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("POST", "/moto-api/reset")
    assert connection.getresponse().status == 200
    connection.close()
    return s3_process


@pytest.fixture(scope="session")
def stac_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StacApi]:
    """A running STAC API without collections."""
    installed("stac_fastapi.pgstac", "pypgstac", "psycopg", "uvicorn")
    logs = tmp_path_factory.mktemp("stac-api")
    factory = "stac_fastapi.pgstac.app:create_app"
    command = [sys.executable, "-m", "uvicorn", "--factory", factory, "--host=127.0.0.1", "--port={port}"]
    with postgres(logs / "postgres.log") as place:
        environment = {**place, "DB_MAX_CONN_SIZE": "4", "PGPASSWORD": "trusted"}
        migrate = [str(Path(sys.executable).with_name("pypgstac")), "migrate"]
        done = subprocess.run(
            migrate, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stdout + done.stderr
        with server(command, log=logs / "api.log", path="/_mgmt/ping", environment=environment) as url:
            dsn = "host={PGHOST} port={PGPORT} user={PGUSER} dbname={PGDATABASE}".format(**place)
            yield StacApi(url, dsn)


@pytest.fixture(scope="session")
def stac_catalog(stac_api: StacApi, imagery: Path) -> StacApi:
    """The STAC API with the collections of `real_items` and ``rasters``, those of `raster_items`."""
    for name, items in real_items(imagery).items():
        stac_api.load(collection_of(name, items), items)
    items = raster_items(imagery / "rasters", address=str)
    stac_api.load(collection_of("rasters", items), items)
    return stac_api


def real_items(imagery: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the real STAC items of the imagery by collection; most of their assets are addresses far away.

    The collections are ``landsat-c2-l2``, ``sentinel-2-l2a``, ``naip``, ``hls`` and ``jaca``; of the last the
    assets are files beside it.
    """
    folder = imagery / "stac"
    patterns = {"landsat-c2-l2": "LC08*", "sentinel-2-l2a": "S2*", "naip": "naip*", "hls": "sample*"}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in patterns}
    for name, pattern in patterns.items():
        for path in sorted(folder.glob(f"{pattern}.json")):
            found[name] += features(json.loads(path.read_text(encoding="utf-8")))
    found["jaca"] = []
    for path in sorted((folder / "static").glob("*/*/*/*.json")):
        item = json.loads(path.read_text(encoding="utf-8"))
        for asset in item["assets"].values():
            asset["href"] = str((path.parent / asset["href"]).resolve())
        found["jaca"].append(item)
    return found


def features(document: Any) -> list[dict[str, Any]]:
    """Return the items of an item, a list of items or an item collection."""
    if isinstance(document, list):
        return [item for each in document for item in features(each)]
    return list(document["features"]) if document["type"] == "FeatureCollection" else [document]


def raster_items(folder: Path, *, address: Callable[[Path], str]) -> list[dict[str, Any]]:
    """Make an item a georeferenced raster, with the projection extension.

    Args:
        folder: Of the rasters.
        address: Of the asset, for a path: ``str``, or one that puts a server's address before the name.
    """
    import rasterio
    from rasterio.warp import transform_bounds

    items = []
    for path in sorted(folder.glob("*.*")):
        with rasterio.open(path) as raster:
            if raster.crs is None or raster.transform.is_identity:
                continue
            west, south, east, north = transform_bounds(raster.crs, "EPSG:4326", *raster.bounds, densify_pts=21)
            corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
            code = raster.crs.to_epsg()
            projection = {"proj:code": f"EPSG:{code}"} if code else {"proj:wkt2": raster.crs.to_wkt()}
            asset = {
                "href": address(path),
                "type": "image/jp2" if path.suffix == ".jp2" else "image/tiff; application=geotiff",
                "roles": ["data"],
                **projection,
                "proj:shape": [raster.height, raster.width],
                "proj:transform": list(raster.transform)[:6],
                "bands": [{"name": f"b{i}", "data_type": raster.dtypes[i - 1]} for i in raster.indexes],
            }
        items.append(
            {
                "type": "Feature",
                "stac_version": "1.1.0",
                "stac_extensions": ["https://stac-extensions.github.io/projection/v2.0.0/schema.json"],
                "id": path.stem,
                "collection": "rasters",
                "geometry": {"type": "Polygon", "coordinates": [corners]},
                "bbox": [west, south, east, north],
                "properties": {"datetime": moment_of(path.stem)},
                "links": [],
                "assets": {"image": asset},
            }
        )
    return items


def moment_of(name: str) -> str:
    """Return the date that a file's name holds, ``"2020-01-01T00:00:00Z"`` where it holds none."""
    found = re.search(r"((?:19|20)\d\d)-?([01]\d)-?([0-3]\d)", name)
    year = re.search(r"__((?:19|20)\d\d)$", name)
    day = "-".join(found.groups()) if found else f"{year.group(1)}-07-01" if year else "2020-01-01"
    return f"{day}T00:00:00Z"


def collection_of(name: str, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make the collection of some items."""
    boxes = [item["bbox"] for item in items] or [[-180, -90, 180, 90]]
    sides = list(zip(*boxes, strict=True))
    whole = [min(sides[0]), min(sides[1]), max(sides[2]), max(sides[3])]
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": name,
        "description": f"{name}, for tests",
        "license": "other",
        "extent": {"spatial": {"bbox": [whole]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
    }


@contextmanager
def postgres(log: Path) -> Iterator[dict[str, str]]:
    """Run a PostgreSQL with an empty database ``pgstac``; yields the environment that names it to clients."""
    programs = postgres_programs()
    owner = None
    folder = Path(tempfile.mkdtemp(prefix="git10m-postgres-"))
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL refuses to run as root, and there is no user 'postgres'")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    user = None if owner is None else "postgres"
    try:
        data = folder / "data"
        quick = ["--auth=trust", "--username=pgstac", "--encoding=UTF8", "--no-locale", "--no-sync"]
        subprocess.run(
            [str(programs / "initdb"), f"--pgdata={data}", *quick],
            user=user, group=user, extra_groups=[] if user else None, cwd=folder,
            check=True, capture_output=True, timeout=PATIENCE_S,
        )  # fmt: skip
        fast = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "jit=off", "max_connections=30"]
        fast += ["listen_addresses=127.0.0.1", f"unix_socket_directories={folder}"]
        command = [str(programs / "postgres"), "-D", str(data), "-p", "{port}"]
        command += [argument for setting in fast for argument in ("-c", setting)]
        with server(command, log=log, ready=postgres_answers, user=user, end=signal.SIGINT) as url:
            port = str(urllib.parse.urlsplit(url).port)
            place = {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": "pgstac", "PGDATABASE": "postgres"}
            yield place
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def postgres_programs() -> Path:
    """Return the folder of PostgreSQL's programs, with PostGIS; skips where they are not installed."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in found:
        debian = Path("/usr/share/postgresql") / folder.parent.name
        elsewhere = folder.parent / "share"
        shared = (debian, elsewhere, elsewhere / "postgresql")
        extension = any((place / "extension/postgis.control").exists() for place in shared)
        if extension and (folder / "postgres").exists():
            return folder
    pytest.skip("PostgreSQL with PostGIS is not installed (Debian: postgresql-15 and postgresql-15-postgis-3)")


def postgres_answers(port: int) -> bool:
    """Tell whether a PostgreSQL takes connections."""
    import psycopg

    with suppress(psycopg.OperationalError):
        psycopg.connect(f"host=127.0.0.1 port={port} user=pgstac dbname=postgres connect_timeout=5").close()
        return True
    return False


def installed(*modules: str) -> None:
    """Skip the test unless these can be imported."""
    for module in modules:
        try:
            there = find_spec(module) is not None
        except ModuleNotFoundError:
            there = False
        if not there:
            pytest.skip(f"{module} is not installed: pip install 'git10m[test]'")


@contextmanager
def server(
    command: Sequence[str],
    *,
    log: Path,
    path: str = "/",
    ready: Callable[[int], bool] | None = None,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[str]:
    """Run a server on a free port until it is no longer wanted; yields its address.

    Args:
        command: ``{port}`` in it stands for the port.
        log: File of what it prints.
        path: What it answers with 200 once it is up.
        ready: Another way to tell that.
        environment: Further variables.
        user: Who runs it.
        end: Signal that ends it in order.
    """
    for _ in range(3):
        port = free_port()
        filled = [argument.replace("{port}", str(port)) for argument in command]
        with process(filled, log=log, environment=environment, user=user, end=end) as child:
            until = time.monotonic() + PATIENCE_S
            while time.monotonic() < until and child.poll() is None:
                up = ready(port) if ready else answers(port, path)
                # its answer counts only if it lives: a stranger may have taken the port first
                if up and child.poll() is None:
                    yield f"http://127.0.0.1:{port}"
                    return
                time.sleep(0.05)
        if "in use" not in log.read_text(encoding="utf-8", errors="replace"):
            break
    raise RuntimeError(f"{command[0]} did not start:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


@contextmanager
def process(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    end: signal.Signals = signal.SIGTERM,
    piped: bool = False,
) -> Iterator[subprocess.Popen[str]]:
    """Run a program until it is no longer wanted; it ends with the tests, however they end."""
    wrapped = list(command)
    if setpriv := shutil.which("setpriv"):
        # after a kill -9 of pytest nobody else would stop it
        who = [f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        wrapped = [setpriv, f"--pdeathsig={'INT' if end is signal.SIGINT else 'TERM'}", *who, "--", *command]
        user = None
    with log.open("a", encoding="utf-8") as said:
        child = subprocess.Popen(
            wrapped, stdout=subprocess.PIPE if piped else said, stderr=said, text=True,
            env=os.environ | dict(environment or {}), user=user, group=user, cwd=log.parent if user is None else "/",
        )  # fmt: skip
    try:
        yield child
    finally:
        child.send_signal(end)
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str) -> bool:
    """Tell whether a server answers a path with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
