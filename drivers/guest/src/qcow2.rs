//! QEMU's disk format, as far as it is needed here. Source of facts: QEMU's `docs/interop/qcow2.txt`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use machine_driver::{Diagnostic, Kind};

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
    pub(crate) fn into_error(self, path: &Path) -> Diagnostic {
        match self {
            Self::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Diagnostic::new(Kind::Usage, format!("the image {} is cut short", path.display()))
                    .hint("download it again")
            }
            Self::Io(e) => files::io("read", path)(e),
            Self::Malformed(why) => {
                Diagnostic::new(Kind::Usage, format!("{} is not a usable qcow2 image: {why}", path.display()))
                    .hint("check where the file comes from, and download it again")
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
                Err(_) => return malformed("the name of its backing file is not text".to_owned()),
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

/// Where the bytes of one cluster are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Plain(u64),
    /// Byte offset, and how many bytes are at most to be read.
    Deflated(u64, u64),
}

/// An image that stands on nothing, to be read.
pub(crate) struct Image {
    file: File,
    end: u64,
    pub(crate) header: Header,
    l1: Vec<u64>,
    /// The second-level table read last, and which one it is.
    l2: (u64, Vec<u64>),
}

impl Image {
    /// Reads its header and first table.
    pub(crate) fn open(mut file: File) -> Result<Self, Fault> {
        let header = Header::read(&mut file)?;
        let end = file.seek(SeekFrom::End(0))?;
        let l1 = table(&mut file, header.l1_offset, u64::from(header.l1_entries))?;
        Ok(Self { file, end, header, l1, l2: (0, Vec::new()) })
    }

    pub(crate) fn cluster_size(&self) -> u64 {
        1 << self.header.cluster_bits
    }

    /// That everything it speaks of lies within the file.
    pub(crate) fn check(mut self) -> Result<(), Fault> {
        let clusters = self.header.size.div_ceil(self.cluster_size());
        let per_table = self.cluster_size() / 8;
        let mut n = 0;
        while n < clusters {
            if self.table_of(n)? == 0 {
                n = (n / per_table + 1) * per_table;
                continue;
            }
            let last = match self.place(n)? {
                Place::Nowhere => 0,
                Place::Plain(at) => at + 1,
                Place::Deflated(at, _) => at + 1,
            };
            if last > self.end {
                return Err(Fault::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            n += 1;
        }
        Ok(())
    }

    /// Reads the cluster with this number; `false` when it is all zeros (and `into` untouched).
    pub(crate) fn read(&mut self, n: u64, into: &mut [u8]) -> Result<bool, Fault> {
        match self.place(n)? {
            Place::Nowhere => Ok(false),
            Place::Plain(at) => {
                self.file.seek(SeekFrom::Start(at))?;
                // The last cluster of a file may be cut where the disk ends.
                let have = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX).min(into.len());
                if have == 0 {
                    return Err(Fault::Io(io::ErrorKind::UnexpectedEof.into()));
                }
                self.file.read_exact(&mut into[..have])?;
                into[have..].fill(0);
                Ok(true)
            }
            Place::Deflated(at, most) => {
                self.file.seek(SeekFrom::Start(at))?;
                let mut raw = flate2::read::DeflateDecoder::new((&self.file).take(most));
                raw.read_exact(into)
                    .map_err(|e| Fault::Malformed(format!("a compressed cluster does not unpack: {e}")))?;
                Ok(true)
            }
        }
    }

    /// The second-level table of a cluster: where it is, or 0.
    fn table_of(&self, n: u64) -> Result<u64, Fault> {
        let entry = usize::try_from(n / (self.cluster_size() / 8)).ok().and_then(|at| self.l1.get(at));
        let at = entry.ok_or_else(|| Fault::Malformed("its first table is too short".to_owned()))? & OFFSET;
        if !at.is_multiple_of(self.cluster_size()) {
            return Err(Fault::Malformed("a table begins within a cluster".to_owned()));
        }
        Ok(at)
    }

    fn place(&mut self, n: u64) -> Result<Place, Fault> {
        let at = self.table_of(n)?;
        if at == 0 {
            return Ok(Place::Nowhere);
        }
        let per_table = self.cluster_size() / 8;
        if self.l2.0 != at {
            self.l2 = (at, table(&mut self.file, at, per_table)?);
        }
        let entry = self.l2.1[(n % per_table) as usize];
        if entry & DEFLATED != 0 {
            // The higher bits count sectors beyond the first.
            let bits = 62 - (self.header.cluster_bits - 8);
            let (at, sectors) = (entry & ((1 << bits) - 1), (entry & (DEFLATED - 1)) >> bits);
            return Ok(Place::Deflated(at, (sectors + 1) * 512 - at % 512));
        }
        let plain = entry & OFFSET;
        match () {
            // Bit 0: reads as zeros, whatever is there (version 3).
            () if entry & 1 != 0 && self.header.version > 2 || plain == 0 => Ok(Place::Nowhere),
            () if !plain.is_multiple_of(self.cluster_size()) => {
                Err(Fault::Malformed("a cluster begins within a cluster".to_owned()))
            }
            () => Ok(Place::Plain(plain)),
        }
    }
}

/// Bits 9 to 55 of an entry of either table.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const DEFLATED: u64 = 1 << 62;

fn table(file: &mut File, at: u64, entries: u64) -> Result<Vec<u64>, Fault> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = vec![0; usize::try_from(entries * 8).map_err(io::Error::other)?];
    file.read_exact(&mut bytes)?;
    Ok(bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_be_bytes(*chunk)).collect())
}

