//! A bucket: what it is called, how it is reached, one request at a time.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use inver_node::Secret;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};

/// Longest time for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Longest time for a request with its body. Less would fail where 8 MB need longer, on lines of
/// half a megabit; more would let a dead connection hold up an upload for longer.
const REQUEST: Duration = Duration::from_secs(120);

/// How long one request is tried again by itself, and how often. What takes longer is an outage,
/// for which the queue waits.
const AGAIN: Duration = Duration::from_secs(20);
const TIMES: usize = 3;

/// Longest time for what somebody waits for: the first piece of a download, a deletion.
const ASKED: Duration = Duration::from_secs(30);

/// Characters of a storage's words that are passed on: its errors may be whole pages.
const WORDS: usize = 400;

/// Where recordings are uploaded to.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// The bucket.
    pub bucket: String,
    /// `http://` or `https://` and a host; that of AWS in the region where it is absent.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
    /// Who we are.
    pub access_key_id: String,
    /// What proves it.
    pub secret_access_key: Secret,
    /// Folders before those of the recordings; empty for none.
    pub prefix: String,
    /// Whether the bucket stands in the path of its addresses and not in their host.
    pub path_style: bool,
    /// Whether files go from the disk once they are uploaded.
    pub delete_local: bool,
}

/// A setting of a storage that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {why}")]
pub struct BucketError {
    /// The field of [`StorageConfig`].
    pub key: &'static str,
    /// What is wrong with it, or would be right.
    pub why: String,
}

/// What keeps objects, whole and in parts.
trait Objects: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Objects for T {}

/// A bucket. Clones are the same one.
#[derive(Clone)]
pub struct Bucket {
    objects: Arc<dyn Objects>,
    name: String,
    prefix: String,
    pub(super) delete_local: bool,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.name)
    }
}

/// Why something did not get where it should.
#[derive(Debug, thiserror::Error)]
pub(in crate::record) enum Failure {
    /// The disk.
    #[error("{0}")]
    Disk(#[from] io::Error),
    /// The storage, in its words.
    #[error("{0}")]
    Storage(String),
    /// The storage does not have it.
    #[error("it is not in the storage any more")]
    Missing,
    /// Nobody wants it any more.
    #[error("it was stopped")]
    Stopped,
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        if let object_store::Error::NotFound { .. } = error {
            return Self::Missing;
        }
        // Addresses and answers; what we prove ourselves with is in headers, which are not told.
        Self::Storage(plain(&error.to_string()))
    }
}

impl Bucket {
    /// The bucket of these settings. Nothing is asked of it yet.
    ///
    /// # Errors
    ///
    /// A setting that cannot be.
    pub fn new(config: &StorageConfig) -> Result<Self, BucketError> {
        Ok(Self {
            objects: Arc::new(s3(config)?),
            name: config.bucket.clone(),
            prefix: config.prefix.trim_matches('/').to_owned(),
            delete_local: config.delete_local,
        })
    }

    #[cfg(test)]
    pub(super) fn in_memory() -> Self {
        Self {
            objects: Arc::new(object_store::memory::InMemory::new()),
            name: "bucket".to_owned(),
            prefix: "rooms".to_owned(),
            delete_local: false,
        }
    }

