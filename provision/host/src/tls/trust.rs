//! Whom a machine's clients trust, so that no host can pose as another: a CA that signs for this machine and nothing else.
//!
//! `ca.pem` in the machine's folder holds one certificate, or, while the trust changes hands, the new one and behind it
//! those before: an engine that still shows its old certificate is believed as well as one that has the new one. Once the
//! new one has answered, [`Trust::settle`] leaves it alone. `ca-key.pem` is written before `ca.pem`, so a key that is not the
//! first certificate's is one whose certificate was still to be written.

use machine_base::files::{self, Mode};
use time::OffsetDateTime;

use super::{
    CertInfo, Signer, ca_params, certificate::pem_blocks, ensure_key, failed, generate, load_key, named, read_if_there,
};
use crate::error::{Error, Result};
use crate::paths::MachinePaths;
use crate::secrets::Secret;
use crate::spec::TlsKey;

/// Whom a machine's clients trust now.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Certificates, the one that is to stay first.
    certs: Vec<String>,
    /// The key of the machine's own CA.
    key: Option<Secret>,
}

/// Reads whom a machine's clients trust; nobody, before there are certificates.
pub fn trust(paths: &MachinePaths) -> Result<Trust> {
    let certs = read_if_there(&paths.ca_cert())?.map(|text| pem_blocks(&text)).unwrap_or_default();
    Ok(Trust { certs, key: read_if_there(&paths.ca_key())?.map(Secret::new) })
}

