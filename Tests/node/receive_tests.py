"""receive: the image's bytes on standard input, behind the parameters."""
import contextlib
import os
import time

from harness import BODY, OF_BUSYBOX, test, until, read, failed, succeeded


def receive(site, env=None, **more):
    run = site.start("receive", env=env, **site.image(**more))
    until(lambda: run.events(), "it says where it begins")
    return run


def send(run, content):
    with contextlib.suppress(BrokenPipeError):
        run.process.stdin.write(content)
        run.process.stdin.flush()


@test
def receive_takes_what_is_sent(site):
    run = receive(site)
    assert run.events("started") == [{"event": "started", "offset": 0}]
    send(run, BODY)
    succeeded(run.end(), existing=False, bytes=len(BODY), offset=0)
    assert read(site.part()) == BODY
    succeeded(site.publish().end(), existing=False)
    assert read(site.base()) == BODY and site.left() == []
    succeeded(receive(site).end(), existing=True, bytes=0)


@test
def receive_goes_on_where_it_was_left(site):
    run = receive(site)
    send(run, BODY[:1_048_576])
    until(lambda: os.path.getsize(site.part()) == 1_048_576, "the first bytes are there")
    run.close_input()
    failed(run.end(), "interrupted")
    run = receive(site)
    assert run.events("started")[0]["offset"] == 1_048_576
    send(run, BODY[1_048_576:])
    succeeded(run.end(), bytes=len(BODY) - 1_048_576, offset=1_048_576)
    assert read(site.part()) == BODY


@test
def receive_takes_no_more_than_the_image(site):
    run = receive(site)
    send(run, BODY + b"more")
    succeeded(run.end(), bytes=len(BODY))
    assert read(site.part()) == BODY


@test
def receive_keeps_to_its_rate(site):
    for env in (None, {"PATH": site.tools(**OF_BUSYBOX)}):
        run = receive(site, rate_limit=1_500_000, env=env)
        began = time.monotonic()
        send(run, BODY)
        succeeded(run.end(), bytes=len(BODY))
        # Two seconds at this rate; how exact it is on a busy machine is the lab's to show.
        assert 1.8 < time.monotonic() - began < 15, time.monotonic() - began
        assert read(site.part()) == BODY
        os.unlink(site.part())


@test
def receive_without_room_leaves_nothing(site):
    failed(receive(site, keep_free=10**15).end(), "no_space")
    assert site.left() == []


@test
def receive_is_one_at_a_time(site):
    run = receive(site)
    failed(receive(site).end(), "busy")
    failed(site.fetch().end(), "busy")
    send(run, BODY)
    succeeded(run.end())
