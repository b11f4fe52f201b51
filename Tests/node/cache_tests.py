"""survey, touch and sweep: what lies in the cache directory."""
import hashlib
import json
import os
import subprocess
import time

from harness import SCRIPTS, SHELLS, OWNER, NAME, OTHER, BODY, test, until, write, read, failed, succeeded


@test
def survey_lists(site):
    conf = os.path.join(site.root, "nova.conf")
    write(conf, b"[DEFAULT]\n# force_raw_images = true\nforce_raw_images = False\n\n[image_cache]\n"
                b"remove_unused_original_minimum_age_seconds=1\nremove_unused_original_minimum_age_seconds = 2592000\n more\n"
                b"[libvirt]\r\nimages_type: \"q\\\xff\x01cow2\"\n[other]\nimages_type=rbd\n")
    write(site.base(), BODY)
    os.truncate(site.base(), 5_000_000_000)
    os.utime(site.base(), (1_600_000_000, 1_600_000_000))
    for name in (NAME + "_sm", NAME.upper()[:-1] + "F", "swap_1", "x\n" + OTHER, NAME[:-1]):
        write(site.base(name), b"x")
    os.symlink(site.base(), site.base(OTHER))
    site.put_part(b"12345")
    run = site.start("survey", **{"cache_dir": site.cache, "nova_conf": conf})
    succeeded(run.end(), base_files=1, temporaries=1)
    node = run.events("node")[0]
    assert (node["ttl"], node["force_raw_images"], node["images_type"]) == (2592000, False, 'q\\??cow2'), node
    assert abs(node["now"] - time.time()) < 5 and node["cache_dir"] is True and node["container"] is None
    room = os.statvfs(site.cache)
    assert node["total_bytes"] == room.f_blocks * room.f_frsize and 0 < node["free_bytes"] < node["total_bytes"]
    assert node["tools"]["curl"] is True and set(node["tools"]) >= {"qemu-img", "sftp", "flock", "md5sum", "sha256sum", "sha512sum"}
    state = os.stat(site.base())
    assert run.events("base_file") == [{"event": "base_file", "name": NAME, "bytes": 5_000_000_000, "allocated": state.st_blocks * 512,
                                        "mtime": 1_600_000_000}]
    part = run.events("temporary")[0]
    assert part["name"] == os.path.basename(site.part()) and part["bytes"] == 5


@test
def survey_of_a_bare_node(site):
    run = site.start("survey", cache_dir=site.root + "/no/_base")
    succeeded(run.end(), base_files=0)
    node = run.events("node")[0]
    assert node["cache_dir"] is False and node["ttl"] is None and node["images_type"] is None and node["free_bytes"] > 0


@test
def survey_reads_the_ttl_where_older_novas_have_it(site):
    conf = os.path.join(site.root, "nova.conf")
    write(conf, b"[DEFAULT]\nremove_unused_original_minimum_age_seconds = 3600\n")
    run = site.start("survey", cache_dir=site.cache, nova_conf=conf)
    succeeded(run.end(), base_files=0)
    assert run.events("node")[0]["ttl"] == 3600


@test
def survey_of_a_container_that_hangs(site):
    cli = os.path.join(site.root, "podman")
    write(cli, b"#!/bin/sh\nexec sleep 60\n")
    os.chmod(cli, 0o755)
    os.chmod(site.root, 0o755)
    run = site.start("survey", cache_dir=site.cache, container="nova_compute", container_cli=cli)
    run.end(50)
    node = run.events("node")[0]
    assert node["container"] is False and node["silent"] is True and node["tools"]["qemu-img"] is False, node


@test
def thousand_files(site):
    names = [hashlib.sha1(b"%d" % n).hexdigest() for n in range(1100)]
    for name in names:
        write(site.base(name), name.encode())
        os.utime(site.base(name), (1_600_000_000, 1_600_000_000))
    began = time.monotonic()
    run = site.start("survey", cache_dir=site.cache)
    succeeded(run.end(), base_files=1100)
    surveyed = time.monotonic() - began
    began = time.monotonic()
    run = site.start("touch", extra=[name + "\n" for name in names] + [".\n"], cache_dir=site.cache)
    succeeded(run.end(), touched=1100, missing=0)
    touched = time.monotonic() - began
    assert {event["name"] for event in run.events("touched")} == set(names)
    assert all(abs(event["mtime"] - time.time()) < 10 and event["bytes"] == 40 for event in run.events("touched"))
    assert all(abs(os.stat(site.base(name)).st_mtime - time.time()) < 10 for name in names)
    # The machine may be slow and is busy with the other lanes; alone it is a fraction of this, and with a program a file far more.
    assert surveyed < 6 and touched < 6, (surveyed, touched)


