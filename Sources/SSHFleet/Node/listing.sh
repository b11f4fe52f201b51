#!/bin/sh
# What lies in a directory.

hex4='[0-9a-f][0-9a-f][0-9a-f][0-9a-f]'
hex16=$hex4$hex4$hex4$hex4
hex40=$hex16$hex16$hex4$hex4

# `name bytes blocks mtime` of the regular files in this directory whose whole name is $1; the pattern lets no odd name out.
list_files() {
    if find . -maxdepth 0 -printf '' 2>/dev/null; then
        find . -maxdepth 1 -type f -name "$1" -printf '%f %s %b %T@\n' 2>/dev/null | awk '{ sub(/\..*/, "", $4); print }'
    else
        find . -maxdepth 1 -type f -name "$1" -exec stat -c '%n %s %b %Y' {} + 2>/dev/null | sed 's|^\./||'
    fi
}

list_directories() {
    find . -maxdepth 1 -type d -name "$1" -exec stat -c '%n 0 0 %Y' {} + 2>/dev/null | sed 's|^\./||'
}
