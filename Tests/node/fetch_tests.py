"""fetch: from a server that answers well or in one of the ways that go wrong."""
import contextlib
import hashlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import time

from fault_server import FaultServer
from harness import OWNER, TOKEN, BODY, test, until, write, read, failed, succeeded


@test
def fetch_then_publish(site):
    run = site.fetch()
    succeeded(run.end(), existing=False, bytes=len(BODY), offset=0)
    assert run.events("started") == [{"event": "started", "offset": 0}]
    assert read(site.part()) == BODY and not os.path.exists(site.base())
    assert site.server.requests[-1][1]["X-Auth-Token"] == TOKEN
    done = succeeded(site.publish().end(), existing=False, digest=hashlib.sha512(BODY).hexdigest())
    state = os.lstat(site.base())
    assert read(site.base()) == BODY and stat.S_IMODE(state.st_mode) == 0o644
    assert (state.st_uid, state.st_gid, state.st_nlink) == (OWNER, OWNER, 1)
    assert abs(state.st_mtime - time.time()) < 5 and done["mtime"] == int(state.st_mtime)
    assert site.left() == [], site.left()


@test
def fetch_resumes(site):
    site.put_part(BODY[:1_000_000])
    inode = os.stat(site.part()).st_ino
    run = site.fetch()
    succeeded(run.end(), bytes=len(BODY) - 1_000_000, offset=1_000_000)
    assert run.events("started") == [{"event": "started", "offset": 1_000_000}]
    assert read(site.part()) == BODY and os.stat(site.part()).st_ino == inode
    assert site.server.requests[-1][1]["Range"] == "bytes=1000000-"
    count = len(site.server.requests)
    succeeded(site.fetch().end(), bytes=0, offset=len(BODY))
    assert len(site.server.requests) == count, "a complete temporary needs no request"


@test
def fetch_whole_answer_to_a_range(site):
    site.put_part(BODY[:1000])
    follower = open(site.part(), "rb")
    run = site.fetch("norange")
    succeeded(run.end(), bytes=len(BODY), offset=0)
    assert [e["offset"] for e in run.events("started")] == [0]
    assert read(site.part()) == BODY and follower.read() == BODY[:1000], "the followers' file stays as it was"


@test
def fetch_range_beyond_the_end(site):
    site.put_part(BODY[:1000])
    run = site.fetch("shrunk")
    succeeded(run.end(), bytes=len(BODY), offset=0)
    assert read(site.part()) == BODY


@test
def fetch_wrong_ranges(site):
    for kind in ("wrongrange", "othersize"):
        site.put_part(BODY[:1000])
        assert failed(site.fetch(kind).end(), "http")["status"] == 206
        assert read(site.part()) == BODY[:1000]
    os.unlink(site.part())
    assert failed(site.fetch("unasked206").end(), "http")["status"] == 206
    assert os.path.getsize(site.part()) == 0


@test
def fetch_statuses(site):
    for status, kind in ((401, "forbidden"), (403, "forbidden"), (404, "not_found"), (410, "http"), (500, "http"), (204, "http")):
        assert failed(site.fetch(str(status)).end(), kind)["status"] == status
        assert os.path.getsize(site.part()) == 0, "no error body in the temporary"
    site.put_part(BODY[:1000])
    failed(site.fetch("503").end(), "http")
    assert read(site.part()) == BODY[:1000]


@test
def fetch_follows_no_redirect(site):
    before = len(site.server.requests)
    assert failed(site.fetch("redirect").end(), "http")["status"] == 302
    assert [path for path, _ in site.server.requests[before:]] == ["/redirect"]
    assert os.path.getsize(site.part()) == 0


@test
def fetch_steps_over_early_hints(site):
    succeeded(site.fetch("hints").end(), bytes=len(BODY))
    assert read(site.part()) == BODY


@test
def fetch_too_long(site):
    for kind in ("long", "longchunked"):
        failed(site.fetch(kind).end(), "too_long")
        assert not os.path.exists(site.part())


