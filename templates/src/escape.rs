//! How each kind of file quotes a value. One `Escaper` a kind, chosen by extension in `askama.toml`.
//!
//! A value must reach its escaper whole: holes are strings and whole numbers, which askama writes in one piece.

use std::fmt::{Error, Result, Write};

use askama::filters::Escaper;

/// Why values of this kind of file are refused, for the error text.
pub(crate) fn refusal(file: &str) -> &'static str {
    match file.rsplit('.').next() {
        Some("bat") => r#"cmd has no quoting for % ! " & | < > ^ and control characters"#,
        Some("ps1") => "Invoke-Expression takes one line at a time, and a line break would end it",
        Some("csh") => "tcsh expands braces in what a command writes, whatever quotes are around them",
        Some("ssh_config") => "ssh_config has no quoting for double quotes, ${ and control characters",
        _ => "it holds a NUL character",
    }
}

fn refuse(bad: bool) -> Result {
    if bad { Err(Error) } else { Ok(()) }
}

/// POSIX shells: single quotes hold anything but themselves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sh;

impl Escaper for Sh {
    fn write_escaped_str<W: Write>(&self, mut out: W, value: &str) -> Result {
        refuse(value.contains('\0'))?;
        write!(out, "'{}'", apart(&value.replace('\'', r"'\''")))
    }
}

/// Blanks side by side, inside single quotes, with an empty quotation between them: `eval $(…)` takes the text apart at blanks
/// and puts it together again with one.
fn apart(quoted: &str) -> String {
    let mut out = String::with_capacity(quoted.len());
    for c in quoted.chars() {
        if c == ' ' && out.ends_with(' ') {
            out.push_str("''");
        }
        out.push(c);
    }
    out
}

/// fish: single quotes, in which a backslash escapes itself and the quote.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fish;

impl Escaper for Fish {
    fn write_escaped_str<W: Write>(&self, mut out: W, value: &str) -> Result {
        refuse(value.contains('\0'))?;
        write!(out, "'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
    }
}

/// PowerShell: single quotes, doubled inside; the typographic ones count as well.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PowerShell;

impl Escaper for PowerShell {
    fn write_escaped_str<W: Write>(&self, mut out: W, value: &str) -> Result {
        refuse(value.contains(['\0', '\n', '\r']))?;
        out.write_char('\'')?;
        for c in value.chars() {
            if matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}') {
                out.write_char(c)?;
            }
            out.write_char(c)?;
        }
        out.write_char('\'')
    }
}

/// cmd: `SET K=V` takes the rest of the line as it is, so what cmd would read for itself is refused.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cmd;

impl Escaper for Cmd {
    fn write_escaped_str<W: Write>(&self, mut out: W, value: &str) -> Result {
        refuse(value.contains(['%', '!', '"', '&', '|', '<', '>', '^']) || value.contains(char::is_control))?;
        out.write_str(value)
    }
}

/// csh and tcsh: single quotes; history (`!`) and line breaks want a backslash even there. Braces are refused: in what a
/// command wrote (``eval `…` ``) they are expanded before any quote counts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tcsh;

impl Escaper for Tcsh {
    fn write_escaped_str<W: Write>(&self, mut out: W, value: &str) -> Result {
        refuse(value.contains(['\0', '{', '}']))?;
        let quoted = value.replace('\'', r"'\''").replace('!', r"\!").replace('\n', "\\\n");
        write!(out, "'{}'", apart(&quoted))
    }
}

/// Emacs Lisp strings.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Emacs;