@test
def touch_creates_and_follows_nothing(site):
    target = os.path.join(site.root, "target")
    write(target, b"x")
    os.utime(target, (1_600_000_000, 1_600_000_000))
    os.symlink(target, site.base(OTHER))
    write(site.base(), b"abc")
    gone = hashlib.sha1(b"gone").hexdigest()
    run = site.start("touch", extra=[f"{NAME}\n{OTHER}\n{gone}\n.\n"], cache_dir=site.cache)
    succeeded(run.end(), touched=1, missing=2)
    assert run.events("touched")[0]["bytes"] == 3 and {e["name"] for e in run.events("missing")} == {OTHER, gone}
    assert os.stat(target).st_mtime == 1_600_000_000 and not os.path.exists(site.base(gone)) and read(site.base()) == b"abc"
    succeeded(site.start("touch", extra=[".\n"], cache_dir=site.cache).end(), touched=0)
    run = site.start("touch", extra=[NAME + "\n.\n"], cache_dir=site.root + "/no")
    succeeded(run.end(), touched=0, missing=1)
    for bad in ("../" + NAME, "-" + NAME[1:], "", "$(x)"):
        failed(site.start("touch", extra=[bad + "\n.\n"], cache_dir=site.cache).end(), "bad_parameter")
    run = site.start("touch", extra=[NAME + "\n"], cache_dir=site.cache)
    run.close_input()
    failed(run.end(), "bad_parameter")


@test
def sweep_takes_only_its_own(site):
    first = site.fetch("stall", stall_timeout=60)
    until(lambda: os.path.exists(site.part()) and os.path.getsize(site.part()) > 90_000, "the first bytes")
    held, directory = os.path.basename(site.part()), site.cache + "/.forecache/"
    stale, fresh, odd = OTHER + "." + "a" * 16 + ".part", OTHER + "." + "b" * 16 + ".part", "notes.part"
    for name in (stale, fresh, odd, stale[:-4] + "lock", OTHER + "." + "c" * 16 + ".lock", held, site.cache + "/" + OTHER):
        path = os.path.join(directory, name)
        if name != held:
            write(path, b"12345")
        if name != fresh:
            os.utime(path, (1_600_000_000, 1_600_000_000))
    run = site.start("sweep", cache_dir=site.cache, older_than=3600)
    run.end()
    assert {"event": "swept", "name": stale, "bytes": 5} in run.events("swept"), run.events()
    left = site.left()
    assert stale not in left and {fresh, odd, held} <= set(left), left
    assert not [name for name in left if "aaaa" in name or "cccc" in name], left
    assert os.path.exists(site.base(OTHER))
    first.close_input()
    first.end()
    succeeded(site.start("sweep", cache_dir=site.cache, older_than=0).end())
    assert site.left() == [odd], site.left()
    succeeded(site.start("sweep", cache_dir=site.root + "/no", older_than=0).end(), swept=0)
    failed(site.start("sweep", cache_dir=site.cache).end(), "bad_parameter")


@test
def runs_without_root(site):
    os.chmod(site.root, 0o755)
    cache = os.path.join(site.root, "own")
    os.mkdir(cache)
    os.chown(cache, OWNER, OWNER)
    for verb, more in (("fetch", {"url": site.server.url + "/image"}), ("publish", {})):
        lines = "".join(f"{k}={v}\n" for k, v in site.image(cache_dir=cache, **more).items()) + ".\n"
        process = subprocess.Popen(["setpriv", "--reuid", str(OWNER), "--regid", str(OWNER), "--clear-groups",
                                    *SHELLS[site.shell], "-c", SCRIPTS[verb], "forecache-node", verb],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        process.stdin.write(lines.encode())
        process.stdin.flush()
        assert json.loads(process.stdout.read().splitlines()[-1])["event"] == "done"
        process.wait()
        process.stdin.close()
    assert read(os.path.join(cache, NAME)) == BODY
