"""A server on loopback that answers as Google Cloud Storage does (its JSON API), as far as pyarrow asks.

A process of its own, `python fake_gcs.py`, which prints the address of a folder and serves until it is ended: pyarrow
keeps the interpreter's lock while it opens a file there.
"""

from __future__ import annotations

import http.server
import json
import re
import urllib.parse
from typing import Any

MODIFIED = "2026-01-02T03:04:05.678Z"


class Store(http.server.ThreadingHTTPServer):
    """One bucket, in memory."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, tuple[str, bytes]] = {}

    @property
    def address(self) -> str:
        return (
            f"gs://anonymous@bucket/data?scheme=http&endpoint_override=127.0.0.1:{self.server_address[1]}"
            "&retry_limit_seconds=5"
        )


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Store

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def json(self, contents: Any, status: int = 200) -> None:
        self.answer(status, json.dumps(contents).encode(), Content_Type="application/json")

    def about(self, name: str) -> dict[str, Any]:
        return {
            "kind": "storage#object", "bucket": "bucket", "name": name, "size": str(len(self.server.objects[name])),
            "generation": "1", "metageneration": "1", "updated": MODIFIED, "timeCreated": MODIFIED,
        }  # fmt: skip

    @property
    def parts(self) -> tuple[str, dict[str, str]]:
        url = urllib.parse.urlsplit(self.path)
        return url.path, dict(urllib.parse.parse_qsl(url.query))

    def do_GET(self) -> None:
        path, query = self.parts
        found = re.fullmatch(r"(?:/storage/v1/b/|/download/storage/v1/b/|/)bucket(?:/o)?(?:/(.*))?", path)
        if found is None:
            self.json({"error": {"code": 404, "message": "no bucket"}}, 404)
        elif found[1]:
            self.get_object(urllib.parse.unquote(found[1]), query)
        elif path.endswith("/o"):
            self.list_objects(query.get("prefix", ""), query.get("delimiter"))
        else:
            self.json({"kind": "storage#bucket", "name": "bucket", "id": "bucket"})

    def get_object(self, name: str, query: dict[str, str]) -> None:
        content = self.server.objects.get(name)
        if content is None:
            self.json({"error": {"code": 404, "message": f"no {name}"}}, 404)
        elif query.get("alt") != "media" and "/storage/v1/b/" in self.path:
            self.json(self.about(name))
        else:
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted is None:
                self.answer(200, content, **{"x-goog-generation": "1"})
                return
            start, stop = int(wanted[1]), min(int(wanted[2] or len(content)) + 1, len(content))
            span = f"bytes {start}-{stop - 1}/{len(content)}"
            self.answer(206, content[start:stop], Content_Range=span, **{"x-goog-generation": "1"})

    def list_objects(self, prefix: str, delimiter: str | None) -> None:
        names = sorted(name for name in self.server.objects if name.startswith(prefix))
        inner = {
            prefix + name[len(prefix) :].partition(delimiter)[0] + delimiter
            for name in names
            if delimiter is not None and delimiter in name[len(prefix) :]
        }
        own = [name for name in names if not any(name.startswith(folder) and name != folder for folder in inner)]
        self.json({"kind": "storage#objects", "items": [*map(self.about, own)], "prefixes": sorted(inner)})

    def do_POST(self) -> None:
        _, query = self.parts
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = query.get("name") or json.loads(body)["name"]
        if query["uploadType"] == "resumable":
            number = str(len(self.server.uploads))
            self.server.uploads[number] = (name, b"")
            host = f"http://127.0.0.1:{self.server.server_address[1]}"
            self.answer(200, Location=f"{host}/upload/storage/v1/b/bucket/o?uploadType=resumable&upload_id={number}")
        else:
            boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])
            pieces = body.split(b"--" + boundary[1].encode()) if boundary else [b"", b"", b"\r\n\r\n" + body + b"\r\n"]
            self.server.objects[name] = pieces[2].partition(b"\r\n\r\n")[2][:-2]
            self.json(self.about(name))

    def do_PUT(self) -> None:
        number = self.parts[1]["upload_id"]
        name, before = self.server.uploads[number]
        content = before + self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.uploads[number] = (name, content)
        if self.headers.get("Content-Range", "").endswith("/*"):
            self.answer(308, Range=f"bytes=0-{len(content) - 1}")
        else:
            self.server.objects[name] = content
            self.json(self.about(name))

    def do_DELETE(self) -> None:
        name = urllib.parse.unquote(self.parts[0].rpartition("/o/")[2])
        self.answer(204 if self.server.objects.pop(name, None) is not None else 404)


if __name__ == "__main__":
    store = Store()
    print(store.address, flush=True)
    store.serve_forever()
