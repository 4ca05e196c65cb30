# A disk of the packages that ours has, with cloud-init and nothing left out, for comparison. As root.
#
#   with_cloud_init FOLDER    writes disk.raw, vmlinuz and initrd.img there
set -eu
folder=$1
truncate -s 3G "$folder/disk.raw"
exec 0<>"$folder/disk.raw"
archive=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | sed -n 's/^Debian //p' | head -1)
export FOLDER=$folder
# shellcheck disable=SC2016
TMPDIR=$folder mmdebstrap --quiet --mode=root --variant=minbase --format=null \
  --include=linux-image-amd64,systemd,systemd-sysv,systemd-resolved,systemd-timesyncd,udev,dbus,kmod,openssh-server,sudo,iproute2,procps,apparmor,iptables,e2fsprogs,fdisk,ca-certificates,netbase,less,cloud-init,cloud-guest-utils,netplan.io,libpam-systemd \
  --aptopt='Acquire::Retries "3"' --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook='echo "LABEL=cloud-root / ext4 defaults 0 1" >"$1/etc/fstab"; echo "datasource_list: [NoCloud]" >"$1/etc/cloud/cloud.cfg.d/90_dpkg.cfg"; : >"$1/etc/machine-id"; rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/hostname"' \
  --customize-hook='chroot "$1" systemctl --quiet enable systemd-networkd' \
  --customize-hook='cp "$1"/boot/vmlinuz-* "$FOLDER/vmlinuz"; cp "$1"/boot/initrd.img-* "$FOLDER/initrd.img"' \
  --customize-hook='mount --bind "$1" "$1/mnt"; mke2fs -q -F -t ext4 -L cloud-root -d "$1/mnt" /proc/self/fd/0; umount "$1/mnt"' \
  trixie /dev/null "deb $archive trixie main" >&2
