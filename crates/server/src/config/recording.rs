//! What can be set about recordings, and what it comes to.

use std::path::PathBuf;

use anyhow::Context as _;
use inver_outputs::record;
use serde::{Deserialize, Serialize};

use super::schema::Config;
use super::value::{ByteSize, Period, Secret, one_or_many};

/// `[recording]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recording {
    /// Rooms that are recorded whenever somebody publishes; a `*` at the end stands for any rest.
    #[serde(deserialize_with = "one_or_many")]
    pub rooms: Vec<String>,
    /// Where recordings lie; the default is `recordings` in the data folder.
    pub folder: Option<PathBuf>,
    /// How long a file may be; 0s for no limit.
    pub split_duration: Period,
    /// How large a file may be; 0 for no limit.
    pub split_size: ByteSize,
    /// How long finished recordings are kept; 0s for ever.
    pub max_age: Period,
    /// How much all recordings may take, beyond which the oldest go; 0 for no limit.
    pub max_total_size: ByteSize,
    /// How much of the disk stays free.
    pub min_free_space: ByteSize,
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            rooms: Vec::new(),
            folder: None,
            split_duration: Period::seconds(4 * 3600),
            split_size: ByteSize(0),
            max_age: Period::seconds(0),
            max_total_size: ByteSize(0),
            min_free_space: ByteSize(1_000_000_000),
        }
    }
}

/// `[recording_s3]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordingS3 {
    /// The bucket; without one recordings stay on the disk.
    pub bucket: Option<String>,
    /// `https://` or `http://` and a host; AWS in the region where it is absent.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
    /// Who the server is there.
    pub access_key_id: Option<String>,
    /// What proves it.
    pub secret_access_key: Option<Secret>,
    /// Folders before those of the recordings.
    pub prefix: String,
    /// Whether the bucket stands in the path of addresses, not in the host's name.
    pub path_style: bool,
    /// Whether files go from the disk once they are uploaded.
    pub delete_local: bool,
}

impl Default for RecordingS3 {
    fn default() -> Self {
        Self {
            bucket: None,
            endpoint: None,
            region: "us-east-1".to_owned(),
            access_key_id: None,
            secret_access_key: None,
            prefix: String::new(),
            path_style: true,
            delete_local: false,
        }
    }
}

impl Config {
    /// Settings of recordings.
    ///
    /// # Errors
    /// A storage that cannot be.
    pub fn recordings(&self) -> anyhow::Result<record::Config> {
        let recording = &self.recording;
        let folder = recording.folder.clone();
        Ok(record::Config {
            folder: folder.unwrap_or_else(|| self.data_dir().join("recordings")),
            rooms: recording.rooms.clone(),
            split_duration: recording.split_duration.0,
            split_size: recording.split_size.0,
            max_age: recording.max_age.0,
            max_total_size: recording.max_total_size.0,
            min_free_space: recording.min_free_space.0,
            bucket: self.bucket().transpose().context("[recording_s3]")?,
        })
    }

    fn bucket(&self) -> Option<Result<record::Bucket, record::BucketError>> {
        let s3 = &self.recording_s3;
        let secret = s3.secret_access_key.as_ref().map(Secret::reveal);
        let settings = record::StorageConfig {
            bucket: s3.bucket.clone()?,
            endpoint: s3.endpoint.clone(),
            region: s3.region.clone(),
            access_key_id: s3.access_key_id.clone().unwrap_or_default(),
            secret_access_key: inver_node::Secret::new(secret.unwrap_or_default()),
            prefix: s3.prefix.clone(),
            path_style: s3.path_style,
            delete_local: s3.delete_local,
        };
        Some(record::Bucket::new(&settings))
    }

    /// What is wrong with the storage of recordings: a key, and why.
    pub(super) fn recording_problem(&self) -> Option<(&'static str, String)> {
        let s3 = &self.recording_s3;
        let orphan = [
            ("endpoint", s3.endpoint.is_some()),
            ("access_key_id", s3.access_key_id.is_some()),
            ("secret_access_key", s3.secret_access_key.is_some()),
            ("delete_local", s3.delete_local),
        ];
        let orphan = orphan.into_iter().find(|(_, is_set)| *is_set);
        match (self.bucket(), orphan) {
            (Some(bucket), _) => bucket.err().map(|error| (error.key, error.why)),
            (None, Some((key, _))) => Some((key, "means nothing without a bucket".to_owned())),
            (None, None) => None,
        }
    }
}
