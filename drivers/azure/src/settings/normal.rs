//! What of the settings cannot work, and how they are stored. Main item: [`Settings::normalized`].

use std::collections::BTreeMap;
use std::path::Path;

use machine_cloud::{EngineAccess, absolute_path, refuse};
use machine_driver::Result;

use super::{ARM_URL, AUTHORITY_HOST, Auth, POD_IDENTITY_AUTHORITY_HOST, Settings, in_group};
use crate::firewall;

/// Names that Azure's document takes for no user.
const NO_USERS: &[&str] = &[
    "administrator",
    "admin",
    "user",
    "user1",
    "test",
    "user2",
    "test1",
    "user3",
    "admin1",
    "1",
    "123",
    "a",
    "actuser",
    "adm",
    "admin2",
    "aspnet",
    "backup",
    "console",
    "david",
    "guest",
    "john",
    "owner",
    "root",
    "server",
    "sql",
    "support",
    "support_388945a0",
    "sys",
    "test2",
    "test3",
    "user4",
    "user5",
];

impl Settings {
    /// See [`machine_driver::Driver::normalize`].
    pub(crate) fn normalized(mut self, working_dir: &Path) -> Result<Self> {
        for field in [
            &mut self.subscription_id,
            &mut self.tenant_id,
            &mut self.client_id,
            &mut self.client_certificate_path,
            &mut self.federated_token_file,
            &mut self.resource_group,
            &mut self.image,
            &mut self.vnet,
            &mut self.nsg,
            &mut self.dns,
            &mut self.availability_zone,
            &mut self.custom_data,
        ] {
            if field.as_ref().is_some_and(|text| text.trim().is_empty()) {
                *field = None;
            }
        }
        for list in [&mut self.allow_from, &mut self.open_port, &mut self.tags] {
            list.retain(|item| !item.is_empty());
        }
        self.ids()?;
        // "West Europe" is how people write it.
        self.location = self.location.replace(' ', "").to_lowercase();
        self.words()?;
        for ports in &self.open_port {
            firewall::parse(ports)?;
        }
        for source in &self.allow_from {
            machine_cloud::assert_source(source, "--azure-allow-from")?;
        }
        let says =
            !self.allow_from.is_empty() || !self.open_port.is_empty() || self.engine_access != EngineAccess::Public;
        if says && self.nsg.is_some() {
            return Err(refuse(
                "--azure-nsg is used as it is, and --azure-allow-from, -engine-access and -open-port say what is in one of ours",
                "leave the one or the others out",
            ));
        }
        self.user_tags()?;
        self.arm_url = machine_cloud::api_url(&self.arm_url, ARM_URL)?;
        self.authority_host = machine_cloud::api_url(&self.authority_host, AUTHORITY_HOST)?;
        // The real one has no https: what is asked there is answered by the computer that this runs on.
        if self.pod_identity_authority_host != POD_IDENTITY_AUTHORITY_HOST {
            self.pod_identity_authority_host =
                machine_cloud::api_url(&self.pod_identity_authority_host, POD_IDENTITY_AUTHORITY_HOST)?;
        }
        for file in [&mut self.custom_data, &mut self.client_certificate_path, &mut self.federated_token_file] {
            *file = file.take().map(|path| absolute_path(&path, working_dir)).transpose()?;
        }
        Ok(self)
    }

    fn ids(&self) -> Result<()> {
        let application = matches!(self.auth, Auth::Secret | Auth::Certificate | Auth::Federated);
        let ids = [
            (&self.subscription_id, true, "subscription", "--azure-subscription-id, AZURE_SUBSCRIPTION_ID"),
            (&self.tenant_id, application, "tenant", "--azure-tenant-id, AZURE_TENANT_ID"),
            (&self.client_id, application, "client", "--azure-client-id, AZURE_CLIENT_ID"),
        ];
        for (id, needed, what, flags) in ids {
            match id {
                None if needed => {
                    return Err(refuse(
                        format!("no {what} was named"),
                        format!("name it ({flags}); `az account show` has it"),
                    ));
                }
                None => {}
                Some(id) => {
                    machine_cloud::path_segment(id, &format!("{flags}: `az account show` has the {what}"))?;
                }
            }
        }
        Ok(())
    }

    /// What becomes part of a URL or a body.
    fn words(&self) -> Result<()> {
        let fits =
            |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '(' | ')'));
        let words = [
            (Some(self.location.as_str()), "--azure-location"),
            (Some(self.size.as_str()), "--azure-size"),
            (Some(self.storage_type.as_str()), "--azure-storage-type"),
            (Some(self.subnet.as_str()), "--azure-subnet"),
            (self.resource_group.as_deref(), "--azure-resource-group"),
            (self.availability_zone.as_deref(), "--azure-availability-zone"),
            (self.vnet.as_deref().map(|text| in_group(text, "").1), "--azure-vnet"),
            (self.vnet.as_deref().map(|text| in_group(text, "x").0), "--azure-vnet"),
            (self.nsg.as_deref().map(|text| in_group(text, "").1), "--azure-nsg"),
            (self.nsg.as_deref().map(|text| in_group(text, "x").0), "--azure-nsg"),
        ];
        for (word, flag) in words {
            if word.is_some_and(|word| word.is_empty() || word.len() > 90 || word.ends_with('.') || !fits(word)) {
                let word = word.unwrap_or_default();
                return Err(refuse(
                    format!("{flag} {word:?} is not a name at Azure"),
                    "look at `az account list-locations`, `az group list`",
                ));
            }
        }
        if self.size.starts_with("Standard_A") && !self.size.contains("_v") || self.size.starts_with("Basic_") {
            return Err(refuse(
                format!("size {} was retired by Azure in 2024", self.size),
                "choose --azure-size Standard_D2s_v5 or Standard_B2s_v2",
            ));
        }
        if NO_USERS.contains(&self.ssh_user.to_lowercase().as_str())
            || !fits(&self.ssh_user)
            || self.ssh_user.len() > 64
        {
            return Err(refuse(
                format!("Azure makes no user {:?}", self.ssh_user),
                "choose another --azure-ssh-user, such as docker-user",
            ));
        }
        match &self.image {
            Some(image) => crate::image::Urn::parse(image).map(drop),
            None => Ok(()),
        }
    }

    /// The user's tags.
    pub(crate) fn user_tags(&self) -> Result<BTreeMap<String, String>> {
        if !self.tags.len().is_multiple_of(2) {
            return Err(refuse(
                format!("--azure-tags has {} words: a name without a value", self.tags.len()),
                "write --azure-tags NAME,VALUE,NAME,VALUE",
            ));
        }
        let mut tags = BTreeMap::new();
        for pair in self.tags.chunks_exact(2) {
            let [name, value] = pair else { continue };
            let odd = |c: char| matches!(c, '<' | '>' | '%' | '&' | '\\' | '?' | '/');
            if name.len() > 512 || value.len() > 256 || name.contains(odd) {
                return Err(refuse(
                    format!("Azure does not allow the tag {name:?}"),
                    "names are without < > % & \\ ? /",
                ));
            }
            if name.to_ascii_lowercase().starts_with("machine-") {
                return Err(refuse(format!("the tag {name:?} is ours"), "choose another one"));
            }
            tags.insert(name.clone(), value.clone());
        }
        Ok(tags)
    }
}
