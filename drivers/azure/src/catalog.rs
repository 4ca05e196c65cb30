//! The sizes of a region: fetched once for all machines made at once. Main type: [`Size`].

use std::sync::Arc;

use machine_cloud::{Fault, nearest, permitted, refuse};
use machine_driver::{Arch, Result};

use crate::arm::{Arm, SKUS};
use crate::image::Image;
use crate::wire::Sku;

/// What a size can, as Azure tells it.
#[derive(Debug, Clone)]
pub(crate) struct Size(Sku);

impl Size {
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn family(&self) -> &str {
        &self.0.family
    }

    fn capability(&self, name: &str) -> &str {
        let found = self.0.capabilities.iter().find(|known| known.name.eq_ignore_ascii_case(name));
        found.map(|known| known.value.as_str()).unwrap_or_default()
    }

    pub(crate) fn processors(&self) -> u64 {
        self.capability("vCPUs").parse().unwrap_or(0)
    }

    fn has(&self, name: &str, word: &str) -> bool {
        self.capability(name).split(',').any(|known| known.trim().eq_ignore_ascii_case(word))
    }

    fn arch(&self) -> Arch {
        if self.has("CpuArchitectureType", "Arm64") { Arch::Arm64 } else { Arch::Amd64 }
    }

    /// Whether the subscription may have it, in this zone if one is named.
    fn is_available(&self, zone: Option<&str>) -> bool {
        let restricted = |restriction: &crate::wire::Restriction| match (restriction.kind.as_str(), zone) {
            ("Zone", Some(zone)) => restriction.restriction_info.zones.iter().any(|known| known == zone),
            ("Zone", None) => false,
            _ => true,
        };
        let there = zone
            .is_none_or(|zone| self.0.location_info.iter().any(|info| info.zones.iter().any(|known| known == zone)));
        there && !self.0.restrictions.iter().any(restricted)
    }

    /// What of the image does not go with it.
    fn against(&self, image: &Image) -> Option<String> {
        let generation = if image.second_generation() { "V2" } else { "V1" };
        let only_nvme = self.has("DiskControllerTypes", "NVMe") && !self.has("DiskControllerTypes", "SCSI");
        if self.arch() != image.arch() {
            Some("it is for another processor".to_owned())
        } else if !self.has("HyperVGenerations", generation) {
            Some(format!("the size does not boot images of generation {generation}"))
        } else if only_nvme && !image.nvme() {
            Some("the size has NVMe disks only, which the image does not know".to_owned())
        } else {
            None
        }
    }

    /// Its disks are NVMe and nothing else.
    pub(crate) fn needs_nvme(&self) -> bool {
        self.has("DiskControllerTypes", "NVMe") && !self.has("DiskControllerTypes", "SCSI")
    }

    pub(crate) fn trusted_launch(&self) -> bool {
        self.has("HyperVGenerations", "V2") && !self.has("TrustedLaunchDisabled", "True")
    }
}

/// All sizes of the region; `None`: the client may not list them.
pub(crate) async fn sizes(arm: Arm<'_>) -> Result<Option<Arc<Vec<Size>>>, Fault> {
    let location = &arm.s.location;
    let fetch = async {
        let what = ("list the sizes", "Microsoft.Compute/skus/read");
        let filter = format!("/providers/Microsoft.Compute/skus?$filter=location%20eq%20'{location}'");
        let skus: Option<Vec<Sku>> = permitted(arm.list(what, arm.path(&filter, SKUS)).await)?;
        let machines = |skus: Vec<Sku>| skus.into_iter().filter(|sku| sku.resource_type == "virtualMachines").map(Size);
        Ok(skus.map(|skus| Arc::new(machines(skus).collect())))
    };
    arm.driver.sizes.get_or(arm.api.key(Some(&format!("sizes {location}"))), fetch).await
}

/// The size, refused where it cannot work with the image.
pub(crate) fn size(arm: Arm<'_>, image: &Image, all: &[Size]) -> Result<Size> {
    let (s, zone) = (arm.s, arm.s.availability_zone.as_deref());
    let fits = |size: &&Size| size.is_available(zone) && size.against(image).is_none();
    let near = || {
        let fitting = all.iter().filter(fits).map(Size::name);
        nearest(&s.size, fitting).into_iter().take(3).collect::<Vec<_>>().join(", ")
    };
    let Some(size) = all.iter().find(|size| size.name().eq_ignore_ascii_case(&s.size)) else {
        return Err(refuse(format!("Azure has no size {} in {}", s.size, s.location), format!("there are {}", near())));
    };
    if !size.is_available(zone) {
        let zone = zone.map(|zone| format!(", zone {zone}")).unwrap_or_default();
        return Err(refuse(
            format!("size {} is not available to the subscription in {}{zone}", s.size, s.location),
            format!("there are {}", near()),
        ));
    }
    if let Some(why) = size.against(image) {
        return Err(refuse(
            format!("size {} and image {} do not go together: {why}", s.size, image.urn),
            format!("with this image there are {}; or choose another --azure-image", near()),
        ));
    }
    Ok(size.clone())
}
