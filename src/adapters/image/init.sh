#!/bin/sh
# Made by jitgate: the first process of the guest. It finds the disks, puts the scratch disk over the read-only root, and
# becomes the agent.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys

while read -r module; do
    insmod "/modules/$module.ko"
done </modules/order

# Disks are known by their serial numbers. Without any message of the kernel they appear a moment later.
disk() {
    tries=0
    while [ $tries -lt 100 ]; do
        for folder in /sys/block/vd*; do
            serial=
            read -r serial <"$folder/serial"
            if [ "$serial" = "$1" ]; then
                found=/dev/${folder##*/}
                return 0
            fi
        done
        [ "$1" = root ] || return 1
        sleep 0.02
        tries=$((tries + 1))
    done
    return 1
} 2>/dev/null

disk root || { echo "jitgate: there is no disk with the serial number root"; exit 1; }
mount -t squashfs -o ro "$found" /lower || exit 1
if disk scratch; then
    mount -t ext4 -o noatime "$found" /scratch || exit 1
else
    mount -t tmpfs scratch /scratch || exit 1
fi
mkdir -p /scratch/upper /scratch/work
mount -t overlay -o lowerdir=/lower,upperdir=/scratch/upper,workdir=/scratch/work root /mnt || exit 1

# Docker needs a file system that is no overlay.
if [ -x /mnt/usr/sbin/dockerd ] || [ -x /mnt/usr/bin/dockerd ]; then
    mkdir -p /scratch/docker /mnt/var/lib/docker
    mount -o bind /scratch/docker /mnt/var/lib/docker
fi

ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev shm /dev/shm
mount -t tmpfs -o mode=755,nosuid,nodev run /mnt/run
for folder in /dev /proc /sys; do
    mount -o move $folder /mnt$folder
done

echo jitgate >/mnt/proc/sys/kernel/hostname
ip link set lo up
if [ -e /mnt/sys/class/net/eth0 ]; then
    ip address add 10.0.2.15/24 dev eth0
    ip link set eth0 up
    ip route add default via 10.0.2.2
fi
cd /mnt
exec switch_root /mnt /usr/local/bin/jitgate internal guest
