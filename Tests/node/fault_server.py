"""An HTTP server that serves one body, well or in one of the ways that go wrong; the path says which."""
import contextlib
import http.server
import ssl
import threading
import time

BYTES_A_SECOND = 200_000


class Link:
    """Carries so many bytes a second, whoever shares it."""

    def __init__(self):
        self.lock, self.free_at = threading.Lock(), 0

    @contextlib.contextmanager
    def carrying(self, count):
        with self.lock:
            # What a busy machine wakes us late by is made up for, an idle time is not.
            now = time.monotonic()
            self.free_at = (self.free_at if now - self.free_at < 0.2 else now) + count / BYTES_A_SECOND
            yield
            time.sleep(max(0, self.free_at - time.monotonic()))


class FaultServer:
    """`requests` holds (path, headers) of all that came in, the path of a HEAD behind that word. `release` lets hanging answers end."""

    def __init__(self, body, certificate=None):
        self.body, self.requests, self.release, self.link = body, [], threading.Event(), Link()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                owner.requests.append((f"HEAD {self.path}", dict(self.headers)))
                self.send_response(300)
                self.end_headers()

            def do_GET(self):
                owner.requests.append((self.path, dict(self.headers)))
                self.close_connection = True
                try:
                    owner.answer(self, self.path.strip("/").split("?")[0])
                except OSError:
                    pass  # the client left, which is what many tests are about

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request, kind):
        body = self.body
        asked = request.headers.get("Range")
        first, _, last = asked.split("=")[1].partition("-") if asked else ("0", "", "")
        start, end = int(first), int(last) + 1 if last else len(body)
        if kind.isdigit():
            return self.send(request, int(kind), b'{"error": "an error body that must not be cached"}')
        if kind == "redirect":
            return self.send(request, 302, b"moved", Location=self.url + "/stolen")
        if kind == "norange":
            return self.send(request, 200, body)
        if kind == "wrongrange":
            return self.send(request, 206, body[:100], Content_Range=f"bytes 0-99/{len(body)}")
        if kind == "othersize":
            return self.send(request, 206, body[start:], Content_Range=f"bytes {start}-{len(body) - 1}/{len(body) + 5}")
        if kind == "unasked206":
            return self.send(request, 206, body, Content_Range=f"bytes 0-{len(body) - 1}/{len(body)}")
        if kind == "shrunk":
            if asked:
                return self.send(request, 416, b"", Content_Range="bytes */10")
            return self.send(request, 200, body)
        if kind == "long":
            return self.send(request, 200, body + b"more")
        if kind == "short":
            return self.send(request, 200, body[: len(body) // 2])
        if kind == "longchunked":
            request.send_response(200)
            request.send_header("Transfer-Encoding", "chunked")
            request.end_headers()
            for piece in (body, b"more"):
                request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            return request.wfile.write(b"0\r\n\r\n")
        if kind == "garbage":
            return request.wfile.write(b"\x00\xffnot HTTP at all\r\n\r\n" + body)
        if kind == "nothing":
            return None
        if kind == "rangeless" and asked:
            return self.send(request, 400, b"no ranges here")
        if kind == "brokenslices" and last:
            return self.send(request, 206, body[start : end - 1], Content_Range=f"bytes {start}-{end - 2}/{len(body)}")
        if kind == "refusedslices" and last:
            return self.send(request, 503, b'{"error": "an error body that must not be cached"}')
        if kind == "hints":
            request.wfile.write(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\n")
        # What is left sends the right headers and then goes on in its own way.
        request.send_response(206 if asked else 200)
        request.send_header("Content-Length", str(end - start))
        if asked:
            request.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
        request.end_headers()
        if kind in ("each", "together", "brokenslices", "refusedslices"):
            return self.trickle(request, body[start:end], self.link if kind == "together" else Link())
        if kind == "truncated":
            return request.wfile.write(body[start : start + (len(body) - start) // 2])
        if kind == "stall":
            request.wfile.write(body[start : start + 100_000])
            request.wfile.flush()
            return self.release.wait(30)
        if kind in ("slow", "steady"):
            for at in range(start, len(body), 200_000):
                request.wfile.write(body[at : min(at + 200_000, len(body))])
                request.wfile.flush()
                time.sleep(0.15 if kind == "slow" else 0.02)
            return None
        return request.wfile.write(body[start:])

    @staticmethod
    def trickle(request, body, link):
        for at in range(0, len(body), 10_000):
            with link.carrying(min(10_000, len(body) - at)):
                request.wfile.write(body[at : at + 10_000])
                request.wfile.flush()

    @staticmethod
    def send(request, status, body, **headers):
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
