//! Reading small files with as few calls as will do: `ls` reads two of them for each of a thousand machines.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom};
use std::path::Path;

use machine_base::files;

/// Larger than nearly every record and journal.
const PIECE: usize = 8192;

/// The whole file. `std::fs::read` asks for length and place first.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let (mut file, mut bytes) = begin(path)?;
    if bytes.len() == PIECE {
        file.by_ref().take(files::SMALL).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > files::SMALL {
            return Err(Error::new(ErrorKind::FileTooLarge, format!("it is larger than {} bytes", files::SMALL)));
        }
    }
    Ok(bytes)
}

/// The file's end, at most [`PIECE`] bytes, and whether that is all of it.
pub(crate) fn read_end(path: &Path) -> Result<(Vec<u8>, bool)> {
    let (mut file, bytes) = begin(path)?;
    if bytes.len() < PIECE {
        return Ok((bytes, true));
    }
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(PIECE as u64)))?;
    let mut bytes = Vec::with_capacity(PIECE);
    file.read_to_end(&mut bytes)?;
    Ok((bytes, length <= PIECE as u64))
}

/// The first bytes; fewer than [`PIECE`] only where the file ends.
fn begin(path: &Path) -> Result<(File, Vec<u8>)> {
    let file = files::open(path)?;
    let mut bytes = Vec::with_capacity(PIECE);
    (&file).take(PIECE as u64).read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests put files there as others leave them")]

    use super::*;

    #[test]
    fn files_of_every_size_around_a_piece_are_read_whole_and_from_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
            let bytes: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(read(&path).unwrap(), bytes, "{size} bytes");
            let (end, all) = read_end(&path).unwrap();
            assert_eq!(end, bytes[size.saturating_sub(PIECE)..], "{size} bytes");
            assert_eq!(all, size <= PIECE, "{size} bytes");
        }
    }
}
