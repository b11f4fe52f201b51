"""What a node looks like after a bad day, and that it heals: no wrong base file, and nothing of ours left after a sweep."""
import os
import threading
import time

from harness import BODY, NAME, test, write, read, failed, succeeded


def swept(site):
    succeeded(site.start("sweep", cache_dir=site.cache, older_than=0).end())
    assert site.left() == [], site.left()


@test
def power_went_between_link_and_tidying_up(site):
    # The base file and the temporary are one file by two names.
    site.put_part(BODY)
    os.link(site.part(), site.base())
    succeeded(site.publish().end(), existing=True)
    assert read(site.base()) == BODY and os.stat(site.base()).st_nlink == 1
    # The same, met by a fetch: nothing may be written through the second name.
    os.link(site.base(), site.part())
    succeeded(site.fetch().end(), existing=True, bytes=0)
    assert read(site.base()) == BODY and os.stat(site.base()).st_nlink == 1
    # And by a sweep, however young the base file is kept; a temporary of its own is left to its age.
    other = os.path.join(site.cache, ".forecache", "0" * 40 + "." + "0" * 16 + ".part")
    for name in (site.part(), site.part()[:-4] + "raw"):
        os.link(site.base(), name)
        write(site.part()[:-4] + "sum", b"its digest")
        write(other, b"still coming")
        write(other[:-4] + "sum", b"its digest")
        succeeded(site.start("sweep", cache_dir=site.cache, older_than=7200).end(), swept=2)
        assert site.left() == [os.path.basename(other), os.path.basename(other)[:-4] + "sum"], site.left()
        assert read(site.base()) == BODY and os.stat(site.base()).st_nlink == 1
    swept(site)
    assert read(site.base()) == BODY


@test
def the_clock_was_set_back(site):
    for ahead in (3600, -3600):
        site.put_part(BODY[:1000])
        os.utime(site.part(), (time.time() + ahead, time.time() + ahead))
        succeeded(site.start("sweep", cache_dir=site.cache, older_than=7200).end(), swept=0)
        # What is there is gone on with, whatever its time says.
        succeeded(site.fetch().end(), offset=1000)
        os.utime(site.part(), (time.time() + ahead, time.time() + ahead))
        swept(site)
    # A base file from the future is young again, not an hour ahead of its time.
    site.put_part(BODY)
    succeeded(site.publish().end(), existing=False)
    os.utime(site.base(), (time.time() + 3600, time.time() + 3600))
    succeeded(site.start("touch", extra=[NAME + "\n.\n"], cache_dir=site.cache).end(), touched=1)
    assert abs(os.stat(site.base()).st_mtime - time.time()) < 10


@test
def two_controllers_publish_at_once(site):
    site.put_part(BODY)
    tools = site.tools(openssl="exit 1", sha512sum="sleep 15; exec /usr/bin/sha512sum")
    first = site.publish(env={"PATH": tools})
    first.wait_for("progress")
    failed(site.publish().end(), "busy")
    failed(site.fetch().end(), "busy")
    failed(site.start("release", **site.image()).end(), "busy")
    succeeded(first.end(40), existing=False)
    assert read(site.base()) == BODY and site.left() == []


@test
def a_crowd_publishes_and_one_does(site):
    for _ in range(3):
        site.put_part(BODY)
        runs = [site.publish() for _ in range(4)]
        ends = [None] * 4
        waiting = [threading.Thread(target=lambda n=n: ends.__setitem__(n, runs[n].end())) for n in range(4)]
        for one in waiting:
            one.start()
        for one in waiting:
            one.join()
        assert [end for end in ends if end and end["event"] == "done" and not end["existing"]], ends
        assert all(end["event"] == "done" or end["kind"] in ("busy", "truncated") for end in ends if end), ends
        assert sum(end["event"] == "done" and not end["existing"] for end in ends if end) == 1, ends
        assert read(site.base()) == BODY
        os.unlink(site.base())
        swept(site)
