//! Folders of this computer in a VM, by 9p.

use machine_driver::{Mount, Share, Sharing};
use machine_guest::ShareKind;
use sha2::{Digest as _, Sha256};

use crate::driver::Qemu;
use crate::settings::Settings;

/// The name under which QEMU offers a share: the same as long as it is the same share. 9p has room for 31 bytes.
pub(crate) fn tag(share: &Share) -> String {
    let name = hex::encode(Sha256::digest(share.to_string()));
    format!("machine-{}", &name[..20])
}

/// The guest's side of it.
pub(crate) fn in_guest(share: &Share) -> machine_guest::Share {
    machine_guest::Share {
        tag: tag(share),
        target: share.to.clone(),
        read_only: share.read_only,
        kind: ShareKind::NineP,
    }
}

impl Sharing for Qemu {
    fn shares<'s>(&self, s: &'s Settings) -> &'s [Share] {
        &s.vm.shares
    }

    fn shares_mut<'s>(&self, s: &'s mut Settings) -> &'s mut Vec<Share> {
        &mut s.vm.shares
    }

    fn mount(&self, share: &Share) -> Mount {
        Mount { tag: tag(share), line: in_guest(share).fields().join(" ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_share_leaves_no_trace_in_what_is_stored() {
        use machine_driver::{AnyDriver, InProcess, Typed};
        let driver: &dyn AnyDriver = &InProcess::new(Qemu::new());
        let typed = Typed { args: vec!["--qemu-share=/a:/b".to_owned()], dir: "/".into(), ..Typed::default() };
        let mut stored = driver.configure(typed).await.unwrap();
        stored["later"] = "of another version".into();
        assert_eq!(driver.shares(&stored).await.unwrap(), ["/a:/b".parse().unwrap()]);
        let stored = driver.with_shares(&stored, Vec::new()).await.unwrap();
        assert_eq!(driver.shares(&stored).await.unwrap(), []);
        assert_eq!((stored.get("share"), stored["memory"].as_u64()), (None, Some(2048)));
        assert_eq!(stored["later"], "of another version");
    }

    #[test]
    fn a_tag_is_the_shares_own_and_fits() {
        let tag = |text: &str| tag(&text.parse().unwrap());
        assert_eq!(tag("/a:/b"), tag("/a:/b"));
        for other in ["/a:/c", "/c:/b", "/a:/b:ro"] {
            assert_ne!(tag("/a:/b"), tag(other));
        }
        assert!(tag("/a:/b").len() < 32, "{}", tag("/a:/b"));
    }
}
