"""A server on 127.0.0.1 that answers the calls of ``huggingface_hub`` for small files of model repositories."""

import base64
import hashlib
import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

TOKEN = "hf_test"


class Hub(ThreadingHTTPServer):
    """Repositories by name, each a dictionary from commit to files, of which the last is the main branch."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = {}
        self.url = f"http://127.0.0.1:{self.server_port}"

    def commit(self, name, files):
        commits = self.repositories.setdefault(name, {})
        files = {**(list(commits.values())[-1] if commits else {}), **files}
        commit = hashlib.sha1(repr((len(commits), sorted(files))).encode()).hexdigest()
        commits[commit] = files
        return commit


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, value, *, code=200, **headers):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(code)
        for name, text in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(text))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, code, reason):
        self.answer({"error": reason}, code=code, X_Error_Code=reason, X_Error_Message=reason)

    def do_GET(self):
        path = self.path.partition("?")[0]
        found = re.fullmatch(r"(?:/api/models)?/(\w+/[\w.-]+)/(revision|tree|resolve)/([^/]+)(?:/(.+))?", path)
        name, kind, revision, file = found.groups() if found else (None,) * 4
        commits = self.server.repositories.get(name)
        if commits is None:
            return self.refuse(404, "RepoNotFound")
        commit = list(commits)[-1] if revision == "main" else revision
        if commit not in commits:
            return self.refuse(404, "RevisionNotFound")
        oids = {name: hashlib.sha1(content).hexdigest() for name, content in commits[commit].items()}
        if kind == "revision":
            return self.answer({"id": name, "modelId": name, "sha": commit, "siblings": []})
        if kind == "tree":
            sizes = {name: len(content) for name, content in commits[commit].items()}
            return self.answer(
                [{"type": "file", "path": each, "size": sizes[each], "oid": oids[each]} for each in oids]
            )
        if file not in oids:
            return self.refuse(404, "EntryNotFound")
        return self.answer(commits[commit][file], ETag=f'"{oids[file]}"', X_Repo_Commit=commit)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.refuse(401, "Invalid username or password.")
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            given = json.loads(body)
            name = f"{given['organization']}/{given['name']}"
            code = 409 if name in self.server.repositories else 200
            self.server.repositories.setdefault(name, {})
            return self.answer({"url": f"{self.server.url}/{name}"}, code=code)
        name, kind = re.fullmatch(r"/api/models/(\w+/[\w.-]+)/(preupload|commit)/main", self.path).groups()
        if kind == "preupload":
            paths = [file["path"] for file in json.loads(body)["files"]]
            return self.answer({"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]})
        lines = [json.loads(line) for line in body.splitlines()]
        values = [line["value"] for line in lines if line["key"] == "file"]
        commit = self.server.commit(name, {each["path"]: base64.b64decode(each["content"]) for each in values})
        return self.answer({"commitUrl": f"{self.server.url}/{name}/commit/{commit}", "commitOid": commit})


@contextmanager
def serving():
    """Gives a running hub."""
    with Hub() as hub:
        Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield hub
        hub.shutdown()