impl Trust {
    /// The certificate that is to stay.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.certs.first().map(String::as_str)
    }

    /// Whether another one is trusted as well, until the engine has shown its new certificate.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.certs.len() > 1
    }

    /// Whether there is a CA of the machine's own, or the beginnings of one.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.key.is_some()
    }

    /// The machine's own CA; made where there is none, or `anew` is asked for and no change is under way yet.
    ///
    /// # Errors
    /// A file that is not what it should be, or cannot be written.
    pub fn own(mut self, paths: &MachinePaths, machine_id: &str, key_type: TlsKey, anew: bool) -> Result<Signer> {
        let whole = match (&self.key, self.first()) {
            (Some(key), Some(cert)) => {
                let key = load_key(key).map_err(|error| named(error, &paths.ca_key()))?;
                let info = CertInfo::parse(cert).map_err(|error| named(error, &paths.ca_cert()))?;
                info.fits(&key) && info.check_time(OffsetDateTime::now_utc()).is_ok()
            }
            _ => false,
        };
        if let (true, Some(key), Some(cert)) = (whole && (!anew || self.is_changing()), &self.key, self.first()) {
            return Ok(Signer { cert_pem: cert.to_owned(), key_pem: key.clone() });
        }
        if whole {
            files::write(&paths.ca_key(), Secret::new(generate(key_type)?.serialize_pem()).expose(), Mode::Private)?;
        }
        let key = ensure_key(&paths.ca_key(), key_type)?;
        let cert = ca_params(machine_id).self_signed(&key).map_err(failed("the machine's CA certificate"))?.pem();
        self.put_first(paths, cert.clone())?;
        Ok(Signer { cert_pem: cert, key_pem: Secret::new(key.serialize_pem()) })
    }

    /// Trusts a CA that is not the machine's own: the user's. Answers whether that is new.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn others(mut self, paths: &MachinePaths, cert_pem: &str) -> Result<bool> {
        // Before the certificate: a key without its certificate would look like the beginnings of an own one.
        let had_own = self.key.is_some();
        if had_own {
            std::fs::remove_file(paths.ca_key()).map_err(Error::io("delete", &paths.ca_key()))?;
        }
        let same = |a: &str, b: &str| a.trim() == b.trim();
        if self.first().is_some_and(|first| same(first, cert_pem)) {
            return Ok(had_own);
        }
        self.put_first(paths, cert_pem.to_owned())?;
        Ok(true)
    }

    /// The engine has answered under the first certificate: nobody else is trusted any more. Answers whether that is new.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn settle(self, paths: &MachinePaths) -> Result<bool> {
        match self.first().filter(|_| self.is_changing()) {
            Some(first) => files::write(&paths.ca_cert(), first, Mode::Private).map(|()| true).map_err(Into::into),
            None => Ok(false),
        }
    }

    fn put_first(&mut self, paths: &MachinePaths, mut cert: String) -> Result<()> {
        if !cert.ends_with('\n') {
            cert.push('\n');
        }
        self.certs.retain(|other| other.trim() != cert.trim());
        self.certs.insert(0, cert);
        Ok(files::write(&paths.ca_cert(), self.certs.concat(), Mode::Private)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::tls::{issue_server, verify_chain};

    fn folder() -> (tempfile::TempDir, MachinePaths) {
        let dir = tempfile::tempdir().unwrap();
        let paths = MachinePaths::new(dir.path());
        (dir, paths)
    }

    #[test]
    fn a1_each_machine_has_a_ca_of_its_own() {
        let ((_x, x), (_y, y)) = (folder(), folder());
        let of_x = trust(&x).unwrap().own(&x, "id-x", TlsKey::Ecdsa, false).unwrap();
        let of_y = trust(&y).unwrap().own(&y, "id-y", TlsKey::Ecdsa, false).unwrap();
        let server = issue_server(&of_x, &[], TlsKey::Ecdsa).unwrap();
        verify_chain(&server.cert_pem, trust(&x).unwrap().first().unwrap()).unwrap();
        verify_chain(&server.cert_pem, &of_y.cert_pem).unwrap_err();
        assert!(CertInfo::parse(&of_x.cert_pem).unwrap().subject.contains("id-x"));
        let again = trust(&x).unwrap().own(&x, "id-x", TlsKey::Ecdsa, false).unwrap();
        assert_eq!(again.cert_pem, of_x.cert_pem);
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(x.ca_key()).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a1_both_are_trusted_until_the_new_one_has_answered() {
        let (_dir, paths) = folder();
        let now = || trust(&paths).unwrap();
        let old = now().own(&paths, "id", TlsKey::Ecdsa, false).unwrap();
        let new = now().own(&paths, "id", TlsKey::Ecdsa, true).unwrap();
        assert_ne!(new.cert_pem, old.cert_pem);
        assert!(now().is_changing());
        assert_eq!(now().certs, [new.cert_pem.clone(), old.cert_pem]);
        // Asked for again, the change that is under way goes on.
        assert_eq!(now().own(&paths, "id", TlsKey::Ecdsa, true).unwrap().cert_pem, new.cert_pem);
        assert!(now().settle(&paths).unwrap());
        assert!(!now().settle(&paths).unwrap());
        assert_eq!(now().certs, [new.cert_pem]);
    }

    #[test]
    fn a1_a_kill_between_key_and_certificate_is_gone_on_from() {
        let (_dir, paths) = folder();
        let old = trust(&paths).unwrap().own(&paths, "id", TlsKey::Ecdsa, false).unwrap();
        let key = generate(TlsKey::Ecdsa).unwrap().serialize_pem();
        files::write(&paths.ca_key(), &key, Mode::Private).unwrap();
        for anew in [false, true] {
            let new = trust(&paths).unwrap().own(&paths, "id", TlsKey::Ecdsa, anew).unwrap();
            assert_eq!(std::fs::read_to_string(paths.ca_key()).unwrap(), key);
            assert_eq!(trust(&paths).unwrap().certs, [new.cert_pem, old.cert_pem.clone()]);
        }
    }

    #[test]
    fn a1_the_stores_ca_gives_way_to_an_own_one_and_that_to_the_users() {
        let (dir, paths) = folder();
        let ca = Store::open_or_create(dir.path().join("s")).unwrap().ensure_ca(TlsKey::Ecdsa).unwrap();
        files::write(&paths.ca_cert(), &ca.cert_pem, Mode::Private).unwrap();
        assert!(!trust(&paths).unwrap().is_own());
        let own = trust(&paths).unwrap().own(&paths, "id", TlsKey::Ecdsa, false).unwrap();
        assert_eq!(trust(&paths).unwrap().certs, [own.cert_pem.clone(), ca.cert_pem.clone()]);
        trust(&paths).unwrap().settle(&paths).unwrap();
        assert!(trust(&paths).unwrap().others(&paths, &ca.cert_pem).unwrap());
        assert!(!trust(&paths).unwrap().is_own());
        assert_eq!(trust(&paths).unwrap().certs, [ca.cert_pem.clone(), own.cert_pem]);
        assert!(!trust(&paths).unwrap().others(&paths, &ca.cert_pem).unwrap());
    }
}
