//! What is asked of a host before a first replication: versions, pools, and where a dataset is or would be.

use std::io::BufRead;

use super::features::stream_features;
use super::parse::{ParseError, for_lines};
use super::{Call, Zfs};
use crate::name::DatasetName;
use crate::{EncryptionState, Feature, FeatureState, MountState, Place, PoolState};

impl Zfs {
    /// Its own version and that of the kernel module, a line each. Read it with [`read_versions`].
    #[must_use]
    pub fn versions(&self) -> Call {
        self.command(["version"])
    }

    /// All pools and how they are. Read it with [`read_pools`].
    #[must_use]
    pub fn pools(&self) -> Call {
        let mut command = self.zpool();
        command.args(["list", "-Hp", "-o", "name,health,readonly"]);
        command
    }

    /// Space, encryption and mount point of a dataset. Read it with [`read_place`].
    #[must_use]
    pub fn place(&self, dataset: &DatasetName) -> Call {
        let properties = "available,used,encryption,encryptionroot,keystatus,mountpoint,mounted,canmount,readonly";
        self.command(["get", "-Hp", "-o", "property,value", properties, dataset.as_str()])
    }
}

/// Reads [`Zfs::versions`]: that of the command, and that of the module, where it is told.
pub fn read_versions(input: impl BufRead) -> Result<(Option<String>, Option<String>), ParseError> {
    let (mut userland, mut module) = (None, None);
    for_lines(input, |line| {
        if let Some(version) = line.strip_prefix("zfs-kmod-") {
            module.get_or_insert_with(|| version.trim().to_owned());
        } else if let Some(version) = line.strip_prefix("zfs-") {
            userland.get_or_insert_with(|| version.trim().to_owned());
        }
        Ok::<_, ParseError>(())
    })?;
    Ok((userland, module))
}

/// Reads [`Zfs::pools`].
pub fn read_pools(input: impl BufRead) -> Result<Vec<PoolState>, ParseError> {
    let mut all = Vec::new();
    for_lines(input, |line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, health, readonly] = fields[..] else { return Err(ParseError::line("not three fields", line)) };
        all.push(PoolState { name: name.to_owned(), health: health.to_owned(), readonly: readonly == "on" });
        Ok(())
    })?;
    Ok(all)
}

/// Reads [`Zfs::place`].
pub fn read_place(input: impl BufRead, dataset: &DatasetName) -> Result<Place, ParseError> {
    let mut place = Place { nearest: Some(dataset.clone()), ..Place::default() };
    let (mut encryption, mut root, mut key_loaded) = (None, None, false);
    let (mut mountpoint, mut mounted, mut canmount, mut readonly) = (None, false, None, None);
    for_lines(input, |line| {
        let Some((property, value)) = line.split_once('\t') else { return Err(ParseError::line("no TAB", line)) };
        match property {
            "available" => place.available = value.parse().ok(),
            "used" => place.used = value.parse().ok(),
            "encryption" => encryption = Some(value != "off" && value != "-"),
            "encryptionroot" => root = value.parse().ok(),
            "keystatus" => key_loaded = value == "available",
            // A volume has none.
            "mountpoint" if value != "-" => mountpoint = Some(value.to_owned()),
            "mounted" => mounted = value == "yes",
            "canmount" => canmount = Some(value.to_owned()),
            "readonly" => readonly = Some(value == "on"),
            _ => {}
        }
        Ok(())
    })?;
    let root = root.filter(|_| encryption == Some(true));
    place.encryption = encryption.map(|encrypted| EncryptionState { root, encrypted, key_loaded });
    place.mount = mountpoint.map(|mountpoint| MountState { mountpoint, mounted, canmount, readonly });
    Ok(place)
}

