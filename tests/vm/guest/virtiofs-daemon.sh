# The daemon is killed while a guest stores, and comes back; its file is unlinked and the region filled meanwhile: the guest's
# stores reach nothing of anybody else's. The guest's device is dead until it has another machine, which then resets itself.
# media: file directory
# boots: 2
# ci: file/newest
# reboots: yes
# megabytes: 64
# devices: pmem,window=16M

rounds() { wc -l </tmp/hammer; }
more_rounds() { # at least N, unless there is nothing to store into any more
    local wanted=$(($(rounds) + $1)) tries=0
    until [ $(rounds) -ge $wanted ] || [ $tries = 50 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    say "rounds: $(rounds)"
}
store_and_verify() { # SEED
    rm -f $V/db/new
    durable_file $V/db/new 4M
    guest_tool store done $V/db/new $1
    expect "stores, outside" "$(host run guest_tool verify db/new $1)" "kept 65536 of 65536"
}

virtiofs_mount
if [ "$VM_BOOT" = 1 ]; then
    durable_file $V/db/file 8M
    guest_tool hammer $V/db/file >/tmp/hammer &
    more_rounds 2
    must_host kill
    more_rounds 1
    must_host start
    must_host run rm db/file
    # So much as the region takes, or as much as it has.
    must_host run "sh -c 'head -c 67108864 /dev/urandom >fill; sha256sum fill'"
    must_host tell sum $(cut -d' ' -f1 /tmp/host)
    more_rounds 3
    expect "what others wrote meanwhile" "$(host run sha256sum fill | cut -d' ' -f1)" "$(host wait sum)"
    echo "$CUT_LINE"
    sleep 100
fi
if [ "$(host told reset)" = no ]; then
    expect "what others wrote, here" "$(sha256sum $V/fill | cut -d' ' -f1)" "$(host wait sum)"
    must_host run rm fill
    store_and_verify 1
    umount $V # QEMU 11.1 with TCG may die of a segmentation fault when it resets itself with ranges in the window
    must_host tell reset
    reboot -f
    sleep 100
fi
store_and_verify 2
umount $V
must_host stop
must_host fsck
pass
