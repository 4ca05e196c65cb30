//! What a file of the user's is, by its first bytes: a disk we can use, or what else.

use std::io::{Read, Seek};
use std::path::Path;

use machine_driver::{Diagnostic, Kind, Result};

use crate::{Format, files, qcow2};

/// How the file is laid out, and what a guest sees of it, in bytes.
///
/// # Errors
/// Kind [`Kind::Usage`]: it is not a disk, one in another format, cut short, or stands on another file.
pub(crate) fn look(path: &Path) -> Result<(Format, u64)> {
    let mut file = machine_base::files::open(path)
        .map_err(|e| files::io("open", path)(e).hint("name an image that is there: a qcow2 or raw file"))?;
    let mut head = [0; 512];
    let mut got = 0;
    while got < head.len() {
        match file.read(&mut head[got..]).map_err(files::io("read", path))? {
            0 => break,
            n => got += n,
        }
    }
    let size = file.metadata().map_err(files::io("read", path))?.len();
    let refused =
        |what: &str, hint: &str| Err(Diagnostic::new(Kind::Usage, format!("{} is {what}", path.display())).hint(hint));
    let convert = "convert it: `qemu-img convert -O qcow2 IN OUT`";
    let unpack = "unpack it first";
    let head = &head[..got];
    if head.starts_with(&qcow2::MAGIC) {
        file.rewind().map_err(files::io("read", path))?;
        let image = qcow2::Image::open(file).map_err(|e| e.into_error(path))?;
        if let Some(backing) = &image.header.backing {
            return refused(&format!("only the difference to another image, {backing}"), convert);
        }
        let virtual_size = image.header.size;
        image.check().map_err(|e| e.into_error(path))?;
        return Ok((Format::Qcow2, virtual_size));
    }
    match head {
        [] => refused("empty", "download it again"),
        [0x1f, 0x8b, ..] => refused("compressed with gzip", unpack),
        [0xfd, b'7', b'z', ..] => refused("compressed with xz", unpack),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => refused("compressed with zstd", unpack),
        [b'P', b'K', 3, 4, ..] => refused("a zip archive", unpack),
        [b'K', b'D', b'M', b'V', ..] => refused("a VMDK image", convert),
        _ if head.starts_with(b"vhdxfile") || head.starts_with(b"conectix") => refused("a Hyper-V image", convert),
        _ if head.get(64..68) == Some(&[0x7f, 0x10, 0xda, 0xbe]) => refused("a VDI image", convert),
        _ if head.get(510..) != Some(&[0x55, 0xaa]) => {
            refused("not a disk image", "give a qcow2 or raw image that a computer could boot from")
        }
        _ if size % 512 != 0 => refused("cut short", "download it again"),
        _ => Ok((Format::Raw, size)),
    }
}
