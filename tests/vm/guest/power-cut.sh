# Stores through a mapping of a durable file, flushed, then the power goes: no fsync, no msync, and every line is kept, and
# every name of pmemfs too. On the host filesystem itself a file that was only allocated loses lines, and new names go, in the
# same cut, else the cut proves nothing.
# media: ext4-dax xfs-dax
# boots: 2
# kernels: 6.12

host_mount
pmemfs_mount
case "$VM_BOOT" in
    1)
        guest_tool allocate $HOST/control 4194304
        mkdir $P/db
        setfattr -n user.pmemfs.mmap_durable -v 1 $P/db
        truncate -s 4M $P/db/file
        # The controls come last, since a sync of anything on the host filesystem would save them.
        for i in 1 2 3 4 5 6 7 8; do
            mkdir $P/made-$i $HOST/made-$i
            mv $P/made-$i $P/db/name-$i
        done
        guest_tool store "$CUT_LINE" $P/db/file 1 $HOST/control 2
        ;;
    2)
        kept=$(guest_tool verify $HOST/control 2)
        say "control: $kept"
        case "$kept" in
            "kept 65536 of 65536") fail "the control lost nothing: this power cut proves nothing" ;;
            "kept "*" of 65536") ;;
            *) fail "the control is not of its size: $kept" ;;
        esac
        ! ls -d $HOST/made-8 2>/dev/null || fail "the host lost no name: this power cut proves nothing"
        expect "stores after the power cut" "$(guest_tool verify $P/db/file 1)" "kept 65536 of 65536"
        expect names "$(ls $P/db | grep -c name-)" 8
        expect durable "$(xattr mmap_durable $P/db/file)" 1
        pmemfs_umount
        umount $HOST
        pass
        ;;
esac
