# A durable append of 4 KiB through the daemon, against append + fsync on the same host filesystem natively, in turns.
# media: ext4-dax xfs-dax
# boots: 1
# programs: pmemfs-bench-sync

host_mount
pmemfs_mount
mkdir $HOST/native $P/db
setfattr -n user.pmemfs.mmap_durable -v 1 $P/db
for round in 1 2 3 4 5; do
    native=$(pmemfs-bench-sync $HOST/native 1 2 fsync)
    durable=$(pmemfs-bench-sync $P/db 1 2 none)
    native_rewrite=$(pmemfs-bench-sync $HOST/native 1 1 rewrite)
    durable_rewrite=$(pmemfs-bench-sync $P/db 1 1 rewrite)
    trip=$(awk "BEGIN { print int(1e6 / $durable_rewrite - 1e6 / $native_rewrite) }")
    say "round trip $trip us"
    say "native append + fsync $native/s, durable append $durable/s, ratio $(awk "BEGIN { print $durable / $native }")"
done
pmemfs_umount
umount $HOST
pass
