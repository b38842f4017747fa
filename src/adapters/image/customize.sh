# Runs inside mmdebstrap, once the packages are configured. $1 is the root. `docker` is set before this text.
set -eu
root=$1
boot="$root/usr/lib/jitgate-boot"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
mkdir -p "$boot"
cd "$boot"

# The kernel is downloaded and unpacked. An installation would also install the tools for its initial RAM disk.
kernel=$(apt-cache depends --no-recommends --no-suggests linux-image-cloud-amd64 |
    sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
apt-get -qq -o APT::Sandbox::User=root download "$kernel" busybox-static >&2
for file in *.deb; do
    dpkg-deb --showformat='${Package} ${Version}\n' --show "$file" >>packages
    dpkg-deb --extract "$file" .
    rm "$file"
done
rm -rf usr/share
# Since Debian 13 everything is below usr, and modules are packed.
[ -e lib/modules ] || mv usr/lib lib
[ -e bin/busybox ] || mv usr/bin bin
chroot "$root" find /usr/lib/jitgate-boot -name "*.ko.xz" -exec xz --decompress {} +

printf 'runner:x:1001:\n' >>"$root/etc/group"
printf 'runner:!::\n' >>"$root/etc/gshadow"
printf 'runner:x:1001:1001::/home/runner:/bin/bash\n' >>"$root/etc/passwd"
printf 'runner:!:::::::\n' >>"$root/etc/shadow"

if [ "$docker" = yes ]; then
    # A container can need any module of the network; the package of the kernel has no list of their dependencies.
    mkdir -p "$root/usr/lib/modules"
    cp -a lib/modules/. "$root/usr/lib/modules/"
    chroot "$root" depmod "$(ls lib/modules)"
    sed -i 's/^\(docker:[^:]*:[^:]*:\)$/\1runner/' "$root/etc/group"
fi
