//! Regions, sizes and images: fetched once for all machines made at once. Main type: [`Catalog`].

use std::sync::Arc;

use machine_cloud::{Api, Fault, nearest, refuse};
use machine_driver::{Context, Diagnostic, Price, Result};
use serde_json::Value;

use crate::provider::{find, list};
use crate::wire::{Image, Region, Size};
use crate::{DigitalOcean, Settings};

/// The image of `create` where none is named.
const DEFAULT_IMAGE: &str = "debian-13-x64";

/// The provider's limit.
const USER_DATA: usize = 64 << 10;

/// Regions and sizes.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) regions: Vec<Region>,
    pub(crate) sizes: Vec<Size>,
}

/// Regions and sizes.
pub(crate) async fn catalog(driver: &DigitalOcean, api: Api<'_>) -> Result<Arc<Catalog>, Fault> {
    let fetch = async {
        let regions = list(api, ("list the regions", "regions:read"), "/v2/regions", "", "regions").await?;
        let sizes = list(api, ("list the sizes", "sizes:read regions:read"), "/v2/sizes", "", "sizes").await?;
        Ok(Arc::new(Catalog { regions, sizes }))
    };
    driver.catalogs.get_or(api.key(None), fetch).await
}

/// What a droplet of this size costs, where the token may look.
pub(crate) async fn price(driver: &DigitalOcean, api: Api<'_>, s: &Settings) -> Option<Price> {
    let catalog = catalog(driver, api).await.ok()?;
    catalog.sizes.iter().find(|size| size.slug == s.size).map(Size::price)
}

/// The image asked for, or the default one.
pub(crate) async fn image(driver: &DigitalOcean, api: Api<'_>, s: &Settings) -> Result<Image> {
    let fetch = async {
        match &s.image {
            Some(wanted) => match get_image(api, wanted).await? {
                Some(image) => Ok(image),
                None => Err(no_such_image(api, wanted).await?),
            },
            None => match get_image(api, DEFAULT_IMAGE).await? {
                Some(image) => Ok(image),
                // Slugs are withdrawn at a distribution's end of life.
                None => newest_debian(distributions(api).await?).ok_or_else(|| {
                    refuse("DigitalOcean has no Debian image any more", "choose one with --digitalocean-image")
                }),
            },
        }
    };
    driver.images.get_or(api.key(s.image.as_deref()), fetch).await
}

async fn get_image(api: Api<'_>, wanted: &str) -> Result<Option<Image>> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !wanted.chars().all(fits) {
        return Err(refuse(
            format!("{wanted:?} is neither a slug nor an id of an image"),
            "look at `doctl compute image list`",
        ));
    }
    Ok(find(api, ("look up the image", "image:read"), &format!("/v2/images/{wanted}")).await?)
}

async fn distributions(api: Api<'_>) -> Result<Vec<Image>, Fault> {
    list(api, ("list the images", "image:read"), "/v2/images", "type=distribution", "images").await
}

/// `debian-14-x64` before `debian-13-x64`.
fn newest_debian(images: Vec<Image>) -> Option<Image> {
    let version = |image: &Image| -> Option<u32> {
        image.slug.as_deref()?.strip_prefix("debian-")?.strip_suffix("-x64")?.parse().ok()
    };
    images.into_iter().filter(|image| version(image).is_some()).max_by_key(version)
}

async fn no_such_image(api: Api<'_>, wanted: &str) -> Result<Diagnostic> {
    let slugs: Vec<String> = distributions(api).await?.into_iter().filter_map(|image| image.slug).collect();
    let near = nearest(wanted, slugs.iter().map(String::as_str));
    Ok(refuse(format!("DigitalOcean has no image {wanted}"), format!("there are {}", near.join(", "))))
}

impl Image {
    /// As a creation names it: a public image by slug, a private one by id only.
    pub(crate) fn reference(&self) -> Value {
        self.slug.clone().map_or(Value::from(self.id), Value::from)
    }

    /// For people.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.distribution, self.name).trim().to_owned()
    }
}

/// Our seed and the user's own file.
pub(crate) fn user_data(cx: &Context, s: &Settings) -> Result<String> {
    machine_cloud::user_data(cx, &s.ssh_user, s.userdata.as_deref(), "--digitalocean-userdata", USER_DATA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_debian_is_found() {
        let image =
            |slug: &str| -> Image { serde_json::from_value(serde_json::json!({"id": 1, "slug": slug})).unwrap() };
        let all = ["debian-9-x64", "debian-14-x64", "ubuntu-99-x64", "debian-13-x64", "debian-x64"].map(image);
        assert_eq!(newest_debian(all.into()).unwrap().slug.unwrap(), "debian-14-x64");
        assert!(newest_debian(vec![image("ubuntu-24-04-x64")]).is_none());
    }
}
