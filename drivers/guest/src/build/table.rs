//! The partition table (MBR) and GRUB in the gap behind it. Source of facts: GRUB's `boot.S` and `diskboot.S`: the first sector
//! loads the second, whose list of what follows is already right for a core image that begins there.

use machine_driver::{Diagnostic, Kind, Result};

const SECTOR: usize = 512;
/// Code ends where the disk's id begins.
const CODE: usize = 440;
/// Linux.
const KIND: u8 = 0x83;

/// What stands before the first partition, which takes the rest of the disk.
pub(super) fn gap(first: u64, disk: u64, loader: Option<(&[u8], &[u8])>) -> Result<Vec<u8>> {
    let mut out = vec![0; first as usize];
    if let Some((boot, core)) = loader {
        if boot.len() < CODE || SECTOR + core.len() > out.len() {
            return Err(Diagnostic::new(Kind::Failure, "the boot loader does not fit before the first partition"));
        }
        out[..CODE].copy_from_slice(&boot[..CODE]);
        out[SECTOR..SECTOR + core.len()].copy_from_slice(core);
    }
    out[CODE..CODE + 4].copy_from_slice(b"mach");
    let sectors = |bytes: u64| u32::try_from(bytes / SECTOR as u64).unwrap_or(u32::MAX).to_le_bytes();
    let mut entry = vec![0x80, 0xfe, 0xff, 0xff, KIND, 0xfe, 0xff, 0xff];
    entry.extend(sectors(first));
    entry.extend(sectors(disk - first));
    out[446..462].copy_from_slice(&entry);
    out[510..512].copy_from_slice(&[0x55, 0xaa]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_partition_and_the_loader_around_it() {
        let (boot, core) = (vec![7; 512], vec![9; 1000]);
        let gap = gap(1 << 20, 2 << 30, Some((&boot, &core))).unwrap();
        assert_eq!(gap.len(), 1 << 20);
        assert_eq!((gap[439], &gap[440..444], gap[444]), (7, &b"mach"[..], 0));
        assert_eq!(gap[446..454], [0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff]);
        assert_eq!(gap[454..462], [0, 8, 0, 0, 0, 0xf8, 0x3f, 0]);
        assert_eq!((&gap[510..512], gap[512], gap[1511], gap[1512]), (&[0x55, 0xaa][..], 9, 9, 0));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(gap(1 << 20, 2 << 30, Some((&[0; 512], &vec![0; 1 << 20]))).is_err());
        assert!(gap(1 << 20, 2 << 30, Some((&[0; 10], &[]))).is_err());
        assert!(gap(1 << 20, 2 << 30, None).is_ok());
    }
}