    /// Where a recording's files go, in words that a manifest keeps.
    pub(in crate::record) fn location(&self, id: &str) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        format!("s3://{}/{}{slash}{id}", self.name, self.prefix)
    }

    /// Whether that is in this bucket.
    pub(in crate::record) fn holds(&self, location: &str) -> bool {
        self.folder(location).is_some()
    }

    fn folder<'a>(&self, location: &'a str) -> Option<&'a str> {
        let rest = location.strip_prefix("s3://")?;
        rest.strip_prefix(self.name.as_str())?.strip_prefix('/')
    }

    /// The key of a file at a recording's location.
    pub(super) fn key(&self, location: &str, name: &str) -> Result<Path, Failure> {
        let Some(folder) = self.folder(location) else {
            let words = format!(
                "it lies at {location}, and the server is set to s3://{}",
                self.name
            );
            return Err(Failure::Storage(words));
        };
        Ok(Path::from(format!("{folder}/{name}")))
    }

    pub(super) fn objects(&self) -> &(dyn ObjectStore + 'static) {
        // Of two traits in one.
        &*self.objects
    }

    pub(super) fn parts(&self) -> &(dyn MultipartStore + 'static) {
        &*self.objects
    }

    /// A range of a file; not empty.
    pub(in crate::record) async fn read(
        &self,
        location: &str,
        name: &str,
        range: Range<u64>,
    ) -> Result<Bytes, Failure> {
        let key = self.key(location, name)?;
        asked(self.objects.get_range(&key, range)).await
    }

    /// Deletes a file. One that is not there is no error.
    pub(super) async fn delete(&self, location: &str, name: &str) -> Result<(), Failure> {
        let key = self.key(location, name)?;
        match asked(self.objects.delete(&key)).await {
            Ok(()) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

/// The client of a bucket.
fn s3(config: &StorageConfig) -> Result<AmazonS3, BucketError> {
    let wrong = |key, why: &str| {
        let why = why.to_owned();
        Err(BucketError { key, why })
    };
    let letters = |text: &str| {
        let mut bytes = text.bytes();
        bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
    };
    let prefix = config.prefix.trim_matches('/');
    if config.bucket.is_empty() || config.bucket.contains('/') || !letters(&config.bucket) {
        return wrong("bucket", "is made of letters, digits, '-', '_' and '.'");
    }
    if !letters(prefix) || prefix.split('/').any(|part| part == "." || part == "..") {
        return wrong(
            "prefix",
            "is made of letters, digits, '-', '_', '.' and '/'",
        );
    }
    if config.access_key_id.is_empty() {
        return wrong("access_key_id", "is needed with a bucket");
    }
    if config.secret_access_key.reveal().is_empty() {
        return wrong("secret_access_key", "is needed with a bucket");
    }
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: TIMES,
        retry_timeout: AGAIN,
    };
    let client = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(REQUEST);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&config.bucket)
        .with_region(&config.region)
        .with_access_key_id(&config.access_key_id)
        .with_secret_access_key(config.secret_access_key.reveal())
        .with_virtual_hosted_style_request(!config.path_style)
        // Not all that speak S3 know how to delete several at once.
        .with_disable_bulk_delete(true)
        .with_retry(retry);
    let mut plain = false;
    if let Some(endpoint) = &config.endpoint {
        let parts = endpoint.trim_end_matches('/').split_once("://");
        let Some((scheme @ ("http" | "https"), host)) = parts else {
            return wrong("endpoint", "must begin with https:// or http://");
        };
        if host.is_empty() || host.contains(['/', '@', '?', '#', ' ']) {
            let why = "is a scheme and a host, with a port where it needs one, and no more";
            return wrong("endpoint", why);
        }
        plain = scheme == "http";
        builder = builder.with_endpoint(if config.path_style {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{}.{host}", config.bucket)
        });
    }
    builder
        .with_client_options(client.with_allow_http(plain))
        .build()
        .map_err(|error| BucketError {
            key: "endpoint",
            why: format!("leads to no storage: {error}"),
        })
}

/// A storage's words on one line, and without how long and how often it was tried: the same trouble
/// has the same words each time.
fn plain(words: &str) -> String {
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let tried = words.split_once(" in ").and_then(|(what, rest)| {
        let (tried, why) = rest.split_once(" - ")?;
        tried.contains("retries").then(|| format!("{what}: {why}"))
    });
    tried.unwrap_or(words).chars().take(WORDS).collect()
}

/// Waits for what somebody waits for.
async fn asked<T>(
    request: impl Future<Output = Result<T, object_store::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(ASKED, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Storage("the storage does not answer".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use object_store::signer::Signer as _;

    use super::*;

    #[tokio::test]
    async fn the_bucket_stands_where_the_settings_say() {
        let config = |endpoint: Option<&str>, path_style| StorageConfig {
            bucket: "kept".to_owned(),
            endpoint: endpoint.map(str::to_owned),
            region: "eu-west-1".to_owned(),
            access_key_id: "key".to_owned(),
            secret_access_key: Secret::new("secret"),
            prefix: String::new(),
            path_style,
            delete_local: false,
        };
        let own = Some("https://store.example:9000/");
        for (endpoint, path_style, expected) in [
            (own, true, "https://store.example:9000/kept/one/0001.mp4"),
            (own, false, "https://kept.store.example:9000/one/0001.mp4"),
            (
                None,
                true,
                "https://s3.eu-west-1.amazonaws.com/kept/one/0001.mp4",
            ),
            (
                None,
                false,
                "https://kept.s3.eu-west-1.amazonaws.com/one/0001.mp4",
            ),
        ] {
            let config = config(endpoint, path_style);
            let bucket = Bucket::new(&config).expect("settings that can be");
            let key = bucket.key(&bucket.location("one"), "0001.mp4");
            let key = key.expect("in the bucket");
            let client = s3(&config).expect("settings that can be");
            let minute = Duration::from_secs(60);
            let signed = client.signed_url(http::Method::GET, &key, minute);
            let signed = signed.await.expect("signed").to_string();
            assert_eq!(signed.split('?').next(), Some(expected));
        }
    }

    #[test]
    fn the_same_trouble_has_the_same_words() {
        let said = "Error performing PUT http://h/b/k in 723.4ms, after 3 retries, max_retries: 3, \
                    retry_timeout: 20s - HTTP error:\n error sending request";
        let expected = "Error performing PUT http://h/b/k: HTTP error: error sending request";
        assert_eq!(plain(said), expected);
        assert_eq!(
            plain("all is lost in there - or not"),
            "all is lost in there - or not"
        );
    }
}
