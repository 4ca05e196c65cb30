//! A small ISO 9660 image with Rock Ridge (for Linux guests) and Joliet (for everybody else's tools): a seed's few files.
//!
//! Sources of facts: ECMA-119 (volume, records, path tables), IEEE P1282 (Rock Ridge), Microsoft's Joliet specification.
//! The well-kept crate for this brings thirty others and cannot set a file's mode.

use std::collections::BTreeSet;

const SECTOR: usize = 2048;
/// 16 sectors of nothing, three descriptors, four path tables of one sector each.
const FIRST_FOLDER: usize = 23;
/// Files of the seed are the superuser's alone.
const FILE_MODE: u32 = 0o100_600;
const FOLDER_MODE: u32 = 0o040_700;

/// A file: its path (`name` or `folder/name`, at most one folder deep) and what is in it.
pub(crate) struct File<'a> {
    pub(crate) path: &'a str,
    pub(crate) bytes: &'a [u8],
}

/// The root folder, or one below it.
struct Folder<'a> {
    name: &'a str,
    /// Names, and where the bytes are: the file's place in the list, or a folder's.
    entries: Vec<(&'a str, Target)>,
}

#[derive(Clone, Copy)]
enum Target {
    File(usize),
    Folder(usize),
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Primary,
    Joliet,
}

/// The image. The same files give the same bytes.
pub(crate) fn image(label: &str, files: &[File<'_>]) -> Vec<u8> {
    let folders = folders(files);
    // First with sectors unknown: sizes do not depend on them.
    let mut sizes = Vec::new();
    for kind in [Kind::Primary, Kind::Joliet] {
        let blank = Places { folders: vec![(0, 0); folders.len()], files: vec![0; files.len()] };
        sizes.extend((0..folders.len()).map(|at| folder(&folders, at, files, &blank, kind).len()));
    }
    let mut next = FIRST_FOLDER;
    let mut take = |bytes: usize| {
        let at = next;
        next += bytes.div_ceil(SECTOR);
        at
    };
    let spots: Vec<_> = sizes.iter().map(|&size| (take(size), size)).collect();
    let (primary, joliet) = spots.split_at(folders.len());
    let file_places: Vec<_> = files.iter().map(|file| take(file.bytes.len())).collect();
    let total = next;

    let mut out = vec![0; total * SECTOR];
    for (kind, folder_places, tables, descriptor) in [(Kind::Primary, primary, 19, 16), (Kind::Joliet, joliet, 21, 17)]
    {
        let places = Places { folders: folder_places.to_vec(), files: file_places.clone() };
        for (at, &(sector, _)) in folder_places.iter().enumerate() {
            put(&mut out, sector * SECTOR, &folder(&folders, at, files, &places, kind));
        }
        let little = path_table(&folders, &places, kind, false);
        put(&mut out, tables * SECTOR, &little);
        put(&mut out, (tables + 1) * SECTOR, &path_table(&folders, &places, kind, true));
        let root = record(Name::Here, folder_places[0], true, &[]);
        put(&mut out, descriptor * SECTOR, &volume(kind, label, total, tables, little.len(), &root));
    }
    put(&mut out, 18 * SECTOR, b"\xffCD001\x01");
    for (file, &sector) in files.iter().zip(&file_places) {
        put(&mut out, sector * SECTOR, file.bytes);
    }
    out
}

struct Places {
    /// First sector and size in bytes.
    folders: Vec<(usize, usize)>,
    files: Vec<usize>,
}

fn folders<'a>(files: &[File<'a>]) -> Vec<Folder<'a>> {
    let names: BTreeSet<_> = files.iter().filter_map(|file| file.path.split_once('/')).map(|(name, _)| name).collect();
    let mut all = vec![Folder { name: "", entries: Vec::new() }];
    for name in names {
        let at = all.len();
        all[0].entries.push((name, Target::Folder(at)));
        all.push(Folder { name, entries: Vec::new() });
    }
    for (at, file) in files.iter().enumerate() {
        let (folder, name) = match file.path.split_once('/') {
            Some((folder, name)) => (all.iter().position(|f| f.name == folder).unwrap_or(0), name),
            None => (0, file.path),
        };
        all[folder].entries.push((name, Target::File(at)));
    }
    all
}

