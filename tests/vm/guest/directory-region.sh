# A directory region on real DAX, without --emulate: a mapping through pmemfs is the persistent memory itself.
# media: ext4-dax xfs-dax
# boots: 1
# ci: ext4-dax/newest xfs-dax/6.12

host_mount
pmemfs_mount
mkdir $P/db
setfattr -n user.pmemfs.mmap_durable -v 1 $P/db
truncate -s 32M $P/db/file
expect durable "$(xattr mmap_durable $P/db/file)" 1
expect granularity "$(xattr granularity $P/db/file)" cacheline byte
expect mapping "$(xattr mapping $P/db/file)" passthrough
expect MAP_SYNC "$(guest_tool map-sync $P/db/file)" granted

# 32 MiB in faults of 2 MiB. A mapping that is not aligned shows that the count would tell: 4 KiB each.
expect faults "$(guest_tool faults $P/db/file)" 16
expect "faults of a mapping that is not aligned" "$(guest_tool faults $P/db/file 4096)" 8192

guest_tool store done $P/db/file 1
expect stores "$(guest_tool verify $P/db/file 1)" "kept 524288 of 524288"
expect "another seed" "$(guest_tool verify $P/db/file 2)" "kept 0 of 524288"
pmemfs_umount
pmemfs_remount
expect "stores after a remount" "$(guest_tool verify $P/db/file 1)" "kept 524288 of 524288"
pmemfs_umount
umount $HOST
pass
