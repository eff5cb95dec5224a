# A guest mounts what is served from outside; what it asks for there is done, or refused.
# media: directory file
# boots: 1
# devices: pmem

virtiofs_mount rw
echo hello >$V/file
expect "what is seen outside" "$(host run cat file)" hello
must_host run mkdir there
[ -d $V/there ] || fail "a directory that was made outside is not there"
! host run mkdir there >/tmp/why || fail "what fails outside is not known here"
grep -q 'File exists' /tmp/why || fail "nor is why: $(cat /tmp/why)"
umount $V
pass
