#!/usr/bin/python3
"""The line between hosts and the real Glance: passes their downloads on, and spoils some of them.

Arguments: the address to listen on, Glance's URL, Keystone's URL. Standard input: one line of JSON, the faults of the first downloads in turn;
those that come later are whole. It ends when its standard input is closed. Standard output: the port, then nothing.

FAULT: {"after": bytes that pass before it, "then": what}
  close  the connection ends            more  all of it comes, without a length, and then more
  stall  nothing comes ever after       hold  nothing comes until GET /__go?WORD: `on`, `end` (the connection ends) or `refuse` (it ends, and
                                              this token is answered 401 from then on)
Keystone is asked about every token, as by a Glance that remembers none: one that it does not stand by is answered 401.
GET /__seen tells of the downloads so far: token, range, status, sent (bytes), is_held.
"""
import http.server
import json
import sys
import threading
import urllib.error
import urllib.request

address, glance, keystone = sys.argv[1:4]
faults = json.loads(sys.stdin.readline())
lock, go, never = threading.Lock(), threading.Event(), threading.Event()
seen, wish, refused = [], [], set()


def open_url(url, headers):
    try:
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(urllib.request.Request(url, headers=headers), timeout=60)
    except urllib.error.HTTPError as answer:
        return answer


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/__seen":
            return self.answer(200, json.dumps(seen).encode())
        if self.path.startswith("/__go?"):
            wish.append(self.path.partition("?")[2])
            go.set()
            return self.answer(200, b"{}")
        token, asked = self.headers.get("X-Auth-Token", ""), self.headers.get("Range")
        mine = {"token": token, "range": asked, "status": 401, "sent": 0, "is_held": False}
        with lock:
            seen.append(mine)
        if token in refused or open_url(keystone + "/auth/tokens", {"X-Auth-Token": token, "X-Subject-Token": token}).status != 200:
            return self.answer(401, b"")
        with lock:
            fault = faults.pop(0) if faults else {}
        with open_url(glance + self.path, {"X-Auth-Token": token, **({"Range": asked} if asked else {})}) as origin:
            mine["status"] = origin.status
            self.spoil(origin, mine, fault)

    def spoil(self, origin, mine, fault):
        then, after = fault.get("then"), fault.get("after", 0)
        self.send_response(origin.status)
        for name in ("Content-Type", "Content-Range") + (() if then == "more" else ("Content-Length",)):
            if origin.headers.get(name):
                self.send_header(name, origin.headers[name])
        self.end_headers()
        if then in ("close", "hold", "stall"):
            self.send(origin.read(after), mine)
            if then == "hold":
                mine["is_held"] = True
                go.wait()
                if wish[-1] == "refuse":
                    refused.add(mine["token"])
            elif then == "stall":
                never.wait()
            if then == "close" or wish[-1] != "on":
                return
        while piece := origin.read(65536):
            self.send(piece, mine)
        if then == "more":
            self.send(b"more", mine)

    def send(self, piece, mine):
        self.wfile.write(piece)
        mine["sent"] += len(piece)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


server = Server((address, 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
