# What a monitor does to its machine while files are mapped, and to buffers in them: a pause goes on, O_DIRECT from and to a mapped
# file fails alone, a reset leaves nothing behind that the next kernel's stores would miss.
# media: file directory
# boots: 1
# ci: file/newest
# reboots: yes
# devices: pmem,window=128M

direct() { # read|write PLACE: another file, with a buffer in this place of 2 MiB of the one that is mapped
    expect "O_DIRECT, $1, place $2" "$(ask direct $1 $(($2 * 2097152)) $V/other)" "Bad address"
}

virtiofs_mount
if [ "$(host told reset)" = no ]; then
    # Few places: QEMU tells all of them as memory, and may be paused.
    durable_file $V/db/small 8M
    open_mapping $V/db/small
    expect stores "$(ask store 1)" stored
    must_host machine stop cont
    expect stores "$(ask store 2)" stored
    expect "stores after a pause, outside" "$(host run guest_tool verify db/small 2)" "kept 131072 of 131072"
    must_host run "sh -c 'head -c 4096 /dev/zero >other'"
    direct write 0
    direct read 3
    close_mapping

    # More than it tells.
    durable_file $V/db/large 40M
    open_mapping $V/db/large
    expect stores "$(ask store 3)" stored
    for place in 0 5 10 19; do
        direct write $place
        direct read $place
    done
    expect "what was not read there" "$(ask verify 3)" "kept 655360 of 655360"
    expect "what was not written" "$(cmp -n 4096 $V/other /dev/zero && echo zeros)" zeros
    must_host tell reset
    must_host machine system_reset
    sleep 100
fi
guest_tool store done $V/db/large 4
expect "stores after a reset, outside" "$(host run guest_tool verify db/large 4)" "kept 655360 of 655360"
umount $V
must_host stop
must_host fsck
pass
