"""A plain oslo.messaging notification listener, as Ceilometer and its like have one: the peer that forecache-bench measures itself against.

Standard input: one line of JSON with url, exchange, topic, pool, prefetch, count and stamped. Standard output: a line when it listens, and one with what it
measured when `count` notifications have come. It ends when its standard input is closed.
"""
import json
import logging
import sys
import threading
import time

from oslo_config import cfg
import oslo_messaging


class Endpoint:
    """Counts; where the image id begins with the moment of publishing, also notes how long ago that was."""

    def __init__(self, count, stamped):
        self.count = count
        self.stamped = stamped
        self.seen = 0
        self.latencies = []
        self.lock = threading.Lock()
        self.done = threading.Event()
        self.ended = None

    def info(self, ctxt, publisher_id, event_type, payload, metadata):
        now = time.time_ns()
        with self.lock:
            self.seen += 1
            if self.stamped:
                self.latencies.append(now // 1000 - int(payload["id"].replace("-", "")[:16], 16))
            if self.seen == self.count:
                self.ended = time.monotonic()
                self.done.set()


def main():
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    order = json.loads(sys.stdin.readline())
    url = order["url"] + ("&" if "?" in order["url"] else "?") + "rabbit_qos_prefetch_count=%d" % order["prefetch"]
    transport = oslo_messaging.get_notification_transport(cfg.ConfigOpts(), url=url)
    endpoint = Endpoint(order["count"], order["stamped"])
    listener = oslo_messaging.get_notification_listener(
        transport,
        [oslo_messaging.Target(topic=order["topic"], exchange=order["exchange"])],
        [endpoint],
        executor="threading",
        pool=order["pool"],
    )
    started = time.monotonic()
    listener.start()
    say({"listening": True})
    if order["count"]:
        # Whoever started this process ends it where messages stay away.
        endpoint.done.wait()
        say({"seconds": endpoint.ended - started, "latencies_microseconds": endpoint.latencies})
    sys.stdin.read()
    listener.stop()
    listener.wait()


def say(message):
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