/// A folder's records, none across the border of two sectors, padded to whole sectors.
fn folder(folders: &[Folder<'_>], at: usize, files: &[File<'_>], places: &Places, kind: Kind) -> Vec<u8> {
    let below =
        |folder: &Folder<'_>| folder.entries.iter().filter(|(_, t)| matches!(t, Target::Folder(_))).count() as u32;
    let rock = |name: Option<&str>, mode: u32, links: u32, root: bool| match kind {
        Kind::Primary => rock_ridge(name, mode, links, root),
        Kind::Joliet => Vec::new(),
    };
    let (here, parent) = (&folders[at], &folders[0]);
    let mut records = vec![
        record(Name::Here, places.folders[at], true, &rock(None, FOLDER_MODE, 2 + below(here), at == 0)),
        record(Name::Parent, places.folders[0], true, &rock(None, FOLDER_MODE, 2 + below(parent), false)),
    ];
    let mut entries: Vec<_> = here
        .entries
        .iter()
        .map(|&(name, target)| {
            let is_folder = matches!(target, Target::Folder(_));
            (identifier(name, is_folder, kind), name, target)
        })
        .collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    for (id, name, target) in entries {
        let (place, mode, links) = match target {
            Target::File(n) => ((places.files[n], files[n].bytes.len()), FILE_MODE, 1),
            Target::Folder(n) => (places.folders[n], FOLDER_MODE, 2 + below(&folders[n])),
        };
        let extra = rock(Some(name), mode, links, false);
        records.push(record(Name::Id(&id), place, matches!(target, Target::Folder(_)), &extra));
    }
    let mut out: Vec<u8> = Vec::new();
    for record in records {
        let left = SECTOR - out.len() % SECTOR;
        if left < record.len() {
            out.resize(out.len() + left, 0);
        }
        out.extend(record);
    }
    out.resize(out.len().next_multiple_of(SECTOR), 0);
    out
}

enum Name<'a> {
    Here,
    Parent,
    Id(&'a [u8]),
}

/// ECMA-119 §9.1.
fn record(name: Name<'_>, (sector, size): (usize, usize), is_folder: bool, extra: &[u8]) -> Vec<u8> {
    let id: &[u8] = match name {
        Name::Here => &[0],
        Name::Parent => &[1],
        Name::Id(id) => id,
    };
    let mut out = vec![0; 33];
    put(&mut out, 2, &both32(sector));
    put(&mut out, 10, &both32(size));
    // Years since 1900, month, day: no clock goes into a seed.
    put(&mut out, 18, &[100, 1, 1]);
    out[25] = if is_folder { 2 } else { 0 };
    put(&mut out, 28, &[1, 0, 0, 1]);
    out[32] = id.len() as u8;
    out.extend(id);
    if out.len() % 2 == 1 {
        out.push(0);
    }
    out.extend(extra);
    if out.len() % 2 == 1 {
        out.push(0);
    }
    debug_assert!(out.len() <= 255, "a name of the seed is too long for one record");
    out[0] = out.len() as u8;
    out
}

/// The name as the file system spells it.
fn identifier(name: &str, is_folder: bool, kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Joliet => {
            let version = if is_folder { "" } else { ";1" };
            name.encode_utf16().chain(version.encode_utf16()).flat_map(u16::to_be_bytes).collect()
        }
        Kind::Primary => {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
            let text: String = match name.rsplit_once('.').filter(|_| !is_folder) {
                Some((stem, end)) => stem.chars().map(plain).chain(['.']).chain(end.chars().map(plain)).collect(),
                None => name.chars().map(plain).collect(),
            };
            let end = if is_folder {
                ""
            } else if text.contains('.') {
                ";1"
            } else {
                ".;1"
            };
            format!("{text}{end}").into_bytes()
        }
    }
}

