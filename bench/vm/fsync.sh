# Append of 4 KiB + fsync of ordinary files by 1, 4 and 16 writers: natively, through pmemfs, and what group commit would give
# at best: the same appends on the host itself, where one sync serves all who wait.
# media: ext4-dax xfs-dax
# boots: 1
# programs: pmemfs-bench-sync

host_mount
pmemfs_mount
mkdir $HOST/native $P/plain
for round in 1 2 3; do
    for writers in 1 4 16; do
        native=$(pmemfs-bench-sync $HOST/native $writers 2 fsync)
        through=$(pmemfs-bench-sync $P/plain $writers 2 fsync)
        group=$(pmemfs-bench-sync $HOST/native $writers 2 group)
        leader=$(pmemfs-bench-sync $HOST/native $writers 2 leader)
        say "$writers writers: native $native/s, pmemfs $through/s, native by syncfs for all $group/s, by one thread $leader/s"
    done
done
pmemfs_umount
umount $HOST
pass
