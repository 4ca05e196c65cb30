//! What the settings of clouds have in common, and the refusals of those that cannot work.

use std::path::Path;

use machine_base::{Diagnostic, Kind, Result};
use machine_driver::Context;

/// What was asked for cannot work.
pub fn refuse(message: impl Into<String>, hint: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Kind::Usage, message).hint(hint)
}

/// An API's URL without a slash at its end. The credential goes there: plain HTTP only on this computer.
///
/// # Errors
/// It is no such URL; `usual` is the one to be named then.
pub fn api_url(text: &str, usual: &str) -> Result<String> {
    let bad = || refuse(format!("{text:?} is not a URL of an API"), format!("the usual one is {usual}"));
    let url = reqwest::Url::parse(text).map_err(|_| bad())?;
    let host = url.host_str().ok_or_else(bad)?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(bad());
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(host) => {}
        "http" => {
            return Err(refuse(
                format!("{text} would send the access token in the clear"),
                "use https, or http on this computer only",
            ));
        }
        _ => return Err(bad()),
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// This computer's own address or name.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An address that no router leads to, as that of a cloud's metadata.
pub(crate) fn is_link_local(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_link_local())
}

/// A file of the user's, as it is kept in a record.
///
/// # Errors
/// The shell has left a `~` in it, or it is not Unicode.
pub fn absolute_path(path: &str, working_dir: &Path) -> Result<String> {
    if let Some(rest) = path.strip_prefix("~/") {
        return Err(refuse(format!("the shell left {path:?} as it is"), format!("write \"$HOME/{rest}\" instead")));
    }
    let absolute = working_dir.join(path).into_os_string().into_string();
    absolute.map_err(|path| Diagnostic::new(Kind::Usage, format!("the path is not Unicode: {}", path.display())))
}

/// Part of a URL's path: nothing that could end it.
///
/// # Errors
/// It is no UUID or the like; `look` says where one is found.
pub fn path_segment<'t>(text: &'t str, look: &str) -> Result<&'t str> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Ok(text);
    }
    Err(refuse(format!("{text:?} is not a UUID"), look))
}

/// Our seed merged with the user's own file, refused over the provider's limit. `flag` is the one that names the file.
///
/// # Errors
/// The file cannot be read, the two cannot be merged, or it is too long.
pub fn user_data(cx: &Context, user: &str, file: Option<&str>, flag: &str, limit: usize) -> Result<String> {
    let read = |path: &str| {
        machine_base::files::read_text(Path::new(path), machine_base::files::SMALL).map_err(|e| {
            Diagnostic::new(Kind::Usage, format!("cannot read the user-data \"{path}\""))
                .caused_by(&e)
                .hint(format!("name a text file with {flag}"))
        })
    };
    let own = file.map(read).transpose()?;
    cx.user_data(user, own.as_deref(), limit)
}

/// A file of the user's that a flag names; `what` is in it.
///
/// # Errors
/// It cannot be read, or is too long to be that.
pub fn read_file(path: &str, what: &str, flag: &str) -> Result<Vec<u8>> {
    machine_base::files::read(Path::new(path), machine_base::files::SMALL).map_err(|e| {
        Diagnostic::new(Kind::Usage, format!("cannot read {what} \"{path}\""))
            .caused_by(&e)
            .hint(format!("name the file with {flag}"))
    })
}

/// Those with the longest common start, at most eight, in their own order.
pub fn nearest<'a>(wanted: &str, all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let common = |text: &str| text.chars().zip(wanted.chars()).take_while(|(a, b)| a == b).count();
    let mut all: Vec<&str> = all.collect();
    all.sort_by_key(|text| std::cmp::Reverse(common(text)));
    all.truncate(8);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_sent_in_the_clear_to_this_computer_only() {
        let checked = |text: &str| api_url(text, "https://api.example.com");
        assert_eq!(checked("https://api.example.com/").unwrap(), "https://api.example.com");
        assert_eq!(checked("http://127.0.0.1:8080").unwrap(), "http://127.0.0.1:8080");
        assert_eq!(checked("http://[::1]:8080/v2/").unwrap(), "http://[::1]:8080/v2");
        assert!(checked("http://api.example.com").unwrap_err().message.contains("in the clear"));
        for bad in ["", "api.example.com", "ftp://x", "https://me:pw@x", "https://x/?a=b", "https://x/#a"] {
            assert!(checked(bad).unwrap_err().hint.unwrap().contains("https://api.example.com"), "{bad}");
        }
    }

    #[test]
    fn near_names_come_first() {
        assert_eq!(
            nearest("debian-12-x64", ["fedora-43-x64", "debian-13-x64"].into_iter()),
            ["debian-13-x64", "fedora-43-x64"]
        );
    }

    #[test]
    fn files_are_absolute_and_segments_end_nothing() {
        assert_eq!(absolute_path("a.yaml", Path::new("/home/me")).unwrap(), "/home/me/a.yaml");
        assert!(absolute_path("~/a", Path::new("/")).unwrap_err().hint.unwrap().contains("$HOME/a"));
        assert!(path_segment("0c0a2b6e-0000", "look").is_ok());
        assert!(path_segment("a/b", "look").is_err() && path_segment("", "look").is_err());
    }
}
