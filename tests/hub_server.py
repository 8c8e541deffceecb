"""A stand-in of the Hugging Face hub's API on loopback: as much as huggingface_hub asks to publish and to read.

Accounts, repositories of datasets and models with branches and commits, large files by their SHA-256 in one part or
several, resolving with ranges. It keeps everything in memory, writes down what was asked, and fails on request.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Hub", "running_hub"]

TOKEN = "hf_" + "a" * 34
LFS = re.compile(r"\.(parquet|tar|bin|arrow|safetensors)$")


@dataclass
class Repo:
    """Commits of a repository: branch → list of (oid, files by name)."""

    private: bool
    branches: dict[str, list[tuple[str, dict[str, bytes]]]] = field(default_factory=dict)

    def head(self, branch: str) -> tuple[str, dict[str, bytes]]:
        return self.branches[branch][-1]


@dataclass
class Hub:
    """What the server holds, and what it was asked."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    faults: list[tuple[str, str, int]] = field(default_factory=list)
    corrupt: dict[str, bytes] = field(default_factory=dict)
    part_bytes: int = 0
    put_delay_s: float = 0.0
    role: str = "write"

    def fail(self, method: str, pattern: str, status: int, *, times: int = 1) -> None:
        """Answer the next requests whose path fits with a status."""
        self.faults += [(method, pattern, status)] * times

    def count(self, method: str, pattern: str) -> int:
        """Count what was asked."""
        return sum(m == method and re.search(pattern, path) is not None for m, path in self.asked)

    def publish(self, name: str, files: dict[str, bytes]) -> str:
        """Add a commit that holds these files, to a repository that is made if need be; returns its hash."""
        repo = self.repos.setdefault(name, Repo(private=False))
        commits = repo.branches.setdefault("main", [])
        oid = hashlib.sha1(f"{name} {len(commits)}".encode()).hexdigest()
        commits.append((oid, dict(files)))
        return oid

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        """Return the files of a repository."""
        return self.repos[name].head(branch)[1]


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.answer("GET")

    def do_HEAD(self) -> None:
        self.answer("HEAD")

    def do_POST(self) -> None:
        self.answer("POST")

    def do_PUT(self) -> None:
        self.answer("PUT")

    def answer(self, method: str) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append((method, path))
        for fault in self.hub.faults:
            if fault[0] == method and re.search(fault[1], path):
                self.hub.faults.remove(fault)
                more = {"Retry-After": "0"} if fault[2] in {429, 503} else {}
                return self.say(fault[2], {"error": "injected"}, **more)
        if path.startswith("/lfs/"):
            return self.store(path, body)
        public = path.startswith("/api/validate-yaml") or (method == "GET" and not path.startswith("/api/whoami"))
        if method != "HEAD" and not public and not self.known():
            return self.say(401, {"error": "Invalid username or password."})
        for pattern, does in ROUTES:
            if found := re.fullmatch(pattern, path):
                return does(self, body, *found.groups())
        return self.say(404, {"error": f"no such route: {path}"})

    def known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def say(self, status: int, value: Any = None, **headers: str) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode() if value is not None else b""
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def lacks(self, name: str) -> None:
        self.say(404, {"error": "Repository not found"}, **{"X-Error-Code": "RepoNotFound", "X-Error-Message": name})

    def whoami(self, body: bytes) -> None:
        token = {"accessToken": {"displayName": "test", "role": self.hub.role}}
        self.say(200, {"type": "user", "name": "someone", "orgs": [{"name": "survey"}], "auth": token})

    def validate(self, body: bytes) -> None:
        self.say(200, {"errors": [], "warnings": []})

    def create(self, body: bytes) -> None:
        said = json.loads(body)
        name = f"{said.get('organization') or 'someone'}/{said['name']}"
        if name in self.hub.repos:
            return self.say(
                409, {"error": "You already created this dataset repo", "url": f"{self.hub.url}/datasets/{name}"}
            )
        first = {".gitattributes": b"*.parquet filter=lfs\n"}
        self.hub.repos[name] = Repo(
            said.get("visibility") == "private" or bool(said.get("private")),
            {"main": [(hashlib.sha1(b"0").hexdigest(), first)]},
        )
        return self.say(200, {"url": f"{self.hub.url}/datasets/{name}", "name": name})

    def info(self, body: bytes, name: str, branch: str | None = None) -> None:
        if name not in self.hub.repos:
            return self.lacks(name)
        repo = self.hub.repos[name]
        found = self.revision(repo, branch or "main")
        if found is None:
            return self.say(404, {"error": "no such revision"}, **{"X-Error-Code": "RevisionNotFound"})
        siblings = [{"rfilename": each} for each in found[1]]
        said = {"_id": "1", "id": name, "sha": found[0], "private": repo.private, "siblings": siblings, "tags": []}
        return self.say(200, {**said, "downloads": 0, "likes": 0, "gated": False, "disabled": False})

    def revision(self, repo: Repo, said: str) -> tuple[str, dict[str, bytes]] | None:
        if said in repo.branches:
            return repo.head(said)
        return next((commit for log in repo.branches.values() for commit in log if commit[0] == said), None)

    def branch(self, body: bytes, name: str, branch: str) -> None:
        repo = self.hub.repos[name]
        if branch in repo.branches:
            return self.say(409, {"error": "Reference already exists"})
        repo.branches[branch] = list(repo.branches["main"])
        return self.say(200, {})

    def entry(self, path: str, content: bytes) -> dict[str, Any]:
        said = {"type": "file", "path": path, "size": len(content), "oid": git_oid(content)}
        if LFS.search(path):
            said["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        return said

    def tree(self, body: bytes, name: str, branch: str, below: str | None) -> None:
        if name not in self.hub.repos:
            return self.lacks(name)
        found = self.revision(self.hub.repos[name], branch)
        if found is None:
            return self.say(404, {"error": "no such revision"}, **{"X-Error-Code": "RevisionNotFound"})
        below = (below or "").strip("/")
        prefix, deep = (f"{below}/" if below else ""), "recursive=true" in self.path.lower()
        files = {path: content for path, content in found[1].items() if path.startswith(prefix)}
        if prefix and not files:
            return self.say(404, {"error": "no such entry"}, **{"X-Error-Code": "EntryNotFound"})
        folders = {
            prefix + path.removeprefix(prefix).split("/")[0] for path in files if "/" in path.removeprefix(prefix)
        }
        said = [{"type": "directory", "path": each, "oid": "0" * 40, "size": 0} for each in sorted(folders)]
        said += [self.entry(path, content) for path, content in sorted(files.items())
                 if deep or "/" not in path.removeprefix(prefix)]  # fmt: skip
        return self.say(200, said)

    def paths(self, body: bytes, name: str, branch: str) -> None:
        try:
            wanted = json.loads(body)["paths"]
        except ValueError:
            wanted = urllib.parse.parse_qs(body.decode())["paths"]
        found = self.revision(self.hub.repos[name], branch)
        assert found is not None
        said = [self.entry(path, found[1][path]) for path in wanted if path in found[1]]
        said += [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in wanted
                 if any(each.startswith(f"{path}/") for each in found[1])]  # fmt: skip
        self.say(200, said)

    def preupload(self, body: bytes, name: str, branch: str) -> None:
        if name not in self.hub.repos:
            return self.lacks(name)
        there = self.hub.files(name, branch)
        said = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if LFS.search(each["path"]) else "regular",
                "shouldIgnore": False,
                "oid": git_oid(there[each["path"]]) if each["path"] in there else None,
            }
            for each in json.loads(body)["files"]
        ]
        return self.say(200, {"files": said})

    def batch(self, body: bytes, name: str) -> None:
        objects = []
        for each in json.loads(body)["objects"]:
            oid, size, upload = each["oid"], each["size"], {"href": f"{self.hub.url}/lfs/{each['oid']}"}
            if self.hub.part_bytes and size > self.hub.part_bytes:
                count = -(-size // self.hub.part_bytes)
                urls = {f"{i:05d}": f"{self.hub.url}/lfs/{oid}/part/{i}" for i in range(1, count + 1)}
                upload = {"href": f"{self.hub.url}/lfs/{oid}/complete",
                          "header": {"chunk_size": str(self.hub.part_bytes), **urls}}  # fmt: skip
            said = {"oid": oid, "size": size}
            objects.append(said if oid in self.hub.blobs else {**said, "actions": {"upload": upload}})
        self.say(200, {"transfer": "multipart", "objects": objects})

    def store(self, path: str, body: bytes) -> None:
        time.sleep(self.hub.put_delay_s)
        oid, _, more = path.removeprefix("/lfs/").partition("/")
        if more.startswith("part/"):
            self.hub.parts.setdefault(oid, {})[int(more.removeprefix("part/"))] = body
            return self.say(200, ETag=f'"{hashlib.md5(body).hexdigest()}"')
        whole = b"".join(part for _, part in sorted(self.hub.parts.pop(oid).items())) if more == "complete" else body
        if hashlib.sha256(whole).hexdigest() != oid:
            return self.say(400, {"error": "not what was announced"})
        self.hub.blobs[oid] = whole
        return self.say(200, {})

    def commit(self, body: bytes, name: str, branch: str) -> None:
        repo = self.hub.repos[name]
        oid, files = repo.head(branch)
        files = dict(files)
        for line in body.splitlines():
            said = json.loads(line)
            key, value = said["key"], said["value"]
            if key == "header" and value.get("parentCommit") not in {None, oid}:
                return self.say(412, {"error": "A commit has happened since. Please refresh and try again."})
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    return self.say(400, {"error": f"LFS pointer to a file that was never sent: {value['path']}"})
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        new = hashlib.sha1(oid.encode() + body).hexdigest()
        repo.branches[branch].append((new, files))
        return self.say(
            200, {"success": True, "commitOid": new, "commitUrl": f"{self.hub.url}/datasets/{name}/commit/{new}"}
        )

    def resolve(self, body: bytes, name: str, branch: str, path: str) -> None:
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and not self.known()):
            return self.lacks(name)
        found = self.revision(repo, branch)
        if found is None or path not in found[1]:
            return self.say(404, {"error": "no such entry"}, **{"X-Error-Code": "EntryNotFound"})
        content = found[1][path]
        entry = self.entry(path, content)
        content = self.hub.corrupt.get(path, content)
        headers = {"ETag": f'"{entry.get("lfs", entry)["oid"]}"', "X-Repo-Commit": found[0], "Accept-Ranges": "bytes"}
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return self.say(206, content[first : last + 1], **headers)
        return self.say(200, content, **headers)


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, Any]] = [
    (r"/api/whoami-v2", Handler.whoami),
    (r"/api/validate-yaml", Handler.validate),
    (r"/api/repos/create", Handler.create),
    (rf"/api/(?:datasets|models)/{NAME}", Handler.info),
    (rf"/api/(?:datasets|models)/{NAME}/revision/(.+)", Handler.info),
    (rf"/api/datasets/{NAME}/branch/(.+)", Handler.branch),
    (rf"/api/(?:datasets|models)/{NAME}/tree/([^/]+)(/.*)?", Handler.tree),
    (rf"/api/datasets/{NAME}/paths-info/(.+)", Handler.paths),
    (rf"/api/datasets/{NAME}/preupload/(.+)", Handler.preupload),
    (rf"/api/datasets/{NAME}/commit/(.+)", Handler.commit),
    (rf"/datasets/{NAME}\.git/info/lfs/objects/batch", Handler.batch),
    (rf"(?:/datasets)?/{NAME}/resolve/([^/]+)/(.+)", Handler.resolve),
]  # fmt: skip


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Run a hub on a free port."""
    hub = Hub()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that hangs up is none
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