/// Who, what mode, and the true name.
fn rock_ridge(name: Option<&str>, mode: u32, links: u32, root: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if root {
        out.extend(b"SP\x07\x01\xbe\xef\x00");
    }
    out.extend(b"PX\x24\x01");
    for number in [mode, links, 0, 0] {
        out.extend(both32(number as usize));
    }
    if let Some(name) = name {
        out.extend([b'N', b'M', name.len() as u8 + 5, 1, 0]);
        out.extend(name.as_bytes());
    }
    if root {
        let (id, text) =
            ("RRIP_1991A", "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS");
        out.extend([b'E', b'R', (8 + id.len() + text.len()) as u8, 1, id.len() as u8, text.len() as u8, 0, 1]);
        out.extend(id.bytes().chain(text.bytes()));
    }
    out
}

/// ECMA-119 §9.4: the root, then the folders below it by name.
fn path_table(folders: &[Folder<'_>], places: &Places, kind: Kind, big: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, folder) in folders.iter().enumerate() {
        let id = if at == 0 { vec![0] } else { identifier(folder.name, true, kind) };
        let sector = places.folders[at].0 as u32;
        out.extend([id.len() as u8, 0]);
        out.extend(if big { sector.to_be_bytes() } else { sector.to_le_bytes() });
        out.extend(if big { 1_u16.to_be_bytes() } else { 1_u16.to_le_bytes() });
        out.extend(&id);
        if id.len() % 2 == 1 {
            out.push(0);
        }
    }
    out
}

/// ECMA-119 §8.4 and §8.5.
fn volume(kind: Kind, label: &str, sectors: usize, tables: usize, table_size: usize, root: &[u8]) -> Vec<u8> {
    let mut out = vec![0; SECTOR];
    out[0] = if kind == Kind::Primary { 1 } else { 2 };
    put(&mut out, 1, b"CD001\x01");
    let text = |out: &mut [u8], at: usize, len: usize, text: &str| match kind {
        Kind::Primary => {
            out[at..at + len].fill(b' ');
            put(out, at, text.as_bytes());
        }
        Kind::Joliet => {
            let padded = text.encode_utf16().chain(std::iter::repeat(u16::from(b' '))).flat_map(u16::to_be_bytes);
            for (byte, to) in padded.zip(&mut out[at..at + len / 2 * 2]) {
                *to = byte;
            }
        }
    };
    text(&mut out, 8, 32, "");
    text(&mut out, 40, 32, label);
    put(&mut out, 80, &both32(sectors));
    if kind == Kind::Joliet {
        // UCS-2, level 3.
        put(&mut out, 88, b"%/E");
    }
    put(&mut out, 120, &both16(1));
    put(&mut out, 124, &both16(1));
    put(&mut out, 128, &both16(SECTOR));
    put(&mut out, 132, &both32(table_size));
    put(&mut out, 140, &(tables as u32).to_le_bytes());
    put(&mut out, 148, &(tables as u32 + 1).to_be_bytes());
    put(&mut out, 156, root);
    for (at, len) in [(190, 128), (318, 128), (446, 128), (574, 128), (702, 37), (739, 37), (776, 37)] {
        text(&mut out, at, len, "");
    }
    // Dates: none.
    for at in [813, 830, 847, 864] {
        put(&mut out, at, b"0000000000000000");
    }
    out[881] = 1;
    out
}

/// A number in both orders, ECMA-119 §7.3.3.
fn both32(number: usize) -> [u8; 8] {
    let mut out = [0; 8];
    out[..4].copy_from_slice(&(number as u32).to_le_bytes());
    out[4..].copy_from_slice(&(number as u32).to_be_bytes());
    out
}

/// ECMA-119 §7.2.3.
fn both16(number: usize) -> [u8; 4] {
    let (little, big) = ((number as u16).to_le_bytes(), (number as u16).to_be_bytes());
    [little[0], little[1], big[0], big[1]]
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}
