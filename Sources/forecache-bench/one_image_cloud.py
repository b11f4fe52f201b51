"""Stands in for Keystone and Glance where only the controller and the hosts are measured: one user, one token, one image.

Arguments: the folder that holds the file `image` and gets the file `port`, and the image's id."""
import hashlib
import http.server
import json
import os
import sys

folder, image = sys.argv[1:]
with open(folder + "/image", "rb") as file:
    data = file.read()
record = {"id": image, "name": "bench", "status": "active", "visibility": "public", "disk_format": "raw", "container_format": "bare",
          "size": len(data), "os_hash_algo": "sha512", "os_hash_value": hashlib.sha512(data).hexdigest(), "tags": [], "protected": False,
          "min_disk": 0, "min_ram": 0, "owner": "bench", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        catalog = [{"type": "image", "endpoints": [{"interface": name, "region": "bench", "url": origin} for name in ("public", "internal")]}]
        token = {"issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": "2026-01-01T12:00:00.000000Z", "catalog": catalog}
        self.answer(201, json.dumps({"token": token}).encode(), {"X-Subject-Token": "bench"})

    def do_GET(self):
        path = self.path.split("?")[0]
        if self.headers.get("X-Auth-Token") != "bench":
            self.answer(401, b"{}")
        elif path == f"/v2/images/{image}/file":
            first, last = 0, len(data) - 1
            wanted = self.headers.get("Range", "").removeprefix("bytes=").split("-")
            if len(wanted) == 2:
                first, last = int(wanted[0]), min(last, int(wanted[1] or last))
            more = {"Content-Range": f"bytes {first}-{last}/{len(data)}", "Content-Type": "application/octet-stream"}
            self.answer(206 if len(wanted) == 2 else 200, data[first:last + 1], more if len(wanted) == 2 else {})
        elif path == f"/v2/images/{image}":
            self.answer(200, json.dumps(record).encode())
        else:
            self.answer(404, b"{}")

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512


server = Server(("127.0.0.1", 0), Handler)
origin = f"http://127.0.0.1:{server.server_address[1]}"
with open(folder + "/port.new", "w") as file:
    file.write(str(server.server_address[1]))
os.rename(folder + "/port.new", folder + "/port")
server.serve_forever()
