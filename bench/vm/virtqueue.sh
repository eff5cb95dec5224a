# Requests through virtqueues: pmemfs against Debian's virtiofsd over the same tmpfs, in one guest, in turns.
# media: directory file
# boots: 1
# megabytes: 1024
# devices: pmem virtiofsd:debian
# programs: pmemfs-bench-guest

median() { # of the lines of a file
    sort -n $1 | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

virtiofs_mount rw
virtiofs_mount rw debian /mnt/debian
for where in $V /mnt/debian; do
    dd if=/dev/zero of=$where/file bs=1M count=128 2>/dev/null
done
works="read1m:200 write1m:200 read4k:3000 write4k:3000 names:800"
for round in 1 2 3 4 5 6 7 8 9; do
    for work in $works; do
        name=${work%:*} count=${work#*:}
        if [ $((round % 2)) = 0 ]; then
            debian=$(pmemfs-bench-guest $name /mnt/debian/file $count)
            ours=$(pmemfs-bench-guest $name $V/file $count)
        else
            ours=$(pmemfs-bench-guest $name $V/file $count)
            debian=$(pmemfs-bench-guest $name /mnt/debian/file $count)
        fi
        awk "BEGIN { printf \"%.3f\n\", $debian / $ours }" >>/tmp/$name
        say "$name pmemfs $ours ns, virtiofsd $debian ns"
    done
done
for work in $works; do
    say "${work%:*} of virtiofsd's rate: $(median /tmp/${work%:*}) (from $(sort -n /tmp/${work%:*} | sed -n '1p;$p' | tr '\n' ' '))"
done
umount /mnt/debian
umount $V
pass