@test
def fetch_truncated(site):
    for kind in ("truncated", "short"):
        failed(site.fetch(kind).end(), "truncated")
        assert read(site.part()) == BODY[: os.path.getsize(site.part())] and os.path.getsize(site.part()) == len(BODY) // 2
    succeeded(site.fetch().end(), offset=len(BODY) // 2)
    assert read(site.part()) == BODY


@test
def fetch_no_server(site):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        failed(site.fetch(url=f"http://127.0.0.1:{unused.getsockname()[1]}/").end(), "network")
    failed(site.fetch("nothing").end(), "network")
    assert failed(site.fetch("garbage").end(), "network")


@test
def fetch_stall_ends(site):
    run = site.fetch("stall", stall_timeout=2)
    failed(run.end(), "network")
    assert run.events("progress") and os.path.getsize(site.part()) == 100_000
    assert not site.strays()


@test
def fetch_progress_and_rate(site):
    began = time.monotonic()
    run = site.fetch("steady", rate_limit=1_200_000)
    succeeded(run.end())
    seconds, progress = time.monotonic() - began, [event["bytes"] for event in run.events("progress")]
    assert seconds > 1.2 and progress and progress == sorted(progress) and progress[-1] <= len(BODY), (seconds, progress)


@test
def fetch_end_of_input_kills(site):
    run = site.fetch("stall", stall_timeout=60)
    until(lambda: os.path.exists(site.part()) and os.path.getsize(site.part()) > 90_000, "the first bytes")
    run.close_input()
    failed(run.end(5), "interrupted")
    until(lambda: not site.strays(), "no strays")


@test
def fetch_signals(site):
    for number in (signal.SIGTERM, signal.SIGHUP):
        run = site.fetch("stall", stall_timeout=60)
        run.wait_for("started")
        until(lambda: os.path.exists(site.part()) and os.path.getsize(site.part()) > 90_000, "the first bytes")
        run.process.send_signal(number)
        failed(run.end(5), "interrupted")
        until(lambda: not site.strays(), "no strays")
    have = os.path.getsize(site.part())
    succeeded(site.fetch().end(), offset=have)


@test
def fetch_killed_leaves_no_lock(site):
    run = site.fetch("stall", stall_timeout=60)
    run.wait_for("started")
    run.process.kill()
    run.process.wait()
    run.close_input()
    until(lambda: not site.strays(), "what is left ends with standard input")
    run.readers[0].join(5)
    succeeded(site.fetch().end())


@test
def fetch_busy(site):
    first = site.fetch("stall", stall_timeout=60)
    first.wait_for("started")
    failed(site.fetch().end(), "busy")
    failed(site.publish().end(), "busy")
    first.close_input()
    failed(first.end(), "interrupted")
    succeeded(site.fetch().end())


@test
def fetch_many_at_once(site):
    runs = [site.fetch("slow") for _ in range(5)]
    ends = [run.end() for run in runs]
    assert sorted(end.get("kind", "done") for end in ends) == ["busy"] * 4 + ["done"], ends
    assert read(site.part()) == BODY


@test
def fetch_ignores_proxies(site):
    nowhere = "http://127.0.0.1:1"
    succeeded(site.fetch(env={"http_proxy": nowhere, "https_proxy": nowhere, "ALL_PROXY": nowhere}).end())


@test
def lock_without_flock(site):
    tools = os.path.join(site.root, "bin")
    os.makedirs(tools)
    for directory in ("/bin", "/usr/bin", "/usr/sbin"):
        for tool in os.listdir(directory):
            if tool != "flock" and not os.path.lexists(f"{tools}/{tool}"):
                os.symlink(os.path.join(directory, tool), f"{tools}/{tool}")
    env = {"PATH": f"{tools}"}
    # /usr/sbin is appended by the program; flock lives in /usr/bin.
    first = site.fetch("stall", env=env, stall_timeout=60)
    first.wait_for("started")
    assert any(name.endswith(".lockdir") for name in site.left()), site.left()
    failed(site.fetch(env=env).end(), "busy")
    first.close_input()
    failed(first.end(), "interrupted")
    dead = site.fetch("stall", env=env, stall_timeout=60)
    dead.wait_for("started")
    dead.process.kill()
    dead.process.wait()
    dead.close_input()
    until(lambda: not site.strays(), "no strays")
    succeeded(site.fetch(env=env).end())
    assert not any(".lockdir" in name for name in site.left()), site.left()


@test
def a_stale_lock_goes_to_one(site):
    # Another finds it stale at the same moment, and has made it his own before ours moves it away.
    os.makedirs(f"{site.cache}/.forecache")
    lock = site.part().removesuffix(".part") + ".lockdir"
    start = read(f"/proc/{os.getpid()}/stat").decode().rsplit(") ", 1)[1].split()[19]
    live, flag = f"{os.getpid()} {start}", f"{site.root}/flag"
    take = f"rm -r \"$1\"; mkdir \"$1\"; echo {live} >\"$1/holder\""
    for stale in ("999999999 1\n", None):
        os.mkdir(lock)
        if stale:
            write(f"{lock}/holder", stale.encode())
        os.utime(lock, (1_600_000_000, 1_600_000_000))
        tools = site.tools(without=("flock",), mv=f"if mkdir '{flag}' 2>/dev/null; then {take}; fi\nexec {shutil.which('mv')} \"$@\"")
        failed(site.fetch(env={"PATH": tools}).end(), "busy")
        assert read(f"{lock}/holder").decode() == live + "\n" and site.left() == [os.path.basename(lock)], site.left()
        shutil.rmtree(lock)
        os.rmdir(flag)


@test
def fetch_shows_no_token(site):
    run = site.fetch("stall", env={"p_token": "exported", "token": "exported"}, stall_timeout=60)
    until(lambda: os.path.exists(site.part()) and os.path.getsize(site.part()) > 90_000, "the first bytes")
    seen = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            for file in ("cmdline", "environ"):
                seen += 1
                assert b"gAAAAA-tok" not in read(f"/proc/{pid}/{file}"), (pid, file)
    assert seen > 10
    run.close_input()
    run.end()
    assert not os.path.exists("/tmp/forecache-owned")


@test
def fetch_gives_no_tool_the_token(site):
    tools, log = os.path.join(site.root, "bin"), os.path.join(site.root, "log")
    os.makedirs(tools)
    for tool in ("curl", "sed", "head", "stat", "tr", "awk", "sleep", "date", "wc", "cat", "id", "env", "echo", "printf", "mkdir"):
        path = f"{tools}/{tool}"
        write(path, f'#!/bin/sh\n{{ echo "$0 $*"; /usr/bin/env; }} >>"{log}"\nexec {shutil.which(tool)} "$@"\n'.encode())
        os.chmod(path, 0o755)
    succeeded(site.fetch(env={"PATH": f"{tools}:{os.environ['PATH']}"}).end())
    assert b"/curl -q" in read(log) and b"gAAAAA" not in read(log)


@test
def fetch_existing(site):
    write(site.base(), b"what Nova put there")
    os.utime(site.base(), (1_600_000_000, 1_600_000_000))
    before, count = os.stat(site.base()), len(site.server.requests)
    succeeded(site.fetch().end(), existing=True, bytes=0)
    succeeded(site.copy("/nowhere").end(), existing=True, bytes=0)
    after = os.stat(site.base())
    assert (before.st_ino, before.st_mtime, before.st_size) == (after.st_ino, after.st_mtime, after.st_size)
    assert len(site.server.requests) == count and not [n for n in site.left() if n.endswith(".part")]


@test
def fetch_keeps_space_free(site):
    count = len(site.server.requests)
    failed(site.fetch(keep_free=10**17).end(), "no_space")
    assert len(site.server.requests) == count and site.left() == []


@test
def full_disk(site):
    disk = os.path.join(site.root, "disk")
    os.makedirs(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    try:
        cache = os.path.join(disk, "_base")
        failed(site.fetch(cache_dir=cache).end(), "no_space")
        # Room enough at the start, and gone before the end.
        server = FaultServer(BODY[:1_900_000])
        run = site.start("fetch", **site.image(server.body, cache_dir=cache, url=f"{server.url}/slow", stall_timeout=5))
        run.wait_for("started")
        write(os.path.join(disk, "somebody else's"), bytes(1_200_000))
        failed(run.end(), "no_space")
        server.close()
        shutil.rmtree(cache)
        os.unlink(os.path.join(disk, "somebody else's"))
        keys = site.image(BODY[:1_900_000], cache_dir=cache)
        run = site.copy(site.peer_file(BODY[:1_900_000]), rate_limit=600_000, **{k: keys[k] for k in ("cache_dir", "size", "digest")})
        run.wait_for("started")
        write(os.path.join(disk, "somebody else's"), bytes(1_200_000))
        failed(run.end(), "no_space")
    finally:
        until(lambda: subprocess.run(["umount", disk], stderr=subprocess.DEVNULL).returncode == 0, "umount")


@test
def fetch_makes_cache_dir(site):
    os.rmdir(site.cache)
    os.chown(os.path.dirname(site.cache), OWNER, OWNER)
    succeeded(site.fetch(owner=None).end())
    state = os.stat(site.cache)
    assert (state.st_uid, stat.S_IMODE(state.st_mode)) == (OWNER, 0o755)
    failed(site.fetch(cache_dir=os.path.join(site.root, "no", "such", "_base")).end(), "io")


@test
def fetch_tls(site):
    pem = os.path.join(site.root, "pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", pem,
                    "-out", pem + ".crt", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, stderr=subprocess.DEVNULL)
    write(pem, read(pem) + read(pem + ".crt"))
    server = FaultServer(BODY, certificate=pem)
    try:
        failed(site.fetch(url=server.url + "/image").end(), "untrusted")
        failed(site.fetch(url=server.url + "/image", cacert="/nowhere").end(), "untrusted")
        assert server.requests == []
        succeeded(site.fetch(url=server.url + "/image", cacert=pem + ".crt").end())
        os.unlink(site.part())
        succeeded(site.fetch(url=server.url + "/image", insecure=1).end())
    finally:
        server.close()