/// Writes the bytes of a disk as a new image into an empty file. Clusters of zeros take no room.
pub(crate) fn from_raw(raw: &mut impl Read, size: u64, out: &mut File) -> Result<(), Fault> {
    let per_table = CLUSTER / 8;
    let clusters = size.div_ceil(CLUSTER);
    let l2_tables = clusters.div_ceil(per_table);
    let l1_clusters = (l2_tables * 8).div_ceil(CLUSTER).max(1);
    // Room for as many reference counts as there could be: two bytes each.
    let most = 2 + l1_clusters + l2_tables + clusters;
    let count_blocks = (most + most.div_ceil(CLUSTER / 2)).div_ceil(CLUSTER / 2);
    let (l1_at, l2_at) = ((2 + count_blocks) * CLUSTER, (2 + count_blocks + l1_clusters) * CLUSTER);
    let first = l2_at + l2_tables * CLUSTER;

    let mut l2 = vec![0_u8; usize::try_from(l2_tables * CLUSTER).map_err(io::Error::other)?];
    let mut next = first;
    let mut buffer = vec![0; CLUSTER as usize];
    out.seek(SeekFrom::Start(first))?;
    for n in 0..clusters {
        let want = CLUSTER.min(size - n * CLUSTER) as usize;
        raw.read_exact(&mut buffer[..want])?;
        buffer[want..].fill(0);
        if buffer.iter().any(|&byte| byte != 0) {
            out.write_all(&buffer)?;
            // Bit 63: no second image shares it.
            put(&mut l2, n * 8, &(next | 1 << 63).to_be_bytes());
            next += CLUSTER;
        }
    }
    let used = next / CLUSTER;
    let mut head = vec![0; usize::try_from(l2_at).map_err(io::Error::other)?];
    header(&mut head, size, l1_at, l2_tables, None);
    for block in 0..count_blocks {
        put(&mut head, CLUSTER + block * 8, &((2 + block) * CLUSTER).to_be_bytes());
    }
    for cluster in 0..used {
        put(&mut head, 2 * CLUSTER + cluster * 2, &1_u16.to_be_bytes());
    }
    for n in 0..l2_tables {
        put(&mut head, l1_at + n * 8, &((l2_at + n * CLUSTER) | 1 << 63).to_be_bytes());
    }
    out.rewind()?;
    out.write_all(&head)?;
    out.write_all(&l2)?;
    Ok(())
}

#[cfg(test)]
mod tests;
