//! Which image, and what it says of itself. Main types: [`Urn`] and [`Image`].

use machine_cloud::{Fault, nearest, refuse};
use machine_driver::{Arch, Diagnostic, Result};
use serde_json::{Value, json};

use crate::arm::{Arm, COMPUTE};
use crate::wire::{ImageProperties, Location, Tagged};

/// `PUBLISHER:OFFER:SKU:VERSION`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Urn {
    publisher: String,
    offer: String,
    sku: String,
    version: String,
}

/// Tried in this order where none is named.
const DEFAULTS: &[(Arch, &str)] = &[
    (Arch::Amd64, "Debian:debian-13:13-gen2:latest"),
    (Arch::Amd64, "Canonical:ubuntu-24_04-lts:server:latest"),
    (Arch::Arm64, "Debian:debian-13:13-arm64:latest"),
    (Arch::Arm64, "Canonical:ubuntu-24_04-lts:server-arm64:latest"),
];

const LOOK: &str = "look at `az vm image list --all`, or leave --azure-image out";

impl Urn {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let bad =
            || refuse(format!("{text:?} is not an image at Azure"), "write --azure-image PUBLISHER:OFFER:SKU:VERSION");
        let fits = |part: &&str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        let parts: Vec<&str> = text.split(':').collect();
        let [publisher, offer, sku, version] = parts.as_slice() else { return Err(bad()) };
        if !parts.iter().all(fits) {
            return Err(bad());
        }
        if offer.eq_ignore_ascii_case("UbuntuServer") && sku.starts_with("16.04") {
            return Err(refuse(
                format!("Azure has no image {text} any more"),
                "leave --azure-image out, or take Canonical:ubuntu-24_04-lts:server:latest",
            ));
        }
        let [publisher, offer, sku, version] = [publisher, offer, sku, version].map(|part| (*part).to_owned());
        Ok(Self { publisher, offer, sku, version })
    }

    fn versions(&self, arm: Arm<'_>) -> String {
        let Self { publisher, offer, sku, .. } = self;
        let location = &arm.s.location;
        format!(
            "/providers/Microsoft.Compute/locations/{location}/publishers/{publisher}/artifacttypes/vmimage/offers/{offer}/skus/{sku}/versions"
        )
    }

    pub(crate) fn reference(&self) -> Value {
        json!({ "publisher": self.publisher, "offer": self.offer, "sku": self.sku, "version": self.version })
    }
}

impl std::fmt::Display for Urn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}:{}", self.publisher, self.offer, self.sku, self.version)
    }
}

/// An image that is there.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) urn: Urn,
    pub(crate) properties: ImageProperties,
}

impl Image {
    pub(crate) fn second_generation(&self) -> bool {
        self.properties.generation.eq_ignore_ascii_case("V2")
    }

    pub(crate) fn arch(&self) -> Arch {
        if self.properties.architecture.eq_ignore_ascii_case("Arm64") { Arch::Arm64 } else { Arch::Amd64 }
    }

    fn feature(&self, name: &str) -> &str {
        let found = self.properties.features.iter().find(|feature| feature.name.eq_ignore_ascii_case(name));
        found.map(|feature| feature.value.as_str()).unwrap_or_default()
    }

    /// It boots from a verified chain, where the size can.
    pub(crate) fn trusted_launch(&self) -> bool {
        self.second_generation() && self.feature("SecurityType").contains("TrustedLaunch")
    }

    pub(crate) fn nvme(&self) -> bool {
        self.feature("DiskControllerTypes").contains("NVMe")
    }
}

/// The image asked for, or the default one.
pub(crate) async fn image(arm: Arm<'_>) -> Result<Image> {
    let of = format!("image {} {} {:?}", arm.s.image.as_deref().unwrap_or_default(), arm.s.location, arm.s.arch());
    let fetch = async {
        match &arm.s.image {
            Some(text) => {
                let urn = Urn::parse(text)?;
                match get(arm, &urn).await? {
                    Some(image) => Ok(image),
                    None => Err(no_such_image(arm, &urn).await),
                }
            }
            None => default(arm).await,
        }
    };
    arm.driver.images.get_or(arm.api.key(Some(&of)), fetch).await
}

async fn default(arm: Arm<'_>) -> Result<Image> {
    for (_, text) in DEFAULTS.iter().filter(|(arch, _)| *arch == arm.s.arch()) {
        if let Some(image) = get(arm, &Urn::parse(text)?).await? {
            return Ok(image);
        }
    }
    Err(refuse(
        format!("Azure has neither Debian 13 nor Ubuntu 24.04 in {}", arm.s.location),
        "choose one with --azure-image",
    ))
}

async fn get(arm: Arm<'_>, urn: &Urn) -> Result<Option<Image>, Fault> {
    let what = ("look up the image", "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read");
    let mut version = urn.version.clone();
    if version == "latest" {
        let path = arm.path(&format!("{}?$top=1&$orderby=name%20desc", urn.versions(arm)), COMPUTE);
        // The list is the whole answer.
        let newest: Option<Vec<Location>> = arm.api.find(what, &path).await?;
        match newest.and_then(|versions| versions.into_iter().next()) {
            Some(newest) => version = newest.name,
            None => return Ok(None),
        }
    }
    let path = arm.path(&format!("{}/{version}", urn.versions(arm)), COMPUTE);
    let found: Option<Tagged<ImageProperties>> = arm.api.find(what, &path).await?;
    Ok(found.map(|found| Image { urn: urn.clone(), properties: found.properties }))
}

/// What else there is of the same offer.
async fn no_such_image(arm: Arm<'_>, urn: &Urn) -> Diagnostic {
    let Urn { publisher, offer, sku, .. } = urn;
    let rest = format!(
        "/providers/Microsoft.Compute/locations/{}/publishers/{publisher}/artifacttypes/vmimage/offers/{offer}/skus",
        arm.s.location
    );
    let what =
        ("list the images of the offer", "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/read");
    let others: Option<Vec<Location>> = arm.api.find(what, &arm.path(&rest, COMPUTE)).await.unwrap_or_default();
    let others: Vec<String> = others.unwrap_or_default().into_iter().map(|sku| sku.name).collect();
    let near = nearest(sku, others.iter().map(String::as_str)).join(", ");
    let hint = if near.is_empty() { LOOK.to_owned() } else { format!("of {publisher}:{offer} there are {near}") };
    refuse(format!("Azure has no image {urn} in {}", arm.s.location), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_four_parts() {
        assert_eq!(
            Urn::parse("Debian:debian-13:13-gen2:latest").unwrap().to_string(),
            "Debian:debian-13:13-gen2:latest"
        );
        for bad in ["", "debian", "a:b:c", "a:b:c:", "a:b:c:d:e", "a:b/../c:d:latest"] {
            assert!(Urn::parse(bad).is_err(), "{bad}");
        }
        let retired = Urn::parse("canonical:UbuntuServer:16.04.0-LTS:latest").unwrap_err();
        assert!(retired.message.contains("any more"), "{retired}");
    }
}
