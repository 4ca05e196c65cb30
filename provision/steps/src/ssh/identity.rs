//! Which keys are offered, and in which order: OpenSSH's. Keys of the files that the agent holds come first, then what
//! else the agent holds, then the other files; certificates before plain keys, and nothing twice, because sshd counts
//! every offer against `MaxAuthTries` (6). What the agent holds, the agent signs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use machine_host::ssh_key::same;
use russh::keys::agent::AgentIdentity;
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey, PublicKey};

use crate::{Diagnostic, Kind, Result};

/// Keys to offer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    /// Key files, best first.
    pub(crate) files: Vec<PathBuf>,
    /// The agent's socket.
    pub(crate) agent: Option<PathBuf>,
    /// The agent only signs for these files; its other keys are not offered.
    pub(crate) only_files: bool,
    /// Missing or unreadable files are passed over (default keys, an ssh config's list).
    pub(crate) lenient: bool,
}

/// One thing to offer.
pub(super) struct Offer {
    pub(super) what: What,
    pub(super) signer: SignedBy,
    /// For people.
    pub(super) label: String,
}

/// A key, or a certificate for it.
pub(super) enum What {
    Key(PublicKey),
    Certificate(Box<Certificate>),
}

/// Who has the private half.
#[derive(Clone)]
pub(super) enum SignedBy {
    /// The agent, asked by this name.
    Agent(Box<AgentIdentity>),
    /// We do.
    File(Arc<PrivateKey>),
}

/// What will be offered, and what cannot be.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) offers: Vec<Offer>,
    /// Why a key is not offered, a sentence each.
    pub(super) held_back: Vec<String>,
}

impl Plan {
    fn add(&mut self, what: What, signer: SignedBy, label: String) {
        let double = |old: &Offer| match (&old.what, &what) {
            (What::Key(a), What::Key(b)) => same(a, b),
            (What::Certificate(a), What::Certificate(b)) => a == b,
            _ => false,
        };
        if !self.offers.iter().any(double) {
            self.offers.push(Offer { what, signer, label });
        }
    }
}

/// Decides what to offer. `agent` is what the agent says it holds.
///
/// # Errors
/// The one file that was named cannot be used.
pub(super) fn plan(identity: &Identity, agent: &[AgentIdentity]) -> Result<Plan> {
    let mut plan = Plan::default();
    let mut files = Vec::new();
    for path in &identity.files {
        match KeyFile::read(path) {
            Ok(file) => files.push(file),
            Err(Unusable::Missing) if identity.lenient => {}
            Err(why) if identity.lenient => plan.held_back.push(format!("{} {why}", path.display())),
            Err(why) => return Err(why.of(path)),
        }
    }
    let held = |file: &KeyFile| -> Option<AgentIdentity> {
        let public = file.public.as_ref()?;
        let holds = |i: &&AgentIdentity| matches!(i, AgentIdentity::PublicKey { key, .. } if same(key, public));
        agent.iter().find(holds).cloned()
    };
    let of_agent = |agent: &AgentIdentity| -> Option<&KeyFile> {
        let key = PublicKey::from(match agent {
            AgentIdentity::PublicKey { key, .. } => key.key_data().clone(),
            AgentIdentity::Certificate { certificate, .. } => certificate.public_key().clone(),
        });
        files.iter().find(|file| file.public.as_ref().is_some_and(|public| same(public, &key)))
    };
    for (named, identity) in agent
        .iter()
        .filter_map(|i| of_agent(i).map(|file| (Some(file), i)))
        .chain(agent.iter().filter(|i| !identity.only_files && of_agent(i).is_none()).map(|i| (None, i)))
    {
        let signer = SignedBy::Agent(Box::new(identity.clone()));
        match identity {
            AgentIdentity::PublicKey { key, comment } => {
                let label = match named {
                    Some(file) => format!("{} (through the agent)", file.path.display()),
                    None => format!("agent key {}{}", key.fingerprint(HashAlg::Sha256), in_brackets(comment)),
                };
                plan.add(What::Key(key.clone()), signer, label);
            }
            AgentIdentity::Certificate { certificate, comment } => {
                let label = format!("agent certificate \"{}\"{}", certificate.key_id(), in_brackets(comment));
                plan.add(What::Certificate(Box::new(certificate.clone())), signer, label);
            }
        }
    }
    for file in files {
        let signer = match (held(&file), &file.private) {
            (Some(agent), _) => SignedBy::Agent(Box::new(agent)),
            (None, Ok(private)) => SignedBy::File(Arc::clone(private)),
            (None, Err(why)) if identity.lenient => {
                plan.held_back.push(format!("{} {why}", file.path.display()));
                continue;
            }
            (None, Err(why)) => return Err(why.clone().of(&file.path)),
        };
        if let Some(certificate) = file.certificate {
            let label = beside(&file.path, "-cert.pub").display().to_string();
            plan.add(What::Certificate(Box::new(certificate)), signer.clone(), label);
        }
        if let Some(public) = file.public {
            plan.add(What::Key(public), signer, file.path.display().to_string());
        }
    }
    plan.offers.sort_by_key(|offer| matches!(offer.what, What::Key(_)));
    Ok(plan)
}

