"""A long, fat link on one machine: relays TCP with a delay, and lets each connection have no more than a window of bytes on the way.

    delaying_relay.py PORT_FILE FILE DELAY_SECONDS WINDOW_BYTES

Serves FILE on a port of 127.0.0.1 that it writes into PORT_FILE, through the relay. DELAY is that of a round trip. The last line of PORT_FILE's
neighbour PORT_FILE.sent is the number of the image's bytes that went over the link so far."""
import collections
import http.server
import os
import socket
import sys
import threading
import time


def pump(source, sink, delay, window, count=lambda length: None):
    """One direction. What was sent counts as on the way until the other side's word about it would be back."""
    on_the_way, queue, ready = collections.deque(), collections.deque(), threading.Condition()

    def deliver():
        while True:
            with ready:
                while not queue:
                    ready.wait()
                due, data = queue.popleft()
            time.sleep(max(0, due - time.monotonic()))
            try:
                if not data:
                    return sink.shutdown(socket.SHUT_WR)
                sink.sendall(data)
            except OSError:
                # Who listened has gone: nothing more is fetched for them.
                return close(source)

    threading.Thread(target=deliver, daemon=True).start()
    busy = 0
    while True:
        now = time.monotonic()
        while on_the_way and (on_the_way[0][0] <= now or busy >= window):
            time.sleep(max(0, on_the_way[0][0] - now))
            busy -= on_the_way.popleft()[1]
            now = time.monotonic()
        try:
            data = source.recv(min(32768, window - busy))
        except OSError:
            data = b""
        now = time.monotonic()
        busy += len(data)
        count(len(data))
        on_the_way.append((now + delay, len(data)))
        with ready:
            queue.append((now + delay / 2, data))
            ready.notify()
        if not data:
            return


def close(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed


def serve(path):
    data_size = os.path.getsize(path)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            asked, start, end = self.headers.get("Range"), 0, data_size
            if asked:
                first, _, last = asked.removeprefix("bytes=").partition("-")
                start, end = int(first), int(last) + 1 if last else data_size
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(end - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{data_size}")
            self.end_headers()
            try:
                with open(path, "rb") as file:
                    file.seek(start)
                    while start < end and (part := file.read(min(65536, end - start))):
                        self.wfile.write(part)
                        start += len(part)
            except OSError:
                self.close_connection = True

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self):
            connection, address = super().get_request()
            # Else the kernel would take the image from us at once, and what is cut off would count as sent.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            return connection, address

        def handle_error(self, *_):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address


def main():
    port_file, path, delay, window = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    origin, listener, lock, sent = serve(path), socket.create_server(("127.0.0.1", 0), backlog=64), threading.Lock(), [0, 0]

    def count(length):
        with lock:
            sent[0] += length
            if sent[0] - sent[1] > 1 << 18 or length == 0:
                sent[1] = sent[0]
                write(f"{port_file}.sent", sent[0])

    write(port_file, listener.getsockname()[1])
    while True:
        client, _ = listener.accept()
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        server.connect(origin)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=pump, args=(client, server, delay, 65536), daemon=True).start()
        threading.Thread(target=pump, args=(server, client, delay, window, count), daemon=True).start()


def write(path, value):
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(f"{value}\n")
    os.rename(f"{path}.new", path)


if __name__ == "__main__":
    main()
