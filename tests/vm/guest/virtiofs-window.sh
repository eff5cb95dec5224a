# A guest maps durable files of pmemfs through a DAX window: the bytes are the same here, outside, and without a request between;
# a window smaller than the file; a file that grows; nothing outside moves what is mapped; with dax=always, an ordinary one that is cut.
# media: directory file
# boots: 1
# ci: directory/newest file/6.12
# devices: pmem,window=16M

virtiofs_mount
expect "lines of the window" "$(dmesg | grep -c 'virtiofs.*Cache len: 0x1000000')" 1

# A name, its data, its attributes: what a filesystem is for.
mkdir -p $V/a/b
echo text >$V/a/b/name
ln $V/a/b/name $V/a/link
ln -s b/name $V/a/symbolic
mv $V/a/b/name $V/a/b/other
setfattr -n user.colour -v blue $V/a/link
chmod 640 $V/a/link
expect "a file by its other names" "$(cat $V/a/link) $(host run cat a/b/other)" "text text"
expect "its attributes outside" "$(host run stat -c %a-%h a/link) $(host run getfattr --only-values -n user.colour a/link)" "640-2 blue"
! cat $V/a/symbolic 2>/dev/null || fail "a symbolic link leads to a name that is gone"
expect "mapping of an ordinary file" "$(xattr mapping $V/a/link)" cached
rm -r $V/a
expect "names outside" "$(host run ls -A)" ""

# Durable by the guest; stores are the file's at once, and those of outside are here.
durable_file $V/db/one 8M
open_mapping $V/db/one
expect "stores" "$(ask store 9)" stored # a guest asks once for each 2 MiB, and again when it first stores where it had read
quiet stored store 1
expect "stores, outside" "$(host run guest_tool verify db/one 1)" "kept 131072 of 131072"
if [ "$VM_MEDIA" = directory ]; then # a region with extents has no shared mappings outside
    must_host run guest_tool store done db/one 2
else
    must_host run "sh -c 'guest_tool print 2 8388608 | dd of=db/one bs=1M conv=notrunc'"
fi
quiet "kept 131072 of 131072" verify 2

# Nothing outside moves it, cuts it or takes the promise back while it is mapped.
refused() { # ERROR PROGRAM…: by its text
    local error=$1
    shift
    ! host run "$@" >/tmp/why || fail "$* is not refused while a guest maps the file"
    grep -q "$error" /tmp/why || fail "$* is refused otherwise: $(cat /tmp/why)"
}
# Below a directory region on tmpfs there is nothing to defragment.
[ "$VM_MEDIA" = directory ] || refused "is durable: its data does not move" pmemfsctl defrag db/one
refused "Text file busy" truncate -s 4096 db/one
refused "Device or resource busy" setfattr -n user.pmemfs.mmap_durable -v 0 db/one
[ "$VM_MEDIA" != file ] || host run pmemfsctl compact --size 64M . >/tmp/why || say "compact: $(cat /tmp/why)"
expect "bytes after that" "$(ask verify 2)" "kept 131072 of 131072"
close_mapping

# Durable by outside, a file that this guest has seen before.
must_host run "sh -c 'head -c 4194304 /dev/zero >two'"
expect "mapping of a file from outside" "$(xattr mapping $V/two)" cached
must_host run setfattr -n user.pmemfs.mmap_durable -v 1 two
forget
expect "mapping when it was made durable outside" "$(xattr mapping $V/two)" window
guest_tool store done $V/two 3
expect "stores, outside" "$(host run guest_tool verify two 3)" "kept 65536 of 65536"

# A file four times the window.
durable_file $V/db/large 64M
guest_tool store done $V/db/large 4
expect "64 MiB through a window of 16, outside" "$(host run guest_tool verify db/large 4)" "kept 1048576 of 1048576"
open_mapping $V/db/large
expect "64 MiB through a window of 16" "$(ask verify 4)" "kept 1048576 of 1048576"
close_mapping

# A file that grows while it is mapped, here and outside.
durable_file $V/db/grows 3M
open_mapping $V/db/grows 8388608
expect touch "$(ask touch)" touched
truncate -s 5M $V/db/grows
expect "size after growth" "$(ask size)" "size 5242880"
expect stores "$(ask store 5)" stored
must_host run truncate -s 8M db/grows
sleep 1.5 # for so long a guest believes what it knows
expect "size after growth outside" "$(ask size)" "size 8388608"
expect stores "$(ask store 6)" stored
expect "all of it, outside" "$(host run guest_tool verify db/grows 6)" "kept 131072 of 131072"
close_mapping

# When nobody maps it any more, the promise can be taken back.
umount $V
must_host run setfattr -n user.pmemfs.mmap_durable -v 0 db/one
virtiofs_mount
expect "mapping without the promise" "$(xattr mapping $V/db/one)" cached
umount $V

# With dax=always an ordinary file is mapped, too, and others make it shorter: what is left stays, and the machine with it.
virtiofs_mount dax=always
dd if=/dev/zero of=$V/cut bs=1M count=6 2>/dev/null
open_mapping $V/cut
expect stores "$(ask store 4)" stored
must_host run truncate -s 3M cut
sleep 1.5 # for so long a guest believes what it knows
expect "size when others cut it" "$(ask size)" "size 3145728"
expect "what is left" "$(ask verify 4)" "kept 49152 of 49152"
expect "stores into it" "$(ask store 5)" stored
expect "of these outside" "$(host run guest_tool verify cut 5)" "kept 49152 of 49152"
must_host run truncate -s 6M cut
sleep 1.5
expect "size when it is long again" "$(ask size)" "size 6291456"
expect "what it has" "$(ask verify 5)" "kept 49152 of 98304"
expect "stores into all of it" "$(ask store 6)" stored
expect "of these outside" "$(host run guest_tool verify cut 6)" "kept 98304 of 98304"
close_mapping
umount $V
must_host stop
say "fsck: $(host fsck)"
host fsck >/tmp/fsck || fail "fsck: $(cat /tmp/fsck)"
pass
