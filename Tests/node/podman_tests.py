"""What runs in Nova's container, in a real one by the real podman."""
import contextlib
import os
import subprocess

from harness import BODY, OWNER, test, until, write, read, failed, succeeded
from convert_tests import DISK, conversion, image_of, put

# Nothing outside of the site is touched (a path for --runroot has at most 50 letters); a cgroup2 alone at the usual place, because crun refuses a machine that has both generations.
CLI = """#!/bin/sh
exec unshare --mount sh -c 'mount -t cgroup2 none /sys/fs/cgroup && exec podman --root {root}/store --runroot {run} --tmpdir {root}/tmp \\
    --storage-driver vfs --cgroup-manager cgroupfs --events-backend none "$@"' podman "$@"
"""
USERS = f"root:x:0:0::/root:/bin/sh\ninside:x:{OWNER}:{OWNER}::/tmp:/bin/sh\n"


@contextlib.contextmanager
def nova_compute(site):
    """A container with this machine's programs and a user `inside` of its own: its parameters, and the folder before them all in its PATH."""
    place, tools = site.root + "/podman", site.root + "/podman/tools"
    for folder in ("usr", "etc", "tools", "tmp"):
        os.makedirs(f"{place}/{folder}" if folder == "tools" else f"{place}/rootfs/{folder}")
    for name in ("bin", "sbin", "lib", "lib64"):
        os.symlink("usr/" + name, f"{place}/rootfs/{name}")
    os.chmod(place + "/rootfs/tmp", 0o1777)
    write(place + "/rootfs/etc/passwd", USERS.encode())
    cli = place + "/cli"
    write(cli, CLI.format(root=place, run=site.root + "/run").encode())
    os.chmod(cli, 0o755)
    shared = os.path.dirname(site.ssh.identity)
    # Limits that this machine may set, whatever podman's own are. It ends by itself, should we be killed.
    options = ["--cgroups=disabled", "--network=host", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024",
               f"--volume={shared}:{shared}", "--volume=/usr:/usr:ro", f"--volume={tools}:/usr/local/bin:ro"]
    try:
        made = subprocess.run([cli, "run", "-d", "--name=nova_compute", *options, "--rootfs", place + "/rootfs", "sleep", "300"],
                              capture_output=True, text=True)
        assert made.returncode == 0, f"podman cannot run a container here: {made.stderr}"
        yield {"container": "nova_compute", "container_cli": cli, "copy_user": "inside"}, tools
    finally:
        gone = subprocess.run([cli, "rm", "--force", "--time=0", "nova_compute"], capture_output=True, text=True)
        assert gone.returncode == 0, f"podman cannot remove the container: {gone.stderr}"


@test
def podman_survey(site):
    with nova_compute(site) as (inside, _):
        for container, there in (("nova_compute", True), ("gone", False)):
            run = site.start("survey", cache_dir=site.cache, **inside | {"container": container})
            run.end()
            node = run.events("node")[0]
            assert node["container"] is there and [node["tools"][tool] for tool in ("qemu-img", "sftp", "scp")] == [there] * 3, node
            assert node["silent"] is False, "one that is not there is not silent"
        subprocess.run([inside["container_cli"], "stop", "--time=0", "nova_compute"], capture_output=True, check=True)
        run = site.start("survey", cache_dir=site.cache, **inside)
        run.end()
        assert run.events("node")[0]["container"] is False and run.events("node")[0]["silent"] is True


@test
def podman_convert(site):
    body = image_of("qcow2")
    put(site, body)
    with nova_compute(site) as (inside, tools):
        event = failed(site.publish(**conversion(body, **inside | {"container": "gone"})).end(), "container")
        assert "no such container" in event["detail"], event
        failed(site.publish(**conversion(body, **inside | {"copy_user": "nobody-there"})).end(), "container")
        for answer, kind, words in (("kill -9 $$", "killed", "signal 9"), ("echo 'No space left on device' >&2; exit 1", "no_space", "No space")):
            in_tools(tools, answer)
            event = failed(site.publish(**conversion(body, **inside)).end(), kind)
            assert words in event["detail"] and site.part(body).endswith(site.left()[-1]), (event, site.left())
        # The node's program is told to end, or its controller goes: nothing stays behind inside.
        in_tools(tools, "for last; do :; done; head -c 1000000 /dev/zero >\"$last\"; exec sleep 60")
        for end in (lambda run: run.close_input(), lambda run: run.process.terminate(), lambda run: run.process.kill()):
            run = site.publish(**conversion(body, **inside))
            run.wait_for("progress", lambda event: event.get("converted", 0) > 0)
            assert any("sleep" in text.decode() for _, text in site.strays()), site.strays()
            end(run)
            if run.process.wait(5) >= 0:
                failed(run.end(5), "interrupted")
            run.close_input()
            until(lambda: not site.strays(), "what runs in the container ends, too")
        os.unlink(tools + "/qemu-img")
        # Too little room for the disk, and enough for what it holds.
        free = os.statvfs(site.cache).f_bavail * os.statvfs(site.cache).f_frsize
        run = site.publish(**conversion(body, keep_free=free - 40 * 1048576, **inside))
        succeeded(run.end(), existing=False)
        assert read(site.base()) == DISK and os.stat(site.base()).st_uid == OWNER and site.left() == []


def in_tools(tools, script):
    write(tools + "/qemu-img", f"#!/bin/sh\n{script}\n".encode())
    os.chmod(tools + "/qemu-img", 0o755)


@test
def podman_copy(site):
    with nova_compute(site) as (inside, _):
        run = site.copy(site.peer_file(), rate_limit=300_000, **inside)
        run.wait_for("progress", lambda event: event["bytes"] > 0)
        run.process.terminate()
        failed(run.end(5), "interrupted")
        until(lambda: not site.strays(), "what runs in the container ends, too")
        event = succeeded(site.copy(site.peer_file(), **inside).end(), method="sftp")
        assert event["offset"] > 0 and read(site.part()) == BODY, event
        os.unlink(site.part())
        succeeded(site.copy(site.peer_file(name="peer"), method="scp", **inside).end(), method="scp")
        assert read(site.part()) == BODY and not os.path.exists(site.base())
        os.unlink(site.part())
        event = failed(site.copy(site.peer_file(), **inside | {"container": "gone"}).end(), "container")
        assert "no such container" in event["detail"], event
