//! What it takes to lead a VM that is there to other settings. Main items: [`Made`] and [`VmSettings::change`].

use machine_driver::Change;

use crate::VmSettings;

/// What was made of a VM's settings by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// It has its disk.
    pub disk: bool,
    /// What its guest reads at the first boot is written.
    pub seed: bool,
    /// It runs.
    pub runs: bool,
}

impl Made {
    /// A setting that counts from each start on.
    #[must_use]
    pub fn at_start<T: PartialEq>(self, from: &T, to: &T) -> Change {
        if self.runs && from != to { Change::InPlace { restart: true } } else { Change::Unused }
    }

    /// One that its disk was made of.
    #[must_use]
    pub fn in_disk<T: PartialEq>(self, key: &str, from: &T, to: &T) -> Change {
        if self.disk && from != to { Change::fixed(key, "its disk was made of it") } else { Change::Unused }
    }

    /// One that its guest read at the first boot.
    #[must_use]
    pub fn in_seed<T: PartialEq>(self, key: &str, from: &T, to: &T) -> Change {
        if self.seed && from != to {
            Change::fixed(key, "its guest reads it at the first boot only")
        } else {
            Change::Unused
        }
    }
}

impl VmSettings {
    /// What it takes to come from these to others.
    #[must_use]
    pub fn change(&self, to: &Self, made: Made) -> Change {
        // By name: a setting that is forgotten here does not compile.
        let Self {
            memory,
            cpu_count,
            disk_size,
            image,
            image_checksum,
            // Where packages come from is nothing of the VM's.
            debian_mirror: _,
            address,
            gateway,
            nameservers,
            port_range,
            ssh_user,
            shares,
        } = self;
        let size = if made.disk && to.disk_size.0 < disk_size.0 {
            Change::fixed("disk-size", "a disk grows, and never shrinks")
        } else {
            made.at_start(disk_size, &to.disk_size)
        };
        let all = [
            made.at_start(memory, &to.memory),
            made.at_start(cpu_count, &to.cpu_count),
            size,
            made.in_disk("image", image, &to.image),
            made.in_disk("image-checksum", image_checksum, &to.image_checksum),
            made.in_seed("address", address, &to.address),
            made.in_seed("gateway", gateway, &to.gateway),
            made.in_seed("nameserver", nameservers, &to.nameservers),
            made.at_start(port_range, &to.port_range),
            made.in_seed("ssh-user", ssh_user, &to.ssh_user),
            made.at_start(shares, &to.shares),
        ];
        all.into_iter().fold(Change::Unused, Change::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::parsed;

    #[test]
    fn l7_what_a_vm_takes_depends_on_what_was_made_of_it() {
        let from = parsed("--memory 2G --disk-size 20G --image /a.img --ssh-user root").unwrap();
        let made = |disk, seed, runs| Made { disk, seed, runs };
        let change = |flags: &str, made| {
            let to = "--memory 2G --disk-size 20G --image /a.img --ssh-user root ".to_owned() + flags;
            from.change(&parsed(&to).unwrap(), made)
        };
        let (nothing, off, on) = (made(false, false, false), made(true, true, false), made(true, true, true));
        for flags in ["--memory 4G", "--cpu-count 4", "--disk-size 40G", "--share /a:/b", "--port-range 40000-40009"] {
            assert_eq!(change(flags, nothing), Change::Unused, "{flags}");
            assert_eq!(change(flags, off), Change::Unused, "{flags}: it has it when it is switched on");
            assert_eq!(change(flags, on), Change::InPlace { restart: true }, "{flags}");
        }
        for (flags, why) in [
            ("--image /b.img", "image: its disk was made of it"),
            ("--disk-size 10G", "disk-size: a disk grows, and never shrinks"),
            ("--ssh-user me", "ssh-user: its guest reads it at the first boot only"),
        ] {
            assert_eq!(change(flags, nothing), Change::Unused, "{flags}");
            for made in [off, on] {
                assert_eq!(change(flags, made), Change::Replace { because: vec![why.to_owned()] }, "{flags}");
            }
        }
        assert_eq!(change("", on), Change::Unused);
    }
}
