#!/bin/sh
# What a node is and what lies on it.
# Parts: common directory listing container

keys="$keys nova_conf" p_nova_conf=''

perform() {
    check_container
    ttl=null raw=null images_type=null conf=null
    read_nova_conf
    container=null is_silent=false
    case $p_container in
        '') has_image=$(has qemu-img) has_sftp=$(has sftp) has_scp=$(has scp) ;;
        *) look_into_container ;;
    esac
    place=$p_cache_dir
    there=false
    [ ! -d "$place" ] || there=true
    while [ ! -d "$place" ] && [ -n "$place" ]; do place=${place%/*}; done
    counts=$(stat -f -c '%b %S' -- "${place:-/}" 2>/dev/null) || counts='0 0'
    printf '{"event":"node","now":%s,"ttl":%s,"force_raw_images":%s,"images_type":%s,"nova_conf":%s' \
        "$(date +%s)" "$ttl" "$raw" "$images_type" "$conf"
    printf ',"free_bytes":%s,"total_bytes":%s,"container":%s,"silent":%s,"cache_dir":%s' \
        "$(free_bytes "${place:-/}")" "$((${counts% *} * ${counts#* }))" "$container" "$is_silent" "$there"
    printf ',"tools":{"curl":%s,"sha256sum":%s,"sha512sum":%s,"md5sum":%s,"qemu-img":%s,"sftp":%s,"scp":%s,"flock":%s}}\n' \
        "$(has curl)" "$(has sha256sum)" "$(has sha512sum)" "$(has md5sum)" "$has_image" "$has_sftp" "$has_scp" "$(has flock)"
    files='' temporaries=''
    if [ "$there" = true ]; then
        cd -P "$p_cache_dir" 2>/dev/null || die io "cannot enter $p_cache_dir"
        files=$(list_files "$hex40")
        if [ ! -L .forecache ] && cd -P .forecache 2>/dev/null; then
            temporaries=$(list_files "$hex40.$hex16.part")
        fi
    fi
    # mawk prints at most 2^31 with %d, and floats keep whole numbers up to 2^53.
    printf '%s\n' "$files" - "$temporaries" | awk '
        $1 == "-" { are_temporary = 1 }
        NF != 4 { next }
        are_temporary { temporaries++; printf "{\"event\":\"temporary\",\"name\":\"%s\",\"bytes\":%s,\"mtime\":%s}\n", $1, $2, $4; next }
        { files++; printf "{\"event\":\"base_file\",\"name\":\"%s\",\"bytes\":%s,\"allocated\":%.0f,\"mtime\":%s}\n", $1, $2, $3 * 512, $4 }
        END { printf "{\"event\":\"done\",\"base_files\":%d,\"temporaries\":%d}\n", files, temporaries }'
}

has() {
    if command -v "$1" >/dev/null; then printf true; else printf false; fi
}

# One command for all of it: each `exec` costs some tenths of a second. A container that hangs must not hang the survey.
look_into_container() {
    container=false has_image=false has_sftp=false has_scp=false
    command -v "$p_container_cli" >/dev/null || return 0
    limit=''
    ! command -v timeout >/dev/null || limit='timeout 20'
    # shellcheck disable=SC2016,SC2086
    found=$($limit "$p_container_cli" exec -u "$p_copy_user" "$p_container" sh -c \
        'echo forecache; for t in qemu-img sftp scp; do command -v "$t" >/dev/null && echo "$t"; done' </dev/null 2>/dev/null)
    case $nl$found$nl in
        *"${nl}forecache$nl"*) container=true ;;
        # It restarts, hangs or is stopped; one that does not exist will not answer later either.
        *)
            ${limit:+timeout 5} "$p_container_cli" container inspect "$p_container" </dev/null >/dev/null 2>&1
            case $? in 0 | 124 | 143) is_silent=true ;; esac
            ;;
    esac
    case $nl$found$nl in *"${nl}qemu-img$nl"*) has_image=true ;; esac
    case $nl$found$nl in *"${nl}sftp$nl"*) has_sftp=true ;; esac
    case $nl$found$nl in *"${nl}scp$nl"*) has_scp=true ;; esac
}

# As oslo.config reads it: the last value wins, a line that begins with a blank goes on with the one before.
read_nova_conf() {
    if [ -n "$p_nova_conf" ]; then
        need_path nova_conf "$p_nova_conf"
        if [ ! -f "$p_nova_conf" ] || [ ! -r "$p_nova_conf" ]; then die bad_parameter "nova_conf: there is no file to read at $p_nova_conf"; fi
        set -- "$p_nova_conf"
    else
        set -- /var/lib/config-data/puppet-generated/nova_libvirt/etc/nova/nova.conf /var/lib/openstack/config/nova/nova.conf \
            /etc/kolla/nova-compute/nova.conf /etc/nova/nova.conf
    fi
    file=
    for place do
        [ -n "$file" ] || [ ! -f "$place" ] || [ ! -r "$place" ] || file=$place
    done
    [ -n "$file" ] || return 0
    quote "$file"
    conf="\"$quoted\""
    found=$(awk '
        { sub(/\r$/, "") }
        /^\[.*\][ \t]*$/ { section = $0; sub(/^\[/, "", section); sub(/\][ \t]*$/, "", section); next }
        /^[ \t#;]/ { next }
        { at = match($0, /[=:]/)
          if (!at) next
          key = substr($0, 1, at - 1); value = substr($0, at + 1)
          gsub(/^[ \t]+|[ \t]+$/, "", key); gsub(/^[ \t]+|[ \t]+$/, "", value)
          if (value ~ /^".*"$/ || value ~ /^\047.*\047$/) value = substr(value, 2, length(value) - 2)
          values[section "." key] = value }
        END { age = "remove_unused_original_minimum_age_seconds"
              print (("image_cache." age) in values) ? values["image_cache." age] : values["DEFAULT." age]
              print values["DEFAULT.force_raw_images"]; print values["libvirt.images_type"]; print "." }' <"$file")
    value=${found%%"$nl"*}
    found=${found#*"$nl"}
    case $value in '' | *[!0-9]* | 0?* | ???????????????????*) ;; *) ttl=$value ;; esac
    case ${found%%"$nl"*} in
        [Tt][Rr][Uu][Ee] | 1 | [Oo][Nn] | [Yy][Ee][Ss]) raw=true ;;
        [Ff][Aa][Ll][Ss][Ee] | 0 | [Oo][Ff][Ff] | [Nn][Oo]) raw=false ;;
    esac
    found=${found#*"$nl"}
    quote "${found%%"$nl"*}"
    [ -z "$quoted" ] || images_type="\"$quoted\""
}
