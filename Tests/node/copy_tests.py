"""copy: from a real sshd, with sftp and scp, on the host and in a container."""
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import threading

from harness import OWNER, BODY, test, until, write, read, failed, succeeded


@test
def copy_sftp_and_publish(site):
    path = site.peer_file(name=" it is $(a) peer; file ")
    run = site.copy(path)
    succeeded(run.end(), existing=False, bytes=len(BODY), offset=0, method="sftp")
    assert run.events("started") == [{"event": "started", "offset": 0}]
    assert read(site.part()) == BODY and os.stat(site.part()).st_uid == OWNER
    succeeded(site.publish().end(), existing=False)
    assert read(site.base()) == BODY and site.left() == []


@test
def copy_resumes(site):
    site.put_part(BODY[:2_000_000])
    inode = os.stat(site.part()).st_ino
    succeeded(site.copy(site.peer_file()).end(), bytes=len(BODY) - 2_000_000, offset=2_000_000)
    assert read(site.part()) == BODY and os.stat(site.part()).st_ino == inode


@test
def copy_scp(site):
    site.put_part(BODY[:100])
    run = site.copy(site.peer_file(name="peer"), method="scp")
    succeeded(run.end(), bytes=len(BODY), offset=0, method="scp")
    assert read(site.part()) == BODY


@test
def copy_falls_back_to_scp(site):
    site.put_part(BODY[:100])
    run = site.copy(site.peer_file(name="peer"), port=site.ssh.bare_port)
    succeeded(run.end(), bytes=len(BODY), offset=0, method="scp")
    assert [event["offset"] for event in run.events("started")] == [100, 0] and read(site.part()) == BODY


@test
def copy_from_a_peer_that_forbids_sftp(site):
    succeeded(site.copy(site.peer_file(name="peer"), port=site.ssh.scp_port).end(), bytes=len(BODY), method="scp")
    assert read(site.part()) == BODY
    os.unlink(site.part())
    # What still grows cannot be had by scp, what is whole can.
    growing = site.peer_file(BODY[:1000], "growing.part")
    event = failed(site.copy(site.root + "/final", peer_part=growing, port=site.ssh.scp_port).end(), "peer")
    assert "use via: proxy" in event["detail"] and "No such file" in event["detail"], event
    succeeded(site.copy(site.root + "/peer", peer_part=growing, port=site.ssh.scp_port).end(), method="scp")
    # What scp cannot go on with is kept for others.
    site.put_part(BODY[:5000])
    event = failed(site.copy(site.root + "/final", peer_part=growing, port=site.ssh.scp_port).end(), "peer")
    assert "5000 bytes that are here" in event["detail"] and read(site.part()) == BODY[:5000], event


@test
def copy_from_a_peer_that_lies(site):
    for lie, words in (("longer", "longer than"), ("short status", "does not speak sftp"), ("short attributes", "does not speak sftp"),
                       ("our lines", "")):
        site.put_part(BODY[:5000])
        event = failed(site.copy(f"/{lie}", port=site.ssh.lying_port).end(), "peer")
        assert words in event["detail"] and read(site.part()) == BODY[:5000], (lie, event)


@test
def copy_with_an_sftp_that_says_much(site):
    for says in ("yes 'some words' | head -c 100000 >&2", "printf 'no end of the line' >&2"):
        tools = site.tools(without=["python3"], sftp=f"{says}; exit 3")
        event = failed(site.copy(site.peer_file(), env={"PATH": tools}).end(), "peer")
        assert "some words" in event["detail"] or "no end" in event["detail"], event


@test
def copy_follows_a_growing_file(site):
    growing, final = site.peer_file(b"", "growing file.part"), os.path.join(site.root, "final")
    run = site.copy(final, peer_part=growing)
    run.wait_for("started")
    with open(growing, "ab", buffering=0) as file:
        for at in range(0, 2_500_000, 500_000):
            file.write(BODY[at : at + 500_000])
            until(lambda: os.path.getsize(site.part()) == at + 500_000, "the follower has caught up")
        file.write(BODY[2_500_000:-1])
        until(lambda: os.path.getsize(site.part()) == len(BODY) - 1, "the follower has caught up")
        # The parent publishes: its temporary goes away, the base file is there.
        os.rename(growing, final)
        assert not run.events("done")
        file.write(BODY[-1:])
    succeeded(run.end(), bytes=len(BODY), offset=0, method="sftp")
    assert read(site.part()) == BODY
    os.truncate(site.part(), 1000)
    succeeded(site.copy(final, peer_part=growing).end(), offset=1000)
    assert read(site.part()) == BODY
    os.truncate(site.part(), 1000)
    os.truncate(final, 5000)
    failed(site.copy(final, peer_part=growing, stall_timeout=2).end(), "network")
    assert read(site.part()) == BODY[:5000]
    run = site.copy(final, peer_part=growing)
    run.wait_for("progress")
    run.close_input()
    failed(run.end(5), "interrupted")
    until(lambda: not site.strays(), "no strays")


