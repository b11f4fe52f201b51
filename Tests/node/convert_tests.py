"""publish with a conversion: from an image's bytes to the raw base file that Nova would have made."""
import contextlib
import hashlib
import os
import random
import signal
import subprocess
import tempfile
import threading

from harness import BODY, NAME, OWNER, test, until, write, read, failed, succeeded

MIB = 1 << 20
# 64 MiB as a disk has them: some bytes, and holes.
DISK = random.Random(3).randbytes(3 * MIB) + bytes(40 * MIB) + random.Random(4).randbytes(MIB // 2)
DISK += bytes(64 * MIB - len(DISK))
MADE, MAKING = {}, threading.Lock()


def image_of(kind, options=(), disk=DISK):
    """The disk as an image of that kind, made by qemu-img once for all tests."""
    key = (kind, *options, hashlib.sha1(disk).digest())
    with MAKING, tempfile.TemporaryDirectory() as place:
        if key not in MADE:
            write(place + "/raw", disk)
            subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", kind, *options, place + "/raw", place + "/image"], check=True)
            MADE[key] = read(place + "/image")
        return MADE[key]


def conversion(body, kind="qcow2", size=len(DISK), **more):
    ranges = [(0, min(65536, len(body))), (len(body) - 512, 512)]
    proof = hashlib.sha256(b"".join(body[at:at + count] for at, count in ranges)).hexdigest()
    return {"body": body, "convert_from": kind, "raw_size": size, "copy_user": "nobody",
            "proof_ranges": ",".join(f"{at}+{count}" for at, count in ranges), "proof_digest": proof, **more}


def put(site, body):
    os.makedirs(site.cache + "/.forecache", exist_ok=True)
    write(site.part(body), body)


def fake_qemu(site, text):
    """A qemu-img of our own before the real one."""
    return site.tools(**{"qemu-img": text})


@test
def convert_every_format(site):
    for kind, options in (("qcow2", ()), ("qcow2", ("-c",)), ("qcow2", ("-o", "compat=0.10")), ("vmdk", ("-o", "subformat=streamOptimized")),
                          ("vpc", ("-o", "force_size=on")), ("vhdx", ()), ("vdi", ())):
        body = image_of(kind, options)
        put(site, body)
        run = site.publish(**conversion(body, kind))
        succeeded(run.end(), existing=False, digest=hashlib.sha512(body).hexdigest(), bytes=len(DISK))
        state = os.stat(site.base())
        assert read(site.base()) == DISK and (state.st_uid, state.st_mode & 0o7777, state.st_nlink) == (OWNER, 0o644, 1), kind
        assert state.st_blocks * 512 < 8 * MIB, f"{kind}: not sparse, {state.st_blocks * 512} bytes"
        assert site.left() == [], site.left()
        os.unlink(site.base())


@test
def convert_needs_the_bytes_that_were_inspected(site):
    body = image_of("qcow2")
    other = bytearray(body)
    other[100] ^= 1
    for wrong in (conversion(bytes(other)) | {"body": body}, conversion(body, proof_digest="0" * 64)):
        put(site, body)
        failed(site.publish(**wrong).end(), "digest_mismatch")
        assert not os.path.exists(site.part(body)) and not os.path.exists(site.base()), site.left()
    # The same for bytes that are published as they are.
    put(site, body)
    failed(site.publish(body=body, proof_ranges="0+512", proof_digest="0" * 64).end(), "digest_mismatch")
    put(site, body)
    good = hashlib.sha256(body[:512]).hexdigest()
    succeeded(site.publish(body=body, proof_ranges="0+512", proof_digest=good).end(), existing=False)
    assert read(site.base()) == body


@test
def convert_parameters(site):
    body = image_of("qcow2")
    put(site, body)
    for more in ({"convert_from": "raw"}, {"convert_from": "qed"}, {"convert_from": "$(x)"}, {"raw_size": "0"}, {"raw_size": "-1"},
                 {"proof_ranges": None, "proof_digest": None}, {"proof_ranges": "0-5"}, {"proof_ranges": "x+5"}, {"proof_ranges": ","},
                 {"proof_ranges": f"{len(body)}+1"}, {"proof_ranges": "0+4194305"}, {"proof_ranges": "0+1," * 101 + "0+1"},
                 {"proof_digest": "XY"}, {"keep_part": "2"}, {"container": "-it"}):
        failed(site.publish(**conversion(body, **more)).end(), "bad_parameter")
    assert not os.path.exists(site.base())


@test
def convert_keeps_the_image_for_others(site):
    body = image_of("qcow2")
    put(site, body)
    succeeded(site.publish(**conversion(body, keep_part="1")).end(), existing=False)
    assert read(site.base()) == DISK and read(site.part(body)) == body
    # Again, as after a restart: nothing is made anew, and the others can still copy.
    succeeded(site.publish(**conversion(body, keep_part="1")).end(), existing=True)
    assert read(site.part(body)) == body
    succeeded(site.start("release", **site.image(body)).end(), bytes=len(body))
    succeeded(site.start("release", **site.image(body)).end(), bytes=0)
    assert site.left() == [] and read(site.base()) == DISK


@test
def convert_without_qemu(site):
    body = image_of("qcow2")
    put(site, body)
    bin_only = site.tools(without=("qemu-img",))
    event = failed(site.publish(env={"PATH": bin_only}, **conversion(body)).end(), "no_tool")
    assert "qemu-img is not installed" in event["detail"]
    failed(site.publish(**conversion(body, container="nova_compute", container_cli="/nonexistent/podman")).end(), "no_tool")
    swept_clean(site)


@test
def convert_when_qemu_fails(site):
    body = image_of("qcow2")
    cases = (("echo 'qemu-img: error while reading block status: Invalid argument' >&2; exit 1", "convert", "Invalid argument"),
             ("yes 'some words' | head -c 100000 >&2; exit 1", "convert", "some words"),
             ("echo 'qemu-img: error while writing at byte 0: No space left on device' >&2; exit 1", "no_space", "No space left"),
             ("kill -9 $$", "killed", "signal 9"),
             ("ulimit -t 1; while :; do :; done", "killed", "signal"),
             (":", "convert", "has 0 bytes and should have"),
             ("for last; do :; done; head -c 100 /dev/zero >\"$last\"", "convert", "has 100 bytes"),
             # The limit on its size stops a qemu-img that writes without end.
             ("for last; do :; done; exec head -c 100000000 /dev/zero >\"$last\"", "killed", "signal 25"),
             (f"for last; do :; done; printf 'QFI\\373' >\"$last\"; truncate -s {len(DISK)} \"$last\"", "convert", "begins like qcow2"),
             ("for last; do :; done; rm -f \"$last\"; exit 0", "convert", "has 0 bytes"))
    for script, kind, words in cases:
        put(site, body)
        event = failed(site.publish(env={"PATH": fake_qemu(site, script)}, **conversion(body)).end(), kind)
        assert words in event["detail"], (script, event)
        assert not os.path.exists(site.base()) and site.left() == [os.path.basename(site.part(body))[:-4] + "lock",
                                                                   os.path.basename(site.part(body))], (script, site.left())
    # Nothing is lost: the real one goes on with the same bytes.
    succeeded(site.publish(**conversion(body)).end(), existing=False)
    assert read(site.base()) == DISK and site.left() == []


@test
def convert_refuses_a_disk_inside_the_disk(site):
    inner = image_of("qcow2")
    disk = inner + bytes(-len(inner) % MIB)
    body = image_of("qcow2", disk=disk)
    put(site, body)
    event = failed(site.publish(**conversion(body, size=len(disk))).end(), "convert")
    assert "begins like qcow2" in event["detail"] and not os.path.exists(site.base())
    swept_clean(site)


def taken_for_raw(site, disk):
    """Whether QEMU, left to guess, would."""
    write(f"{site.root}/disk", disk)
    told = subprocess.run(["qemu-img", "info", "--output=json", f"{site.root}/disk"], capture_output=True, text=True)
    return '"format": "raw"' in told.stdout


@test
def convert_refuses_a_disk_that_begins_as_text_of_an_image(site):
    cloop = b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n"
    comment = b"# \0 \x81\xff \\ 'x'\r\n"
    for begin, form in ((b"version=1\n", "vmdk"), (b"# Disk DescriptorFile\nversion=3\r\n", "vmdk"),
                        (b"#\n   \n \r\n#x\nversion=2\nmore", "vmdk"),
                        (comment * 20 + b"version=1\n", "vmdk"), (cloop, "cloop")):
        disk = begin.ljust(MIB, b"\0")
        assert not taken_for_raw(site, disk), begin
        body = image_of("qcow2", disk=disk)
        put(site, body)
        event = failed(site.publish(**conversion(body, size=len(disk))).end(), "convert")
        assert f"begins like {form}," in event["detail"] and not os.path.exists(site.base()), (begin, event)
    swept_clean(site)


@test
def convert_takes_disks_that_only_look_like_text(site):
    boot = b"\xeb\x63\x90" + bytes(507) + b"\x55\xaa"
    for begin in (boot, b"\x33\xc0\x8e\xd0\n#\nversion=1\n", b"#!/bin/sh\nexit\n", b"# a comment\nversion=4\n",
                  b"# a comment\n version=1\n", b"#" * 4096):
        disk = begin.ljust(MIB, b"\0")
        assert taken_for_raw(site, disk), begin
        body = image_of("qcow2", disk=disk)
        put(site, body)
        succeeded(site.publish(**conversion(body, size=len(disk))).end(), existing=False)
        assert read(site.base()) == disk and site.left() == []
        os.unlink(site.base())


@contextlib.contextmanager
def disk_of_16_mib(site):
    """The site's cache is on a file system of its own meanwhile."""
    small = os.path.join(site.root, "small")
    os.mkdir(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs", small], check=True)
    try:
        site.cache = small + "/_base"
        os.mkdir(site.cache)
        os.chown(site.cache, OWNER, OWNER)
        yield small
    finally:
        subprocess.run(["umount", "-l", small], check=True)


@test
def convert_needs_room_for_what_the_image_holds(site):
    with disk_of_16_mib(site):
        # A disk of 64 MiB with 3.5 MiB in it: fits, but not if so much must stay free that these do not fit.
        for kind in ("qcow2", "vmdk", "vdi"):
            body = image_of(kind)
            put(site, body)
            event = failed(site.publish(**conversion(body, kind, keep_free=10 * MIB)).end(), "no_space")
            assert 3 * MIB < int(event["detail"].split()[0]) < 6 * MIB, (kind, event)
            assert not os.path.exists(site.base()) and not [name for name in site.left() if name.endswith(".raw")], site.left()
            assert read(site.part(body)) == body
            succeeded(site.publish(**conversion(body, kind)).end(), existing=False)
            assert read(site.base()) == DISK
            os.unlink(site.base())
        # What is packed tells its size only once it is here; then its bytes are kept.
        disk = b"x" * (20 * MIB)
        body = image_of("qcow2", ("-c",), disk)
        put(site, body)
        event = failed(site.publish(**conversion(body, size=len(disk))).end(), "no_space")
        assert 20 * MIB <= int(event["detail"].split()[0]) < 21 * MIB and read(site.part(body)) == body, event
        succeeded(site.start("release", **site.image(body)).end())


@test
def convert_needs_all_room_where_qemu_cannot_measure(site):
    body = image_of("qcow2")
    with disk_of_16_mib(site):
        for answer in ("exit 1", "echo '{}'", "echo '{ \"required\": 99, \"fully-allocated\": 98 }'", "yes '\"required\": '", "kill $$",
                       "echo '\"required\": 99999999999999999999, \"fully-allocated\": 99999999999999999999'"):
            put(site, body)
            tools = fake_qemu(site, f"[ $1 = measure ] || exec /usr/bin/qemu-img \"$@\"; {answer}")
            event = failed(site.publish(env={"PATH": tools}, **conversion(body)).end(), "no_space")
            assert event["detail"].startswith(f"{len(DISK)} bytes are needed"), (answer, event)


@test
def convert_that_cannot_have_room_moves_nothing(site):
    # The image and its disk take 3 MB each at least.
    with disk_of_16_mib(site):
        failed(site.fetch(raw_size=len(DISK), keep_free=11 * MIB).end(), "no_space")
        assert site.left() == [] or not os.path.exists(site.part()), site.left()
        succeeded(site.fetch(raw_size=len(DISK), keep_free=9 * MIB).end(), bytes=len(BODY))


@test
def convert_on_a_full_disk(site):
    with disk_of_16_mib(site) as small:
        # It fills while qemu-img is at it.
        disk = random.Random(5).randbytes(3 * MIB)
        body = image_of("qcow2", disk=disk)
        put(site, body)
        # In parts, for the limit on a file's size is on the thief as well.
        script = f"for n in 1 2 3 4 5 6; do head -c 3000000 /dev/zero >'{small}'/thief$n; done 2>/dev/null; exec /usr/bin/qemu-img \"$@\""
        os.chmod(small, 0o777)
        event = failed(site.publish(env={"PATH": fake_qemu(site, script)}, **conversion(body, size=3 * MIB)).end(), "no_space")
        assert "No space left" in event["detail"] and not os.path.exists(site.base()), event
        for n in range(1, 7):
            os.unlink(f"{small}/thief{n}")
        assert os.path.exists(site.part(body))
        succeeded(site.publish(**conversion(body, size=3 * MIB)).end(), existing=False)
        succeeded(site.start("sweep", cache_dir=site.cache, older_than=0).end())
        assert read(site.base()) == disk and site.left() == []


@test
def convert_loses_the_race(site):
    # Nova makes the base file while qemu-img is at work.
    body = image_of("qcow2")
    put(site, body)
    os.chmod(site.cache, 0o777)
    tools = fake_qemu(site, f"/usr/bin/qemu-img \"$@\" && printf nova >../{NAME}")
    succeeded(site.publish(env={"PATH": tools}, **conversion(body)).end(), existing=True, digest=None)
    assert read(site.base()) == b"nova" and site.left() == []


@test
def convert_in_a_container(site):
    body = image_of("qcow2")
    put(site, body)
    log = f"{site.root}/podman.log"
    # Like podman exec: another user inside, and its standard input handed through.
    tools = site.tools(podman=f"echo \"$1 $2 $3 $4 $5\" >>'{log}'; shift 5; exec setpriv --reuid {OWNER} --regid {OWNER} --clear-groups \"$@\"")
    run = site.publish(env={"PATH": tools}, **conversion(body, container="nova_compute"))
    succeeded(run.end(), existing=False)
    assert read(log) == b"exec -i -u nobody nova_compute\n" and read(site.base()) == DISK


@test
def convert_can_be_interrupted(site):
    body = image_of("qcow2")
    put(site, body)
    tools = fake_qemu(site, "for last; do :; done; head -c 1000000 /dev/zero >\"$last\"; exec sleep 60")
    for end in (lambda run: run.close_input(), lambda run: run.process.send_signal(signal.SIGTERM)):
        run = site.publish(env={"PATH": tools}, **conversion(body))
        run.wait_for("progress", lambda event: event.get("converted", 0) > 0)
        end(run)
        failed(run.end(5), "interrupted")
        until(lambda: not site.strays(), "no strays")
        assert not [name for name in site.left() if name.endswith(".raw")] and not os.path.exists(site.base()), site.left()
    # A node that lost its power: nothing of ours had a chance to tidy up.
    run = site.publish(env={"PATH": tools}, **conversion(body))
    run.wait_for("progress", lambda event: event.get("converted", 0) > 0)
    for pid, _ in site.strays():
        os.kill(int(pid), signal.SIGKILL)
    run.process.kill()
    run.process.wait()
    run.close_input()
    assert [name for name in site.left() if name.endswith(".raw")] and not os.path.exists(site.base())
    succeeded(site.publish(**conversion(body)).end(), existing=False)
    assert read(site.base()) == DISK and site.left() == []


def swept_clean(site):
    """After a sweep nothing of ours is left, and no base file came into being."""
    succeeded(site.start("sweep", cache_dir=site.cache, older_than=0).end())
    assert site.left() == [] and not os.path.exists(site.base()), site.left()
