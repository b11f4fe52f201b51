"""Symbolic links, directories and parameters that mean harm."""
import os
import shutil
import stat

from harness import OWNER, NAME, BODY, test, Run, write, read, failed, succeeded


@test
def symbolic_links_are_refused(site):
    target = os.path.join(site.root, "target")
    write(target, b"precious")
    os.makedirs(site.cache + "/.forecache")
    for link in (site.part(), site.base()):
        os.symlink(target, link)
        for start in (site.fetch, site.publish, lambda: site.copy("/nowhere")):
            failed(start().end(), "io")
        os.unlink(link)
        os.symlink("/nonexistent", link)
        failed(site.fetch().end(), "io")
        os.unlink(link)
    os.mkdir(site.base())
    failed(site.fetch().end(), "io")
    os.rmdir(site.base())
    shutil.rmtree(site.cache + "/.forecache")
    os.symlink(site.root, site.cache + "/.forecache")
    failed(site.fetch().end(), "io")
    assert read(target) == b"precious"


@test
def directory_of_temporaries_is_taken_over(site):
    target = os.path.join(site.root, "target")
    write(target, b"precious")
    os.makedirs(site.cache + "/.forecache")
    os.chown(site.cache + "/.forecache", OWNER, OWNER)
    os.chmod(site.cache + "/.forecache", 0o777)
    os.link(target, site.part())
    succeeded(site.fetch().end(), offset=0)
    state = os.stat(site.cache + "/.forecache")
    assert (state.st_uid, stat.S_IMODE(state.st_mode)) == (0, 0o755)
    assert read(target) == b"precious" and read(site.part()) == BODY


@test
def cache_dir_through_a_link(site):
    link = os.path.join(site.root, "link")
    os.symlink(site.cache, link)
    succeeded(site.fetch(cache_dir=link).end())
    os.unlink(link)
    os.mkdir(os.path.join(site.root, "roots"))
    os.symlink(os.path.join(site.root, "roots"), link)
    failed(site.fetch(cache_dir=link).end(), "io")


@test
def bad_parameters(site):
    marker = os.path.join(site.root, "owned")
    hostile = ["$(touch %s)" % marker, "`touch %s`" % marker, "'; touch %s; '" % marker, '"; touch %s; "' % marker, "-rf", " ", ""]
    for key in ("name", "size", "algo", "digest", "keep_free", "rate_limit", "connect_timeout", "insecure", "cache_dir", "url"):
        for value in hostile:
            failed(site.start("fetch", **site.image(**{"url": site.server.url + "/image", key: value})).end(), "bad_parameter")
        assert not os.path.exists(marker)
    for key, values in {"peer_address": hostile + ["a b", "-oProxyCommand=x"], "peer_user": ["-l", "a b", "$(x)"], "peer_port": ["-1", "x"],
                        "peer_path": hostile + ['/a"b', "/a*", "/a\\b", "relative"], "peer_part": ['/a"b', "/a*", "relative"],
                        "peer_identity": ["-x", "x", "/a b"], "peer_known_hosts": ["-x", "/a b", "/%h"],
                        "method": ["rsync", ""], "peer_host_key_checking": ["maybe"], "container": ["-it", "a b", "$(x)"],
                        "container_cli": ["-x", "a b"], "copy_user": ["-x", "", "a b"]}.items():
        for value in values:
            keys = {"peer_address": "127.0.0.1", "peer_path": "/x", "copy_user": "nobody", key: value}
            failed(site.start("copy", **site.image(**keys)).end(), "bad_parameter")
    for owner in ("root", ":", "1:", "1:2:3", "-1:2", "$(x):1"):
        failed(site.fetch(owner=owner).end(), "bad_parameter")
    for path in ("/no/such/nova.conf", "/", "nova.conf"):
        failed(site.start("survey", cache_dir=site.cache, nova_conf=path).end(), "bad_parameter")
    for size in ("08", "-1", "1e9", "9" * 19, "0x10"):
        failed(site.fetch(size=size).end(), "bad_parameter")
    for name in (NAME.upper(), NAME[:-1], NAME + "0", "../" + NAME[3:]):
        failed(site.fetch(name=name).end(), "bad_parameter")
    assert not os.path.exists(marker) and site.left() == []


@test
def bad_input(site):
    for lines in (["nonsense\n.\n"], ["unknown=1\n.\n"], ["cache_dir=/tmp\ttab\n.\n"], [b"cache_dir=/\x01\xff\n.\n"],
                  ["a=b\n" * 200 + ".\n"], ["PATH=/tmp\n.\n"], ["=\n.\n"], ["token=" + "x" * 20000 + "\n.\n"],
                  [b"\xff\xfe\"\\=\xc3(\n.\n"]):
        failed(Run(site.shell, "fetch", lines).end(), "bad_parameter")
    run = Run(site.shell, "survey", ["cache_dir=/tmp\n"])
    run.close_input()
    failed(run.end(), "bad_parameter")
