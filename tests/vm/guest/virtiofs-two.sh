# Two guests map one file: what one stores the other reads, with no request of either; names go from one to the other; with
# dax=always ordinary files are mapped too, with dax=inode they are not (control).
# media: file directory
# boots: 1
# guests: 2
# ci: file/newest
# devices: pmem,window=16M

turn() { # NAME: of the other guest's
    must_host wait $1
}
ordinary() { # FILE LINES: how many of its stores into an ordinary file are seen outside while it is still mapped
    open_mapping $V/$1
    expect "stores into $1" "$(ask store 9)" stored
    expect "of these outside" "$(host run guest_tool verify $1 9)" "$2"
    close_mapping
}
virtiofs_mount
case "$VM_GUEST" in
    1)
        durable_file $V/db/file 4M
        dd if=/dev/zero of=$V/small bs=64k count=1 2>/dev/null # not so much that the guest would write it back at once
        dd if=/dev/zero of=$V/plain bs=1M count=2 2>/dev/null
        open_mapping $V/db/file
        expect stores "$(ask store 1)" stored
        must_host tell stored-1
        turn mapped
        quiet stored store 2
        must_host tell stored-2
        turn stored-3
        quiet "kept 65536 of 65536" verify 3
        mv $V/plain $V/other
        mv $V/other $V/plain
        mkdir $V/from-1
        must_host tell named
        turn done
        close_mapping
        ;;
    2)
        turn stored-1
        open_mapping $V/db/file
        expect "stores of the other" "$(ask verify 1)" "kept 65536 of 65536"
        expect "the same stores" "$(ask store 1)" stored # where it first stores a guest asks again
        must_host tell mapped
        turn stored-2
        quiet "kept 65536 of 65536" verify 2
        quiet stored store 3
        close_mapping
        must_host tell stored-3
        turn named
        [ -d $V/from-1 ] || fail "a directory that the other made is not there"
        ordinary small "kept 0 of 1024"
        umount $V
        virtiofs_mount dax=always
        ordinary plain "kept 32768 of 32768"
        must_host tell done
        ;;
esac
umount $V
pass
