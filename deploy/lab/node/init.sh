#!/bin/sh
# The first process of a node: gives it a file system of its own, starts its sshds and reaps what is left to it.
# Run by lib/nodes.sh inside fresh mount, uts, pid and network namespaces.
set -eu
state=$1 node=$2
room=$state/nodes/$node

hostname "$node.localdomain"
mount --bind "$room/instances" "$room/var-lib/nova/instances"
mount --rbind "$room/var-lib" /var/lib
mount --bind "$room/etc" /etc
mount --bind "$room/home" /home
mount --bind "$room/root" /root
mount --bind "$room/log" /var/log
mount --bind "$room/usr-local-bin" /usr/local/bin

# Other nodes' disks and networks came along as copies of the mount table; kept, they would live as long as this node.
awk '{ print $5 }' /proc/self/mountinfo | while read -r target; do
    case $target in
        /var/lib/nova/instances) ;;
        /run/netns/* | */nodes/*/instances) umount -l "$target" 2>/dev/null || true ;;
    esac
done

mount -t tmpfs -o mode=0755 run /run
mkdir -p /run/sshd /run/lock
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs -o mode=1777 tmp /var/tmp
# The controller's keys and passwords are none of the node's business.
if [ -d "$state" ]; then mount -t tmpfs -o ro,mode=0000,size=4k hidden "$state"; fi
cd /

/usr/local/bin/lab-sshd
while :; do
    sleep 86400 &
    wait "$!" || true
done
