"""read: parts of a base file."""
import base64
import os

from harness import NAME, BODY, OF_BUSYBOX, OTHER, test, write, failed, succeeded


def parts(run):
    found = []
    for event in run.events():
        if event["event"] == "range":
            found.append((event["offset"], event["bytes"], b""))
        elif event["event"] == "data":
            offset, size, data = found[-1]
            found[-1] = (offset, size, data + base64.b64decode(event["data"], validate=True))
    return found


def reading(site, ranges, name=NAME):
    return site.start("read", cache_dir=site.cache, name=name, ranges=ranges)


@test
def ranges_come_as_they_are(site):
    write(f"{site.cache}/{NAME}", BODY)
    before = os.stat(f"{site.cache}/{NAME}")
    run = reading(site, f"0+1,5+1000000,{len(BODY) - 3}+3")
    assert succeeded(run.end())["bytes"] == len(BODY)
    assert parts(run) == [(0, 1, BODY[:1]), (5, 1000000, BODY[5:1000005]), (len(BODY) - 3, 3, BODY[-3:])]
    after = os.stat(f"{site.cache}/{NAME}")
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    assert max(len(line) for line in run.raw) < 16384
    assert not os.path.exists(f"{site.cache}/.forecache"), "nothing is made"


@test
def ranges_beyond_four_gibibytes(site):
    write(f"{site.cache}/{NAME}", b"")
    os.truncate(f"{site.cache}/{NAME}", 5 << 30)
    at = (4 << 30) + 12345
    with open(f"{site.cache}/{NAME}", "r+b") as file:
        file.seek(at)
        file.write(BODY[:100_000])
    for env in (None, {"PATH": site.tools(**OF_BUSYBOX)}):
        run = site.start("read", env=env, cache_dir=site.cache, name=NAME, ranges=f"{at}+100000,{(5 << 30) - 2}+2")
        assert succeeded(run.end())["bytes"] == 5 << 30
        assert parts(run) == [(at, 100_000, BODY[:100_000]), ((5 << 30) - 2, 2, b"\0\0")]


@test
def what_is_no_base_file_is_not_read(site):
    write(f"{site.root}/secret", b"secret")
    os.symlink(f"{site.root}/secret", f"{site.cache}/{NAME}")
    os.mkdir(f"{site.cache}/{OTHER}")
    for name in (NAME, OTHER, "0" * 40):
        failed(reading(site, "0+1", name).end(), "io")
    for name in ("../secret", "", "A" * 40):
        failed(reading(site, "0+1", name).end(), "bad_parameter")


@test
def bounds_of_what_is_read(site):
    write(f"{site.cache}/{NAME}", BODY)
    for ranges in ("", "0", "0+0", "-1+1", "0+1,,", "x+1", "0+4194305", "0+1;id", ",".join(["0+1"] * 65)):
        failed(reading(site, ranges).end(), "bad_parameter")
    failed(reading(site, f"{len(BODY)}+1").end(), "truncated")
