//! Regions, sizes and images: fetched once for all machines made at once. Main type: [`Catalogue`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use machine_driver::{Context, DriverError, ErrorKind, Result};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::Settings;
use crate::api::Api;
use crate::fault::Fault;
use crate::settings::refuse;
use crate::wire::{Image, OneImage, Region, Size};

/// What is for sale changes slowly; a long-lived process asks again.
const FRESH: Duration = Duration::from_secs(300);

/// The image of `create` where none is named.
const DEFAULT_IMAGE: &str = "debian-13-x64";

/// The provider's limit.
const USER_DATA: usize = 64 << 10;

/// What was fetched, and when, for which account and which image.
#[derive(Debug)]
pub(crate) struct Catalogue {
    shop: Mutex<Option<(Whose, Arc<Shop>)>>,
    image: Mutex<Option<(Whose, Image)>>,
}

/// Whose it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    base: String,
    // A hash only: nothing that prints may hold a token.
    token: u64,
    of: Option<String>,
}

#[derive(Debug)]
struct Whose(Key, Instant);

/// Regions and sizes.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) regions: Vec<Region>,
    pub(crate) sizes: Vec<Size>,
}

impl Key {
    pub(crate) fn new(api: Api<'_>, of: Option<&str>) -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        use std::sync::OnceLock;
        static HASHER: OnceLock<RandomState> = OnceLock::new();
        let (base, token) = api.account();
        let token = HASHER.get_or_init(RandomState::new).hash_one(token);
        Self { base: base.to_owned(), token, of: of.map(str::to_owned) }
    }
}

impl Whose {
    fn fits(&self, key: &Key) -> bool {
        self.0 == *key && self.1.elapsed() < FRESH
    }
}

impl Catalogue {
    pub(crate) const fn new() -> Self {
        Self { shop: Mutex::const_new(None), image: Mutex::const_new(None) }
    }

    /// Regions and sizes.
    pub(crate) async fn shop(&self, api: Api<'_>) -> Result<Arc<Shop>, Fault> {
        let mut slot = self.shop.lock().await;
        let key = Key::new(api, None);
        if let Some((whose, shop)) = &*slot
            && whose.fits(&key)
        {
            return Ok(shop.clone());
        }
        let regions = api.list(("list the regions", "regions:read"), "/v2/regions", "", "regions").await?;
        let sizes = api.list(("list the sizes", "sizes:read"), "/v2/sizes", "", "sizes").await?;
        let shop = Arc::new(Shop { regions, sizes });
        *slot = Some((Whose(key, Instant::now()), shop.clone()));
        Ok(shop)
    }

    /// The image asked for, or the default one.
    pub(crate) async fn image(&self, api: Api<'_>, s: &Settings) -> Result<Image> {
        let mut slot = self.image.lock().await;
        let key = Key::new(api, s.image.as_deref());
        if let Some((whose, image)) = &*slot
            && whose.fits(&key)
        {
            return Ok(image.clone());
        }
        let image = match &s.image {
            Some(wanted) => match get_image(api, wanted).await? {
                Some(image) => image,
                None => return Err(no_such_image(api, wanted).await?),
            },
            None => match get_image(api, DEFAULT_IMAGE).await? {
                Some(image) => image,
                // Slugs are withdrawn at a distribution's end of life.
                None => newest_debian(distributions(api).await?).ok_or_else(|| {
                    refuse("DigitalOcean has no Debian image any more", "choose one with --digitalocean-image")
                })?,
            },
        };
        *slot = Some((Whose(key, Instant::now()), image.clone()));
        Ok(image)
    }
}

async fn get_image(api: Api<'_>, wanted: &str) -> Result<Option<Image>> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !wanted.chars().all(fits) {
        return Err(refuse(
            format!("{wanted:?} is neither a slug nor an id of an image"),
            "look at `doctl compute image list`",
        ));
    }
    match api.get::<OneImage>(("look up the image", "image:read"), &format!("/v2/images/{wanted}")).await {
        Ok(one) => Ok(Some(one.image)),
        Err(fault) if fault.not_found() => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

async fn distributions(api: Api<'_>) -> Result<Vec<Image>, Fault> {
    api.list(("list the images", "image:read"), "/v2/images", "type=distribution", "images").await
}

/// `debian-14-x64` before `debian-13-x64`.
fn newest_debian(images: Vec<Image>) -> Option<Image> {
    let version = |image: &Image| -> Option<u32> {
        image.slug.as_deref()?.strip_prefix("debian-")?.strip_suffix("-x64")?.parse().ok()
    };
    images.into_iter().filter(|image| version(image).is_some()).max_by_key(version)
}

async fn no_such_image(api: Api<'_>, wanted: &str) -> Result<DriverError> {
    let slugs: Vec<String> = distributions(api).await?.into_iter().filter_map(|image| image.slug).collect();
    let near = nearest(wanted, slugs.iter().map(String::as_str));
    Ok(refuse(format!("DigitalOcean has no image {wanted}"), format!("there are {}", near.join(", "))))
}

/// Those with the longest common start, at most eight, in their own order.
pub(crate) fn nearest<'a>(wanted: &str, all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let common = |text: &str| text.chars().zip(wanted.chars()).take_while(|(a, b)| a == b).count();
    let mut all: Vec<&str> = all.collect();
    all.sort_by_key(|text| std::cmp::Reverse(common(text)));
    all.truncate(8);
    all
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
    let own = match &s.user_data {
        None => None,
        Some(path) => Some(std::fs::read_to_string(path).map_err(|e| {
            DriverError::new(ErrorKind::Settings, format!("cannot read the user-data \"{path}\""))
                .caused_by(&e)
                .hint("name a text file with --digitalocean-userdata")
        })?),
    };
    cx.user_data(&s.ssh_user, own.as_deref(), USER_DATA)
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

    #[test]
    fn near_names_come_first() {
        assert_eq!(
            nearest("debian-12-x64", ["fedora-43-x64", "debian-13-x64"].into_iter()),
            ["debian-13-x64", "fedora-43-x64"]
        );
    }
}