fn in_brackets(comment: &str) -> String {
    if comment.is_empty() { String::new() } else { format!(" ({comment})") }
}

/// A key file as found.
struct KeyFile {
    path: PathBuf,
    /// The private half, or why we cannot sign with it ourselves.
    private: std::result::Result<Arc<PrivateKey>, Unusable>,
    /// Known also of a key with a passphrase: OpenSSH's format has it inside, others in `FILE.pub`.
    public: Option<PublicKey>,
    /// `FILE-cert.pub`.
    certificate: Option<Certificate>,
}

/// Why a key file is of no use by itself.
#[derive(Debug, Clone)]
enum Unusable {
    Missing,
    Passphrase,
    LineEnds,
    SecurityKey,
    PublicHalf,
    Other(String),
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "does not exist",
            Self::Passphrase => "has a passphrase and is not open in the agent",
            Self::LineEnds => "has Windows line ends, which OpenSSH does not read",
            Self::SecurityKey => "needs its security key, which the user's OpenSSH alone asks",
            Self::PublicHalf => "is a public key, whose private half is not in the agent",
            Self::Other(why) => return write!(f, "cannot be used: {why}"),
        })
    }
}

impl Unusable {
    /// For the one file that was named.
    fn of(self, path: &Path) -> Diagnostic {
        let name = path.display();
        let cannot = |why: &str| Diagnostic::new(Kind::Denied, format!("SSH key {name} cannot be used")).cause(why);
        match self {
            Self::Passphrase => Diagnostic::new(Kind::Denied, format!("SSH key {name} has a passphrase"))
                .hint(format!("open it in your agent: `ssh-add {name}`, then run the command again")),
            Self::LineEnds => cannot("it has Windows line ends, which OpenSSH does not read")
                .hint(format!("make it a file that ssh reads, too: sed -i 's/\\r$//' '{name}'")),
            Self::SecurityKey => cannot("it needs its security key, which the user's OpenSSH alone asks")
                .hint("add --generic-ssh-transport openssh"),
            Self::Other(why) => {
                cannot(&why).hint("give a private key in OpenSSH, PKCS#8 or PEM form that you may read")
            }
            Self::Missing => cannot("it does not exist"),
            Self::PublicHalf => {
                cannot("it is a public key, whose private half is not in the agent").hint("name the private one")
            }
        }
    }
}

impl KeyFile {
    fn read(path: &Path) -> std::result::Result<Self, Unusable> {
        let text = match machine_base::files::read_text(path, machine_base::files::SMALL) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(Unusable::Missing),
            Err(e) => return Err(Unusable::Other(e.to_string())),
        };
        let beside_it = |end| machine_base::files::read_text(&beside(path, end), machine_base::files::SMALL).ok();
        let mut public = beside_it(".pub").and_then(|text| PublicKey::from_openssh(text.trim()).ok());
        let private = if text.contains('\r') {
            return Err(Unusable::LineEnds);
        } else if let Ok(key) = PublicKey::from_openssh(text.trim()) {
            // As with ssh, a config may name the public half of a key that the agent holds.
            public = Some(key);
            Err(Unusable::PublicHalf)
        } else {
            if let Ok(key) = PrivateKey::from_openssh(&text) {
                public = Some(key.public_key().clone());
            }
            match russh::keys::decode_secret_key(&text, None) {
                Ok(key) if is_security_key(&key.algorithm()) => Err(Unusable::SecurityKey),
                Ok(key) => {
                    public = Some(key.public_key().clone());
                    Ok(Arc::new(key))
                }
                Err(russh::keys::Error::KeyIsEncrypted) => Err(Unusable::Passphrase),
                Err(e) if public.is_none() => return Err(Unusable::Other(e.to_string())),
                Err(e) => Err(Unusable::Other(e.to_string())),
            }
        };
        let certificate = beside_it("-cert.pub").and_then(|text| Certificate::from_openssh(text.trim()).ok());
        let certificate = certificate
            .filter(|c| public.as_ref().is_some_and(|public| same(public, &PublicKey::from(c.public_key().clone()))));
        Ok(Self { path: path.to_owned(), private, public, certificate })
    }
}

