# A bare Debian 12 with Rust and a clone of this project, in FOLDER: what ./quickstart says to a newcomer there.
# Runs as the first process of its own namespaces, so that nothing of it outlives it: no mount, no VM.
#
#   bare.sh FOLDER REPOSITORY CARGO_HOME RUSTUP_HOME
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
root=$1/root repository=$2 cargo=$3 rustup=$4

mount --make-rprivate /
sources=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | sort -u)
archive=$(sed -n 's/^Debian //p' <<<"$sources" | head -1)
TMPDIR=$1 mmdebstrap --quiet --mode=root --variant=minbase --include=ca-certificates bookworm "$root" \
  "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive bookworm main" >&2
# How this computer reaches the network is how that one does.
cp /etc/resolv.conf /etc/hosts "$root/etc/" || true
cp /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/" || true

# As on a real machine, its root is a mount point.
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
home=/srv/newcomer
mkdir -p "$root$home/.cargo" "$root$home/.rustup"
mount --bind "$cargo" "$root$home/.cargo"
if [ -d "$rustup" ]; then mount --bind "$rustup" "$root$home/.rustup"; fi
git clone --quiet "$repository" "$root$home/machine"

there() {
  chroot "$root" /usr/bin/env -i HOME=$home LANG=C.UTF-8 \
    PATH=$home/.local/bin:$home/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    bash -c "cd $home/machine && $1" </dev/null
}

# Nobody is there to be asked.
code=0
there './quickstart' || code=$?
echo "unasked: $code"
there './quickstart -y'
# Once more: what is there stays.
there './quickstart -y'
there 'echo "images: $(machine image ls -q | wc -l), bundles: $(machine bundle ls -q | wc -l)"'
there 'docker --context dev version --format "engine {{.Server.Os}}"'
there 'machine rm -y dev'
there 'machine ls -q'
echo 'the end'