impl Escaper for Emacs {
    fn write_escaped_str<W: Write>(&self, mut out: W, value: &str) -> Result {
        refuse(value.contains('\0'))?;
        write!(out, "\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
    }
}

/// Nushell's data notation: double quotes with C-like escapes; nothing is interpolated.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Nuon;

impl Escaper for Nuon {
    fn write_escaped_str<W: Write>(&self, mut out: W, value: &str) -> Result {
        refuse(value.contains('\0'))?;
        let value = value.replace('\\', r"\\").replace('"', "\\\"");
        write!(out, "\"{}\"", value.replace('\n', r"\n").replace('\r', r"\r").replace('\t', r"\t"))
    }
}

/// systemd, for one quoted word of `Environment=` or `Exec…=`: C-like escapes, and `%` starts a specifier.
/// `$` is plain in `Environment=`; what goes into a command line doubles it first (`host::AdoptDropIn`).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Systemd;

impl Escaper for Systemd {
    fn write_escaped_str<W: Write>(&self, mut out: W, value: &str) -> Result {
        refuse(value.contains('\0'))?;
        out.write_char('"')?;
        for c in value.chars() {
            match c {
                '"' => out.write_str("\\\"")?,
                '\\' => out.write_str(r"\\")?,
                '%' => out.write_str("%%")?,
                '\n' => out.write_str(r"\n")?,
                '\t' => out.write_str(r"\t")?,
                c if c.is_ascii_control() => write!(out, r"\x{:02x}", u32::from(c))?,
                c => out.write_char(c)?,
            }
        }
        out.write_char('"')
    }
}

/// systemd, for a value in an `EnvironmentFile=`: double quotes, in which a backslash escapes what a shell would read
/// (systemd.exec(5)). Nothing else is special, a line break included.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemdEnv;

impl Escaper for SystemdEnv {
    fn write_escaped_str<W: Write>(&self, mut out: W, value: &str) -> Result {
        refuse(value.contains('\0'))?;
        out.write_char('"')?;
        for c in value.chars() {
            if matches!(c, '"' | '\\' | '`' | '$') {
                out.write_char('\\')?;
            }
            out.write_char(c)?;
        }
        out.write_char('"')
    }
}

/// ssh_config: bare where it can be, else double quotes. `%` starts a token; in quotes a backslash escapes only a
/// quote and itself (`argv_split` in OpenSSH's misc.c), so it is doubled only before those and at the end.
/// `${` is expanded in paths and cannot be escaped.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SshConfig;

impl Escaper for SshConfig {
    fn write_escaped_str<W: Write>(&self, mut out: W, value: &str) -> Result {
        refuse(value.contains('"') || value.contains("${") || value.contains(char::is_control))?;
        let plain = |c: char| c.is_alphanumeric() || "_./:@+,-[]".contains(c);
        if !value.is_empty() && value.chars().all(plain) {
            return out.write_str(value);
        }
        out.write_char('"')?;
        let mut chars = value.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '%' => out.write_str("%%")?,
                '\\' if matches!(chars.peek(), None | Some('\\' | '\'')) => out.write_str(r"\\")?,
                c => out.write_char(c)?,
            }
        }
        out.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(escaper: impl Escaper, value: &str) -> Option<String> {
        let mut out = String::new();
        escaper.write_escaped_str(&mut out, value).ok().map(|()| out)
    }

    #[test]
    fn what_has_no_quoting_is_refused() {
        for bad in ["100%", "a\"b", "a\nb", "a&b", "a^b", "a!b!"] {
            assert_eq!(quoted(Cmd, bad), None, "{bad:?}");
        }
        assert_eq!(quoted(Cmd, r"C:\Users\a b").as_deref(), Some(r"C:\Users\a b"));
        assert_eq!(quoted(SshConfig, "a\nProxyCommand evil"), None);
        assert_eq!(quoted(SshConfig, "/home/${USER}/k"), None);
        assert_eq!(quoted(PowerShell, "a\nb"), None);
        for value in [quoted(Sh, "a\0b"), quoted(Systemd, "a\0b"), quoted(Fish, "\0")] {
            assert_eq!(value, None);
        }
    }

    #[test]
    fn typographic_quotes_cannot_end_a_powershell_string() {
        assert_eq!(quoted(PowerShell, "a\u{2019}; evil").as_deref(), Some("'a\u{2019}\u{2019}; evil'"));
    }

    #[test]
    fn a_windows_path_survives_ssh_config() {
        assert_eq!(quoted(SshConfig, r"C:\Users\a b\id").as_deref(), Some(r#""C:\Users\a b\id""#));
        assert_eq!(quoted(SshConfig, r"\\srv\k\").as_deref(), Some(r#""\\\srv\k\\""#));
    }
}
