# A durable file through a DAX window, against the guest's own memory and against the same file without a window, in turns; the
# requests that the first touch of 1 GiB takes.
# media: directory file
# boots: 1
# megabytes: 6144
# memory: 1024
# devices: pmem,window=4G slow
# programs: pmemfs-bench-guest

ratio() { awk "BEGIN { printf \"%.3f\", $1 / $2 }"; }
median() { # of the lines of a file
    sort -n $1 | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

virtiofs_mount
virtiofs_mount rw slow /mnt/slow
durable_file $V/db/first 1G
open_mapping $V/db/first
before=$(host requests pmem)
expect touch "$(ask touch)" touched
say "first touch of 1 GiB: $(($(host requests pmem) - before)) requests"
close_mapping

durable_file $V/db/small 128M
dd if=/dev/zero of=/tmp/small bs=1M count=128 2>/dev/null
for round in 1 2 3 4 5 6 7; do
    for work in mapped-read mapped-write; do
        if [ $((round % 2)) = 0 ]; then
            own=$(pmemfs-bench-guest $work /tmp/small 30000)
            window=$(pmemfs-bench-guest $work $V/db/small 30000)
        else
            window=$(pmemfs-bench-guest $work $V/db/small 30000)
            own=$(pmemfs-bench-guest $work /tmp/small 30000)
        fi
        ratio $own $window >>/tmp/$work
        echo >>/tmp/$work
        say "$work own memory $own ns, window $window ns"
    done
done
for work in mapped-read mapped-write; do
    say "$work of own memory's rate: $(median /tmp/$work)"
done
rm /tmp/small

# Twice the guest's memory; through a virtqueue the page cache holds a part of it.
durable_file $V/db/large 2G
must_host run "sh -c 'head -c 2147483648 /dev/zero >large'"
pmemfs-bench-guest mapped-cold $V/db/large 20000 >/dev/null # most of it is in the window now
for round in 1 2 3; do
    window=$(pmemfs-bench-guest mapped-cold $V/db/large 20000)
    slow=$(pmemfs-bench-guest mapped-cold /mnt/slow/large 2000)
    ratio $slow $window >>/tmp/cold
    echo >>/tmp/cold
    say "2 GiB at random: window $window ns, without $slow ns"
done
say "2 GiB at random, times faster with a window: $(median /tmp/cold)"
umount /mnt/slow
umount $V
pass
