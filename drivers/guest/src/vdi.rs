//! VirtualBox's disk format, written only. Source of facts: VirtualBox's `VDICore.h` layout (version 1.1), as `qemu-img` reads it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use machine_driver::Result;

use crate::qcow2::{Fault, Image};
use crate::{Disk, Format, files};

const BLOCK: u64 = 1 << 20;
/// Header and the rest of its sector.
const MAP_AT: u64 = 512;
const NO_BLOCK: u32 = 0xffff_ffff;

/// Writes a disk as a VDI image that shows `size` bytes, or as many as the disk has, with an identity of its own. Blocks of
/// zeros take no room. What was at `to` is replaced.
///
/// # Errors
/// The disk cannot be read, `to` cannot be written.
pub fn vdi(disk: &Disk, to: &Path, size: u64) -> Result<()> {
    let source = machine_base::files::open(&disk.path).map_err(files::io("open", &disk.path))?;
    let size = size.max(disk.virtual_size).next_multiple_of(BLOCK);
    let mut fault = None;
    let written = files::write(to, |out| {
        let done = match disk.format {
            Format::Raw => write(&mut BufReader::new(source), disk.virtual_size, size, out),
            Format::Qcow2 => {
                Image::open(source).and_then(|image| write(&mut Bytes::new(image), disk.virtual_size, size, out))
            }
        };
        done.map_err(|e| {
            fault = Some(e);
            io::Error::other("the image cannot be read")
        })
    });
    match fault {
        Some(e) => Err(e.into_error(&disk.path)),
        None => written,
    }
}

fn write(from: &mut impl Read, have: u64, size: u64, out: &mut File) -> Result<(), Fault> {
    let blocks = size / BLOCK;
    let data_at = (MAP_AT + blocks * 4).next_multiple_of(BLOCK);
    let mut map = vec![NO_BLOCK; usize::try_from(blocks).map_err(io::Error::other)?];
    let mut used: u32 = 0;
    let mut buffer = vec![0; BLOCK as usize];
    out.seek(SeekFrom::Start(data_at))?;
    for n in 0..have.div_ceil(BLOCK) {
        let want = BLOCK.min(have - n * BLOCK) as usize;
        from.read_exact(&mut buffer[..want])?;
        buffer[want..].fill(0);
        if buffer.iter().any(|&byte| byte != 0) {
            out.write_all(&buffer)?;
            map[n as usize] = used;
            used += 1;
        }
    }
    let mut head = vec![0; usize::try_from(data_at).map_err(io::Error::other)?];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    let word = |number: u64| (number as u32).to_le_bytes();
    put(0, b"<<< Oracle VM VirtualBox Disk Image >>>\n");
    put(64, &0xbeda_107f_u32.to_le_bytes());
    put(68, &0x0001_0001_u32.to_le_bytes());
    put(72, &word(400));
    put(76, &word(1)); // grows as it is written to
    put(340, &word(MAP_AT));
    put(344, &word(data_at));
    put(360, &word(512));
    put(368, &size.to_le_bytes());
    put(376, &word(BLOCK));
    put(384, &word(blocks));
    put(388, &used.to_le_bytes());
    // VirtualBox keeps the first three fields of an id in its own order of bytes, and refuses two disks with one id.
    put(392, &uuid::Uuid::new_v4().to_bytes_le());
    put(408, &uuid::Uuid::new_v4().to_bytes_le());
    // The second geometry, which nobody uses; VirtualBox refuses a disk whose sectors have no size there.
    put(468, &word(512));
    for (n, block) in map.iter().enumerate() {
        put(MAP_AT as usize + n * 4, &block.to_le_bytes());
    }
    out.rewind()?;
    out.write_all(&head)?;
    // Room that was never written is still part of the file.
    out.set_len(data_at + u64::from(used) * BLOCK)?;
    Ok(())
}

/// The bytes of a qcow2 image, one after another.
struct Bytes {
    image: Image,
    next: u64,
    cluster: Vec<u8>,
    at: usize,
}

impl Bytes {
    fn new(image: Image) -> Self {
        let cluster = vec![0; image.cluster_size() as usize];
        Self { image, next: 0, at: cluster.len(), cluster }
    }
}

impl Read for Bytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.cluster.len() {
            let found = self.image.read(self.next, &mut self.cluster).map_err(io::Error::other)?;
            if !found {
                self.cluster.fill(0);
            }
            (self.next, self.at) = (self.next + 1, 0);
        }
        let n = into.len().min(self.cluster.len() - self.at);
        into[..n].copy_from_slice(&self.cluster[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::qcow2;

    #[test]
    fn it_holds_what_the_disk_holds_and_is_larger() {
        let dir = tempfile::tempdir().unwrap();
        let (raw, packed, out) = (dir.path().join("raw"), dir.path().join("qcow2"), dir.path().join("vdi"));
        let mut bytes = vec![0_u8; 5 << 20];
        bytes[..9].copy_from_slice(b"beginning");
        bytes[3 << 20..][..70_000].fill(3);
        File::create(&raw).unwrap().write_all(&bytes).unwrap();
        let mut file = File::create_new(&packed).unwrap();
        qcow2::from_raw(&mut io::Cursor::new(&bytes), bytes.len() as u64, &mut file).unwrap();
        for (path, format) in [(&raw, Format::Raw), (&packed, Format::Qcow2)] {
            let disk = crate::disk::tests::disk(path, format, bytes.len() as u64);
            vdi(&disk, &out, 8 << 20).unwrap();
            let mut written = Vec::new();
            File::open(&out).unwrap().read_to_end(&mut written).unwrap();
            assert_eq!(written[368..376], (8_u64 << 20).to_le_bytes());
            assert_eq!(written.len(), 3 << 20, "header and two blocks");
            for at in [360, 468] {
                assert_eq!(written[at..at + 4], 512_u32.to_le_bytes(), "both geometries have sectors");
            }
            assert_eq!(written[1 << 20..][..9], *b"beginning");
            // QEMU's own tool agrees, where it is installed.
            let Ok(check) = Command::new("qemu-img").arg("check").arg(&out).output() else {
                println!("SKIPPED: qemu-img does not run here");
                return;
            };
            assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
            let same = Command::new("qemu-img").arg("compare").arg(&raw).arg(&out).output().unwrap();
            assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
        }
    }
}