@test
def copy_keeps_up_with_a_file_that_never_stands_still(site):
    """Left alone, sftp goes on at the file's end as it began there: two kilobytes an answer, which here takes more than a minute."""
    growing, size = site.peer_file(b"", "growing file.part"), 32 << 20
    run = site.copy(os.path.join(site.root, "final"), port=site.ssh.late_port, peer_part=growing, size=size)
    run.wait_for("started")
    with open(growing, "ab", buffering=0) as file:
        began, piece = time.monotonic(), BODY[:1024]
        for at in range(0, size, len(piece)):
            file.write(piece)
            # Slow at first, then fast.
            while at > 500_000 * (now := time.monotonic() - began) + 10_000_000 * max(0, now - 2):
                time.sleep(0)
    succeeded(run.end(6), bytes=size, offset=0)
    assert read(site.part()) == BODY[:1024] * (size >> 10)


@test
def copy_without_python(site):
    env = {"PATH": site.tools(without=["python3"])}
    site.put_part(BODY[:1000])
    succeeded(site.copy(site.peer_file(), env=env).end(), offset=1000, method="sftp")
    assert read(site.part()) == BODY
    os.truncate(site.part(), 0)
    growing, final = site.peer_file(BODY[:1_000_000], "growing file.part"), os.path.join(site.root, "final")
    run = site.copy(final, peer_part=growing, env=env)
    until(lambda: os.path.getsize(site.part()) == 1_000_000, "the follower has caught up")
    with open(growing, "ab", buffering=0) as file:
        file.write(BODY[1_000_000:])
    os.rename(growing, final)
    succeeded(run.end(), bytes=len(BODY), method="sftp")
    assert read(site.part()) == BODY


@test
def copy_goes_on_from_a_source_that_begins_anew(site):
    growing = site.peer_file(BODY[:2_000_000], "growing file.part")
    run = site.copy(os.path.join(site.root, "final"), peer_part=growing)
    until(lambda: os.path.exists(site.part()) and os.path.getsize(site.part()) == 2_000_000, "the follower has caught up")
    os.unlink(growing)
    write(growing, BODY[:1000])
    time.sleep(1)
    with open(growing, "ab", buffering=0) as file:
        file.write(BODY[1000:])
    succeeded(run.end(), bytes=len(BODY), method="sftp")
    assert read(site.part()) == BODY


@test
def copy_refusals(site):
    failed(site.copy(site.root + "/nothing").end(), "peer")
    empty = os.path.join(site.root, "empty")
    write(empty, b"")
    failed(site.copy(site.peer_file(), peer_known_hosts=empty).end(), "peer")
    succeeded(site.copy(site.peer_file(), peer_known_hosts=empty, peer_host_key_checking="no").end())
    os.unlink(site.part())
    failed(site.copy(site.peer_file(), peer_identity=empty).end(), "peer")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        failed(site.copy(site.peer_file(), port=unused.getsockname()[1]).end(), "network")
    failed(site.copy(site.peer_file(), copy_user="no-such-user").end(), "no_tool")


@test
def copy_wrong_length(site):
    # Another peer may have the right file: no failure is for good, and what is here stays unless it is too long itself.
    site.put_part(BODY[:2000])
    event = failed(site.copy(site.peer_file(BODY + bytes(1000))).end(), "peer")
    assert "longer than" in event["detail"] and read(site.part()) == BODY[:2000], event
    for more in ({"method": "scp"}, {"env": {"PATH": site.tools(without=["python3"])}}):
        event = failed(site.copy(site.peer_file(BODY + bytes(1000), "peer"), **more).end(), "peer")
        assert "longer than" in event["detail"] and not os.path.exists(site.part()), event
    # Twenty seconds at this rate, did nothing stop it at the image's size.
    began = time.monotonic()
    failed(site.copy(site.peer_file(BODY + bytes(60_000_000)), rate_limit=3_000_000).end(), "peer")
    assert time.monotonic() - began < 10
    failed(site.copy(site.peer_file(BODY[:1000])).end(), "truncated")
    assert read(site.part()) == BODY[:1000]
    site.put_part(BODY[:2000])
    failed(site.copy(site.peer_file(BODY[:1000])).end(), "truncated")


