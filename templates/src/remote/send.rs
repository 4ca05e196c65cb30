//! How a script travels: over stdin, in a form that only our shell runs, and only whole. Main function: [`send`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How the login user becomes root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// It is root.
    Root,
    /// By `sudo -n`, which never asks.
    Sudo,
}

/// What a shell says and ends with that is not ours but reads what was sent to ours: the first and last line of it.
const GUARD: &str = "exit 97";
/// The code that says so.
pub const NOT_OUR_SHELL: u32 = 97;
/// The first line of a script's output: it tells it from what a login shell's start-up files print, and that our shell
/// has the whole script. Before it is there no data may be sent, least of all a secret.
pub const BEGINS: &str = "machine-script-begins";

/// A script on its way to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The command line to run there.
    pub command: String,
    /// What goes first over its stdin; the script's data follows.
    pub bytes: Vec<u8>,
}

/// Packs a script so that it runs as root, under whatever login shell the user has (csh and fish included: the command
/// holds no character that two shells read differently), and never in a process's argv.
///
/// A start-up file may `exec` another shell, which then reads our stdin as commands, as root; or read a part of it. So
/// what is sent begins with a line that ends any shell, is base64 in between, which is no command of anybody's, and
/// ends with that line again: our own shell runs nothing unless it has both.
pub fn send(script: &str, privilege: Privilege) -> Sent {
    let sudo = match privilege {
        Privilege::Root => "",
        Privilege::Sudo => "sudo -n -- ",
    };
    let text = STANDARD.encode(format!("echo {BEGINS}\n{script}"));
    let bytes = format!("{GUARD}\n{text}\n{GUARD}\n").into_bytes();
    let length = bytes.len();
    // `head -c` may read ahead (the coreutils of Ubuntu 25.10 do); `dd` with one full block never does.
    let command = format!(
        "{sudo}sh -c 's=$(dd bs={length} count=1 iflag=fullblock status=none); \
         case $s in \"{GUARD}\"*\"{GUARD}\") s=${{s#{GUARD}}}; eval \"$(echo \"${{s%{GUARD}}}\" | base64 -d)\";; \
         *) exit {NOT_OUR_SHELL};; esac'"
    );
    Sent { command, bytes }
}
