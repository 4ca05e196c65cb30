//! QEMU's disk format, as far as it is needed here. Source of facts: QEMU's `docs/interop/qcow2.txt`.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use machine_driver::{DriverError, ErrorKind};

use crate::{Format, files};

/// `QFI\xfb`.
pub(crate) const MAGIC: [u8; 4] = *b"QFI\xfb";
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// The format of the backing file, as a header extension.
const BACKING_FORMAT: u32 = 0xE279_2ACA;
/// QEMU takes no longer name of a backing file.
const LONGEST_NAME: usize = 1023;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not a sound qcow2 file.
    #[error("{0}")]
    Malformed(String),
}

impl Fault {
    pub(crate) fn into_error(self, path: &Path) -> DriverError {
        match self {
            Self::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                DriverError::new(ErrorKind::Settings, format!("the image {} is cut short", path.display()))
                    .hint("fetch it anew")
            }
            Self::Io(e) => files::io("read", path)(e),
            Self::Malformed(why) => {
                DriverError::new(ErrorKind::Settings, format!("{} is no usable qcow2 image: {why}", path.display()))
                    .hint("check where the file comes from, and fetch it anew")
            }
        }
    }
}

/// The part of a header that we use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u32,
    pub(crate) cluster_bits: u32,
    /// What the guest sees, in bytes.
    pub(crate) size: u64,
    pub(crate) l1_entries: u32,
    pub(crate) l1_offset: u64,
    /// The name of the file it stands on, as written there.
    pub(crate) backing: Option<String>,
}

impl Header {
    /// Reads and judges a header.
    pub(crate) fn read(from: &mut (impl Read + Seek)) -> Result<Self, Fault> {
        let end = from.seek(SeekFrom::End(0))?;
        from.rewind()?;
        let mut head = [0; 104];
        from.read_exact(&mut head[..72])?;
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        let malformed = |why: String| Err(Fault::Malformed(why));
        if head[..4] != MAGIC {
            return malformed("it does not begin like one".to_owned());
        }
        let (version, cluster_bits) = (word(4), word(20));
        let (name_at, name_len) = (long(8), word(16));
        let (size, encrypted) = (long(24), word(32));
        let (l1_entries, l1_offset) = (word(36), long(40));
        if !matches!(version, 2 | 3) {
            return malformed(format!("version {version} is not known"));
        }
        if !(9..=21).contains(&cluster_bits) {
            return malformed(format!("clusters of 2^{cluster_bits} bytes"));
        }
        if encrypted != 0 {
            return malformed("it is encrypted".to_owned());
        }
        if version == 3 {
            from.read_exact(&mut head[72..])?;
            let features = u64::from_be_bytes(head[72..80].try_into().unwrap_or_default());
            // Bit 0 is "dirty": its reference counts are stale, its data is not.
            if features & !1 != 0 {
                return malformed(format!("it needs features {features:#x} that are not known here"));
            }
        }
        let l2_covers = u128::from(1_u64 << cluster_bits) * u128::from(1_u64 << (cluster_bits - 3));
        if u128::from(l1_entries) * l2_covers < u128::from(size) {
            return malformed("its tables are smaller than its size".to_owned());
        }
        // QEMU's own limit for the table: 32 MB.
        if l1_entries > 4 << 20 || l1_offset.saturating_add(u64::from(l1_entries) * 8) > end {
            return malformed("its table lies beyond its end".to_owned());
        }
        let backing = if name_at == 0 {
            None
        } else {
            if name_len as usize > LONGEST_NAME {
                return malformed("the name of its backing file is too long".to_owned());
            }
            let mut name = vec![0; name_len as usize];
            from.seek(SeekFrom::Start(name_at))?;
            from.read_exact(&mut name)?;
            match String::from_utf8(name) {
                Ok(name) => Some(name),
                Err(_) => return malformed("the name of its backing file is no text".to_owned()),
            }
        };
        Ok(Self { version, cluster_bits, size, l1_entries, l1_offset, backing })
    }
}

/// A whole new file of `size` bytes that holds nothing itself and stands on `base`.
pub(crate) fn overlay(base: &Path, format: Format, size: u64) -> Result<Vec<u8>, Fault> {
    let Some(name) = base.to_str().filter(|name| name.len() <= LONGEST_NAME) else {
        return Err(Fault::Malformed("the path of its backing file is too long, or no text".to_owned()));
    };
    let l1_entries = size.div_ceil(CLUSTER * (CLUSTER / 8));
    let l1_clusters = (l1_entries * 8).div_ceil(CLUSTER).max(1);
    // Header, one table of reference counts, one block of them, then the (empty) first-level table.
    let used = 3 + l1_clusters;
    let mut out = vec![0; usize::try_from(used * CLUSTER).map_err(io::Error::other)?];
    header(&mut out, size, 3 * CLUSTER, l1_entries, Some((name, format)));
    put(&mut out, CLUSTER, &(2 * CLUSTER).to_be_bytes());
    for cluster in 0..used {
        put(&mut out, 2 * CLUSTER + cluster * 2, &1_u16.to_be_bytes());
    }
    Ok(out)
}

/// Version 3, 64 KiB clusters, 16-bit reference counts whose table stands in the second cluster.
fn header(out: &mut [u8], size: u64, l1_at: u64, l1_entries: u64, backing: Option<(&str, Format)>) {
    put(out, 0, &MAGIC);
    put(out, 4, &3_u32.to_be_bytes());
    put(out, 20, &CLUSTER_BITS.to_be_bytes());
    put(out, 24, &size.to_be_bytes());
    put(out, 36, &(l1_entries as u32).to_be_bytes());
    put(out, 40, &l1_at.to_be_bytes());
    put(out, 48, &CLUSTER.to_be_bytes());
    put(out, 56, &1_u32.to_be_bytes());
    put(out, 96, &4_u32.to_be_bytes());
    put(out, 100, &104_u32.to_be_bytes());
    // The list of extensions ends with eight zeros, which are there.
    if let Some((name, format)) = backing {
        let word = format.as_str();
        put(out, 104, &BACKING_FORMAT.to_be_bytes());
        put(out, 108, &(word.len() as u32).to_be_bytes());
        put(out, 112, word.as_bytes());
        let at = 128_u64;
        put(out, 8, &at.to_be_bytes());
        put(out, 16, &(name.len() as u32).to_be_bytes());
        put(out, at, name.as_bytes());
    }
}

fn put(out: &mut [u8], at: u64, bytes: &[u8]) {
    let at = at as usize;
    out[at..at + bytes.len()].copy_from_slice(bytes);
}
