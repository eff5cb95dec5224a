# QEMU is killed while its guest stores: all that was stored is found outside and by the next guest, up to the line.
# media: directory file
# boots: 2
# ci: directory/newest
# devices: pmem,window=16M

virtiofs_mount
case "$VM_BOOT" in
    1)
        durable_file $V/db/file 2M
        guest_tool hammer $V/db/file >/tmp/hammer &
        until [ $(wc -l </tmp/hammer) -ge 3 ]; do sleep 0.1; done
        must_host tell stored $(tail -n 1 /tmp/hammer | sed 's/.* //')
        echo "$CUT_LINE"
        sleep 100
        ;;
    2)
        last=$(host run guest_tool hammered db/file) || fail "what was stored is not there: $last"
        [ $last -ge $(host wait stored) ] || fail "only $last of $(host wait stored) stores are there"
        say "stores until the end: $last"
        expect "the last one, here" "$(guest_tool hammered $V/db/file)" $last
        expect mapping "$(xattr mapping $V/db/file)" window
        guest_tool store done $V/db/file 1
        expect "stores of this guest, outside" "$(host run guest_tool verify db/file 1)" "kept 32768 of 32768"
        umount $V
        must_host stop
        must_host fsck
        pass
        ;;
esac
