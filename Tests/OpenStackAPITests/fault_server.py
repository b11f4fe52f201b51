#!/usr/bin/python3
"""A small HTTP server that answers as it is told, faults included.

Standard input: one line of JSON: {"routes": {"GET /path": [ANSWER, …]}, "tls": {"cert": FILE, "key": FILE}}. The answers of a route are given
in turn; the last one stays. A route is looked up with its query first, then without. Standard output: the port, then nothing. It ends when its
standard input is closed.

ANSWER: status, headers, body (text; {origin} stands for this server), repeat (the body so many times), length (a Content-Length that lies),
hang (says nothing for ever), stall (sends the body, then says nothing for ever), close (closes without a word), wait (seconds before the answer).
GET /__seen tells what was asked so far.
"""
import http.server
import json
import ssl
import sys
import threading

plan = json.loads(sys.stdin.readline())
lock = threading.Lock()
seen = []
never = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/__seen":
            with lock:
                return self.send({"body": json.dumps(seen)})
        with lock:
            seen.append({"method": self.command, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()},
                         "body": body.decode("latin-1"), "port": self.client_address[1]})
            answers = None
            for path in (self.path, self.path.split("?")[0]):
                answers = answers or plan["routes"].get(f"{self.command} {path}")
            chosen = {"status": 404, "body": "no such route"}
            if answers:
                chosen = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send(chosen)

    def send(self, answer):
        if answer.get("wait"):
            never.wait(answer["wait"])
        if answer.get("hang"):
            never.wait()
        if answer.get("close"):
            self.close_connection = True
            return
        body = (answer.get("body", "").replace("{origin}", origin) * answer.get("repeat", 1)).encode()
        self.send_response(answer.get("status", 200))
        for name, value in answer.get("headers", {}).items():
            self.send_header(name, value.replace("{origin}", origin))
        self.send_header("Content-Length", str(answer.get("length", len(body))))
        self.end_headers()
        try:
            self.wfile.write(body)
            if answer.get("stall"):
                self.wfile.flush()
                never.wait()
        except OSError:
            pass
        if "length" in answer:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_):
        pass


server = Server(("127.0.0.1", 0), Handler)
scheme = "http"
if plan.get("tls"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(plan["tls"]["cert"], plan["tls"]["key"])
    if plan["tls"].get("clientCA"):
        context.load_verify_locations(plan["tls"]["clientCA"])
        context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "https"
origin = f"{scheme}://127.0.0.1:{server.server_address[1]}"
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
