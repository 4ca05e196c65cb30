use std::os::unix::fs::PermissionsExt;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn modes_are_exact_and_replacing_narrows_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    write(&path, "one", Mode::Public).unwrap();
    assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o644, b"one".to_vec()));
    write(&path, "two", Mode::Private).unwrap();
    assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, b"two".to_vec()));
    assert_eq!(names(folder.path()), ["f"]);
}

#[test]
fn a7_only_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    for path in [&pipe, Path::new("/dev/zero"), folder.path()] {
        assert_eq!(read(path, SMALL).unwrap_err().kind(), ErrorKind::InvalidInput, "{}", path.display());
    }
    assert_eq!(read(&folder.path().join("none"), SMALL).unwrap_err().kind(), ErrorKind::NotFound);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/proc/self/status", &link).unwrap();
    assert!(read_text(&link, SMALL).unwrap().starts_with("Name:"), "a file has no size there, and is one");
}

#[test]
fn files_of_every_size_are_read_whole_and_from_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for size in [0_usize, 1, 99, 100, 101, 307] {
        let bytes: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
        write(&path, &bytes, Mode::Private).unwrap();
        assert_eq!(read(&path, SMALL).unwrap(), bytes, "{size} bytes");
        let (end, all) = read_end(&path, 100).unwrap();
        assert_eq!(end, bytes[size.saturating_sub(100)..], "{size} bytes");
        assert_eq!(all, size <= 100, "{size} bytes");
    }
}

#[test]
fn a3_no_more_is_read_than_fits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, "12345", Mode::Private).unwrap();
    assert_eq!(read(&path, 5).unwrap(), b"12345");
    assert_eq!(read(&path, 4).unwrap_err().kind(), ErrorKind::FileTooLarge);
    write(&path, b"\xff", Mode::Private).unwrap();
    assert_eq!(read_text(&path, 5).unwrap_err().kind(), ErrorKind::InvalidData);
    // The system makes some up as they are read, and says that they have nothing in them.
    if cfg!(target_os = "linux") {
        let about_us = read_text(Path::new("/proc/self/status"), SMALL).unwrap();
        assert!(about_us.starts_with("Name:") && about_us.ends_with('\n'));
    }
    // A hole of a terabyte costs what is read of it.
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(read(&path, 1000).unwrap_err().kind(), ErrorKind::FileTooLarge);
}

#[test]
fn temporary_files_of_the_dead_are_removed_and_those_of_the_living_kept() {
    let folder = tempfile::tempdir().unwrap();
    let dead = folder.path().join(".tmp-dead");
    let living = folder.path().join(".tmp-living");
    File::create(&dead).unwrap();
    let holder = File::create(&living).unwrap();
    holder.lock().unwrap();
    write(&folder.path().join("f"), "x", Mode::Private).unwrap();
    assert_eq!(names(folder.path()), [".tmp-living", "f"]);
}

#[test]
fn many_writers_of_one_file_never_fail_and_leave_one_whole_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..20 {
                    write(path, format!("{writer}").repeat(10_000), Mode::Private).unwrap();
                }
            });
        }
    });
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, text[..1].repeat(10_000));
    assert_eq!(names(folder.path()), ["f"]);
}

#[test]
fn errors_name_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let error = write(&folder.path().join("no/f"), "x", Mode::Private).unwrap_err();
    assert!(error.to_string().starts_with("cannot write /") && error.to_string().ends_with("no/f"), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "No such file or directory (os error 2)");
}

#[test]
fn private_folders_are_0700_all_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b/c");
    create_dir_private(&deep).unwrap();
    create_dir_private(&deep).unwrap();
    for path in [&deep, &folder.path().join("a/b"), &folder.path().join("a")] {
        assert_eq!(mode(path), 0o700);
    }
    File::create(folder.path().join("file")).unwrap();
    assert!(create_dir_private(&folder.path().join("file")).is_err());
}