/// Reads [`Zfs::pool_properties`]: the features that a stream can need, and whether the pool lets permissions be delegated.
pub fn read_pool(input: impl BufRead) -> Result<(Vec<Feature>, bool), ParseError> {
    let wanted = stream_features();
    let mut features: Vec<Feature> = Vec::new();
    let mut delegation = true;
    for_lines(input, |line| {
        let Some((property, value)) = line.split_once('\t') else { return Err(ParseError::line("no TAB", line)) };
        if property == "delegation" {
            delegation = value != "off";
        }
        if let Some(name) = property.strip_prefix("feature@").filter(|name| wanted.contains(name)) {
            let state = match value {
                "active" => FeatureState::Active,
                "enabled" => FeatureState::Enabled,
                _ => FeatureState::Disabled,
            };
            features.push(Feature { name: name.to_owned(), state });
        }
        Ok(())
    })?;
    let told = features.iter().map(|feature| feature.name.clone()).collect::<Vec<_>>();
    let unknown = wanted.iter().filter(|name| !told.iter().any(|told| told == *name));
    let unknown = unknown.map(|name| Feature { name: (*name).to_owned(), state: FeatureState::Unknown });
    features.extend(unknown);
    Ok((features, delegation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both() {
        let of = |text: &str| read_versions(text.as_bytes()).unwrap();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of("zfs-2.3.9-1\nzfs-kmod-2.3.9-1\n"), (some("2.3.9-1"), some("2.3.9-1")));
        // The module isn't loaded.
        assert_eq!(of("zfs-2.1.11-1+deb12u1\n"), (some("2.1.11-1+deb12u1"), None));
        assert_eq!(of(""), (None, None));
    }

    #[test]
    fn pools_and_their_health() {
        let pools = read_pools(&b"tank\tONLINE\toff\nback up\tDEGRADED\ton\n"[..]).unwrap();
        assert_eq!((pools[0].name.as_str(), pools[0].health.as_str(), pools[0].readonly), ("tank", "ONLINE", false));
        assert_eq!(
            (pools[1].name.as_str(), pools[1].health.as_str(), pools[1].readonly),
            ("back up", "DEGRADED", true)
        );
        assert!(read_pools(&b"tank ONLINE\n"[..]).is_err());
    }

    #[test]
    fn where_a_dataset_is() {
        let dataset: DatasetName = "tank/a".parse().unwrap();
        let of = |text: &str| read_place(text.as_bytes(), &dataset).unwrap();
        let plain = of(
            "available\t4096\nused\t512\nencryption\toff\nencryptionroot\t-\nkeystatus\t-\nmountpoint\t/tank/a\nmounted\tyes\ncanmount\ton\nreadonly\toff\n",
        );
        assert_eq!((plain.available, plain.used), (Some(4096), Some(512)));
        assert_eq!(plain.encryption, Some(EncryptionState { root: None, encrypted: false, key_loaded: false }));
        let (mountpoint, canmount) = ("/tank/a".into(), Some("on".into()));
        assert_eq!(plain.mount, Some(MountState { mountpoint, mounted: true, canmount, readonly: Some(false) }));
        let volume =
            of("encryption\taes-256-gcm\nencryptionroot\ttank\nkeystatus\tunavailable\nmountpoint\t-\nmounted\t-\n");
        let root = Some("tank".parse().unwrap());
        assert_eq!(volume.encryption, Some(EncryptionState { root, encrypted: true, key_loaded: false }));
        assert_eq!((volume.mount, volume.available), (None, None));
    }

    #[test]
    fn features_of_a_pool() {
        let text = "size\t1\ndelegation\toff\nfeature@large_blocks\tactive\nfeature@encryption\tdisabled\nfeature@async_destroy\tactive\n";
        let (features, delegation) = read_pool(text.as_bytes()).unwrap();
        assert!(!delegation);
        let place = Place { features, ..Place::default() };
        assert_eq!(place.feature("large_blocks"), Some(FeatureState::Active));
        assert_eq!(place.feature("encryption"), Some(FeatureState::Disabled));
        assert_eq!(place.feature("longname"), Some(FeatureState::Unknown));
        // No stream needs it.
        assert_eq!(place.feature("async_destroy"), None);
    }
}
