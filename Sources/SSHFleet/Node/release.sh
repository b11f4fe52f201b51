#!/bin/sh
# The bytes that publish kept for others are not needed any longer.
# Parts: common directory image lock

perform() {
    check_image
    bytes=0
    if enter look; then
        hold "$stem" || die busy "another forecache is at work on $part"
        look_at_part
        bytes=$have
        rm -f "$part" "$raw" "$sum"
        let_go
    fi
    printf '{"event":"done","bytes":%s}\n' "$bytes"
}
