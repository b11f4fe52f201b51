"""fetch with several ranged downloads side by side."""
import os
import signal
import time

from fault_server import BYTES_A_SECOND
from harness import BODY, OF_BUSYBOX, TOKEN, test, until, write, read, failed, succeeded

# In one stream where each is slow.
ALONE_SECONDS = len(BODY) / BYTES_A_SECOND


def slices(site):
    return [name for name in site.left() if name.endswith(".slice")]


def put_slice(site, start, content):
    write(f"{site.part()[:-5]}.{start:016x}.slice", content)


def ranges(site, since):
    return [headers.get("Range") for _, headers in site.server.requests[since:]]


@test
def streams_bring_more_where_each_is_slow(site):
    since, began = len(site.server.requests), time.monotonic()
    run = site.fetch("each", streams=4)
    follower = None
    run.wait_for("started")
    follower = open(site.part(), "rb")
    succeeded(run.end(), bytes=len(BODY), offset=0)
    assert read(site.part()) == BODY and follower.read() == BODY, "the temporary is the same file and only grew"
    assert time.monotonic() - began < ALONE_SECONDS, time.monotonic() - began
    asked = ranges(site, since)
    assert asked[0] == "bytes=0-" and len([r for r in asked if not r.endswith("-")]) >= 4, asked
    assert run.events("started") == [{"event": "started", "offset": 0}] and slices(site) == []


@test
def streams_are_kept_only_where_they_bring_more(site):
    for kind in ("each", "together"):
        since, began = len(site.server.requests), time.monotonic()
        succeeded(site.fetch(kind, streams=4, trial=1, near=0, stall_timeout=20).end(60), bytes=len(BODY))
        took, asked = time.monotonic() - began, ranges(site, since)
        assert read(site.part()) == BODY
        os.unlink(site.part())
        if kind == "each":
            # A single stream after the trial asks for all that is left.
            assert [r for r in asked if r and r.endswith("-")] == ["bytes=0-"], asked
        else:
            # One stream asks for the rest, after the first and the trial, unless a stall made the trial look good; nothing is fetched twice.
            assert took > 1.1 * ALONE_SECONDS or len([r for r in asked if r and r.endswith("-")]) == 2, asked
            assert took < 1.6 * ALONE_SECONDS, (took, asked)


@test
def streams_are_not_tried_on_a_short_way(site):
    since = len(site.server.requests)
    succeeded(site.fetch(streams=4, trial=1, near=900_000).end(), bytes=len(BODY))
    asked = site.server.requests[since:]
    assert [path for path, _ in asked][0] == "HEAD /" and len(asked) == 2, asked
    assert [headers.get("X-Auth-Token") for _, headers in asked] == [None, TOKEN], "the token goes to the image alone"


@test
def streams_that_fail_leave_it_to_one(site):
    for kind in ("brokenslices", "refusedslices"):
        if os.path.exists(site.part()):
            os.unlink(site.part())
        succeeded(site.fetch(kind, streams=3).end(60), bytes=len(BODY))
        assert read(site.part()) == BODY and slices(site) == []


@test
def streams_from_a_server_without_ranges(site):
    for kind in ("rangeless", "norange"):
        if os.path.exists(site.part()):
            os.unlink(site.part())
        succeeded(site.fetch(kind, streams=4).end(), bytes=len(BODY))
        assert read(site.part()) == BODY


@test
def streams_go_on_where_they_were_killed(site):
    run = site.fetch("each", streams=4)
    until(lambda: slices(site), "slices are on their way")
    run.process.send_signal(signal.SIGTERM)
    failed(run.end(), "interrupted")
    until(lambda: not site.strays(), "all streams have ended")
    had = os.path.getsize(site.part())
    assert had >= 300_000 and read(site.part()) == BODY[:had]
    done = succeeded(site.fetch(streams=4).end())
    assert done["offset"] >= had and done["bytes"] == len(BODY) - done["offset"]
    assert read(site.part()) == BODY and slices(site) == []


@test
def slices_of_an_earlier_try_are_joined_as_far_as_they_fit(site):
    site.put_part(BODY[:1000])
    put_slice(site, 1000, BODY[1000:5000])
    put_slice(site, 5000, BODY[5000:6000])
    put_slice(site, 7000, BODY[7000:8000])
    succeeded(site.fetch().end(), offset=6000)
    assert read(site.part()) == BODY and slices(site) == []
    os.unlink(site.part())
    outside = os.path.join(site.root, "secret")
    write(outside, b"secret")
    site.put_part(BODY[:1000])
    os.symlink(outside, f"{site.part()[:-5]}.{1000:016x}.slice")
    succeeded(site.fetch().end(), offset=1000)
    assert read(site.part()) == BODY and read(outside) == b"secret" and slices(site) == []


@test
def slices_are_swept(site):
    site.put_part(BODY[:10])
    put_slice(site, 10, BODY[10:20])
    old = time.time() - 1000
    os.utime(f"{site.part()[:-5]}.{10:016x}.slice", (old, old))
    succeeded(site.start("sweep", cache_dir=site.cache, older_than=500).end(), swept=1)
    assert slices(site) == [] and read(site.part()) == BODY[:10]


@test
def streams_are_checked(site):
    for bad in ({"streams": 0}, {"streams": 17}, {"streams": "x"}, {"trial": 2}, {"near": "x"}):
        failed(site.fetch(**bad).end(), "bad_parameter")


@test
def fetch_keeps_to_its_rate_in_streams(site):
    began = time.monotonic()
    succeeded(site.fetch("steady", streams=4, rate_limit=400_000).end(40), bytes=len(BODY))
    took = time.monotonic() - began
    # The time that it takes at least is what the limit promises; the other bound is one of a busy machine.
    assert 0.9 * len(BODY) / 400_000 < took < 3 * len(BODY) / 400_000, took


@test
def fetch_keeps_to_its_rate(site):
    for env in (None, {"PATH": site.tools(**OF_BUSYBOX)}):
        began = time.monotonic()
        succeeded(site.fetch(rate_limit=1_000_000, env=env).end(), bytes=len(BODY))
        took = time.monotonic() - began
        # Likewise.
        assert 0.95 * len(BODY) / 1_000_000 < took < 15, took
        assert read(site.part()) == BODY
        os.unlink(site.part())
    failed(site.fetch("truncated", rate_limit=1_000_000).end(), "truncated")
    failed(site.fetch("long", rate_limit=5_000_000).end(), "too_long")