/// Whether a key file is one that only the user's OpenSSH can use: it lives in a security key (FIDO).
pub(crate) fn needs_openssh(path: &Path) -> bool {
    let text = machine_base::files::read_text(path, machine_base::files::SMALL).unwrap_or_default();
    PrivateKey::from_openssh(&text).is_ok_and(|key| is_security_key(&key.algorithm()))
}

fn is_security_key(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256)
}

/// `FILE.pub` of `FILE`, whatever dots it has.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use machine_base::files::{Mode, write};
    use russh::keys::key::safe_rng;
    use russh::keys::ssh_key::LineEnding;
    use russh::keys::ssh_key::private::{KeypairData, SkEd25519};
    use russh::keys::ssh_key::public::{self, Ed25519PublicKey};

    use super::*;

    fn key() -> PrivateKey {
        PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()
    }

    fn file(dir: &Path, name: &str, key: &PrivateKey) -> PathBuf {
        let path = dir.join(name);
        write(&path, key.to_openssh(LineEnding::LF).unwrap().as_bytes(), Mode::Private).unwrap();
        path
    }

    fn held(key: &PrivateKey, comment: &str) -> AgentIdentity {
        AgentIdentity::PublicKey { key: key.public_key().clone(), comment: comment.to_owned() }
    }

    #[test]
    fn s8_keys_that_the_agent_holds_come_first_and_nothing_twice() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c, d] = [key(), key(), key(), key()];
        let files = vec![file(dir.path(), "a", &a), file(dir.path(), "b", &b), file(dir.path(), "b.again", &b)];
        let agent = [held(&c, "c"), held(&b, "b"), held(&d, ""), held(&b, "b")];
        let identity = Identity { files: files.clone(), lenient: true, ..Identity::default() };
        let labels = |identity: &Identity| -> Vec<String> {
            plan(identity, &agent).unwrap().offers.into_iter().map(|offer| offer.label).collect()
        };
        let print = |key: &PrivateKey| key.public_key().fingerprint(HashAlg::Sha256);
        let through = format!("{} (through the agent)", files[1].display());
        let own = files[0].display().to_string();
        let (c, d) = (format!("agent key {} (c)", print(&c)), format!("agent key {}", print(&d)));
        assert_eq!(labels(&identity), [through.as_str(), &c, &d, &own]);
        assert_eq!(labels(&Identity { only_files: true, ..identity }), [through.as_str(), &own], "IdentitiesOnly");
    }

    #[test]
    fn s11_a_key_in_a_security_key_is_for_openssh() {
        let dir = tempfile::tempdir().unwrap();
        let public = public::SkEd25519::new(Ed25519PublicKey([7; 32]), "ssh:");
        let private = KeypairData::SkEd25519(SkEd25519::new(public, 1, vec![1, 2, 3]).unwrap());
        let path = file(dir.path(), "id_ed25519_sk", &PrivateKey::new(private, "").unwrap());
        assert!(needs_openssh(&path));
        assert!(!needs_openssh(&file(dir.path(), "id", &key())) && !needs_openssh(&dir.path().join("none")));
        let mut identity = Identity { files: vec![path], lenient: true, ..Identity::default() };
        assert!(plan(&identity, &[]).unwrap().held_back[0].contains("needs its security key"));
        identity.lenient = false;
        let error = plan(&identity, &[]).err().unwrap();
        assert_eq!(error.hint.as_deref(), Some("add --generic-ssh-transport openssh"));
    }
}