@test
def copy_end_of_input_kills(site):
    run = site.copy(site.peer_file(), rate_limit=300_000)
    run.wait_for("progress", lambda event: event["bytes"] > 0)
    assert site.strays()
    run.close_input()
    failed(run.end(5), "interrupted")
    until(lambda: not site.strays(), "no strays")
    got = os.path.getsize(site.part())
    assert read(site.part()) == BODY[:got]
    succeeded(site.copy(site.peer_file()).end(), offset=got)
    assert read(site.part()) == BODY


@test
def copy_stall_ends(site):
    run = site.copy(site.peer_file(), rate_limit=300_000, stall_timeout=2)
    run.wait_for("progress", lambda event: event["bytes"] > 0)
    frozen = [int(pid) for pid in filter(str.isdigit, os.listdir("/proc")) if holds(pid, site.root + "/peer file")]
    assert frozen
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        failed(run.end(15), "network")
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGKILL)
    until(lambda: not site.strays(), "no strays")


def holds(pid, path):
    with contextlib.suppress(OSError):
        return any(os.readlink(f"/proc/{pid}/fd/{fd}") == path for fd in os.listdir(f"/proc/{pid}/fd"))
    return False


CONTAINER = """#!{python}
# As podman exec: what runs inside outlives us, and sees the end of its standard input when we go.
import os, subprocess, sys
open({log!r}, "a").write(repr(sys.argv[1:6]) + "\\n")
assert sys.argv[1] == "exec"
rest = sys.argv[2:]
if rest[0] == "-i": rest = rest[1:]
assert rest[:2] == ["-u", "nobody"], rest
if rest[2] != "nova_compute":
    sys.exit("Error: no container with name or ID " + rest[2] + " found: \\x1b[31mno such container\\x1b[0m")
take, feed = os.pipe()
result, report = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        os.close(feed)
        user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        os.write(report, bytes([subprocess.call(user + rest[3:], stdin=take) & 255]))
    os._exit(0)
os.wait()
os.close(take)
os.close(report)
import threading
def pump():
    while os.read(0, 4096): pass
    os.close(feed)
threading.Thread(target=pump, daemon=True).start()
code = os.read(result, 1)[0]
os._exit(code)
"""


@test
def copy_in_a_container(site):
    cli, log = os.path.join(site.root, "podman"), os.path.join(site.root, "log")
    write(cli, CONTAINER.format(python=sys.executable, log=log).encode())
    os.chmod(cli, 0o755)
    write(log, b"")
    inside = {"container": "nova_compute", "container_cli": cli}
    run = site.copy(site.peer_file(), rate_limit=300_000, **inside)
    run.wait_for("progress", lambda event: event["bytes"] > 0)
    run.process.send_signal(signal.SIGTERM)
    failed(run.end(5), "interrupted")
    until(lambda: not site.strays(), "what runs in the container ends, too", limit=4)
    succeeded(site.copy(site.peer_file(), **inside).end(), method="sftp")
    assert read(site.part()) == BODY and b"'exec', '-i', '-u', 'nobody', 'nova_compute'" in read(log)
    os.unlink(site.part())
    event = failed(site.copy(site.peer_file(), container="gone", container_cli=cli).end(), "container")
    assert "no such container" in event["detail"]
    failed(site.copy(site.peer_file(), container="x", container_cli="/no/such/cli").end(), "no_tool")
    run = site.start("survey", cache_dir=site.cache, copy_user="nobody", **inside)
    run.end()
    assert run.events("node")[0]["container"] is True and run.events("node")[0]["tools"]["sftp"] is True
    run = site.start("survey", cache_dir=site.cache, copy_user="nobody", container="gone", container_cli=cli)
    run.end()
    assert run.events("node")[0]["container"] is False and run.events("node")[0]["tools"]["sftp"] is False
