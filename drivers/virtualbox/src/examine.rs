//! What this computer has of what VMs need, for `machine doctor`. Main item: [`examine`].

use std::path::Path;

use machine_driver::Finding;

use crate::check::old;
use crate::manage::Manage;
use crate::output;
use crate::timing::Timing;
use crate::vbox::Vbox;

pub(crate) async fn examine(_: &Path, timing: &Timing) -> Vec<Finding> {
    let vbox = Vbox::new(Manage::new(None, timing));
    let version = match vbox.version().await {
        Ok(version) => version,
        Err(e) => {
            let finding = Finding::bad("VirtualBox", e.one_line());
            return vec![match e.hint {
                Some(hint) => finding.remedy(hint),
                None => finding,
            }];
        }
    };
    let mut findings = vec![match old(&version) {
        Ok(()) => Finding::fine("VirtualBox", version.text),
        Err(e) => Finding::bad("VirtualBox", e.message).remedy(e.hint.unwrap_or_default()),
    }];
    if cfg!(target_os = "linux") {
        findings.push(module(Path::new("/dev/vboxdrv").exists(), Path::new("/sys/module/vboxdrv").exists()));
        findings.extend(kvm(|path| machine_base::files::read_text(path.as_ref(), machine_base::files::SMALL).ok()));
    }
    match vbox.host().await {
        Ok(host) if output::no_virtualisation(&host) => findings.push(
            Finding::poor("virtualisation", "VirtualBox says that the processor has none switched on")
                .remedy("switch VT-x or AMD-V on in the firmware, or nested in what runs this computer"),
        ),
        Ok(_) => findings.push(Finding::fine("virtualisation", "the processor has it")),
        Err(e) => findings.push(Finding::bad("settings", e.one_line()).remedy(e.hint.unwrap_or_default())),
    }
    findings
}

/// VirtualBox's kernel module.
fn module(device: bool, loaded: bool) -> Finding {
    const WHAT: &str = "kernel module";
    match (device, loaded) {
        (true, _) => Finding::fine(WHAT, "/dev/vboxdrv is there"),
        (false, true) => Finding::bad(WHAT, "vboxdrv is loaded, and there is no /dev/vboxdrv").remedy("sudo /sbin/vboxconfig"),
        (false, false) => Finding::bad(WHAT, "vboxdrv is not loaded").remedy(
            "sudo modprobe vboxdrv; \"Required key not available\" means Secure Boot: sign the module, or switch that off; where it \
             was never built: sudo /sbin/vboxconfig, or Debian's virtualbox-dkms with linux-headers",
        ),
    }
}

/// KVM takes the processor's virtualisation as soon as it is loaded, on kernels since 6.12.
fn kvm(read: impl Fn(&str) -> Option<String>) -> Option<Finding> {
    let taken = read("/sys/module/kvm/parameters/enable_virt_at_load").is_some_and(|value| value.trim() == "Y");
    let loaded = ["kvm_intel", "kvm_amd"].iter().find(|name| read(&format!("/sys/module/{name}/initstate")).is_some());
    let name = loaded.filter(|_| taken)?;
    Some(
        Finding::poor("KVM", format!("{name} holds the processor's virtualisation: VMs of VirtualBox do not start"))
            .remedy(format!(
                "sudo modprobe -r {name}; for good: kvm.enable_virt_at_load=0 on the kernel's command line"
            )),
    )
}

#[cfg(test)]
mod tests {
    use machine_driver::Verdict;

    use super::*;

    #[test]
    fn a_module_that_is_missing_comes_with_what_mends_it() {
        assert_eq!(module(true, true).verdict, Verdict::Fine);
        for loaded in [true, false] {
            let finding = module(false, loaded);
            assert_eq!((finding.verdict, finding.remedy.is_some()), (Verdict::Bad, true));
        }
    }

    #[test]
    fn kvm_is_in_the_way_only_where_it_takes_what_it_does_not_use() {
        let at_load = "/sys/module/kvm/parameters/enable_virt_at_load";
        let with = |value: &'static str, module: &'static str| {
            kvm(move |path| match path {
                _ if path == at_load => Some(format!("{value}\n")),
                _ if path.contains(module) => Some("live\n".to_owned()),
                _ => None,
            })
        };
        let finding = with("Y", "kvm_amd").unwrap();
        assert_eq!(finding.verdict, Verdict::Poor);
        assert!(finding.remedy.unwrap().starts_with("sudo modprobe -r kvm_amd; "));
        assert_eq!(with("N", "kvm_intel"), None);
        assert_eq!(with("Y", "none"), None);
        assert_eq!(kvm(|_| None), None);
    }
}
