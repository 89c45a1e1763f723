//! One file on its way into a bucket, in parts that a restart does not send again.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::bucket::{Bucket, Failure};

/// Usual size of a part, and of a file that is sent whole. S3 takes no less than 5 MB; more costs
/// memory for each upload and more to send again after a failure.
const PART: u64 = 8 << 20;

/// Parts of one upload at most; S3 takes 10 000. Beyond them parts get larger.
const PARTS: u64 = 9_000;

/// What is known of an upload in parts; it stands beside the file until the upload is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    key: String,
    upload: String,
    len: u64,
    part: u64,
    /// What the storage calls the parts that it has.
    parts: Vec<String>,
}

impl Bucket {
    /// Sends a file, and makes sure that it is there with its full length. `wanted` is asked before
    /// each part.
    pub(super) async fn send(
        &self,
        file: &Path,
        location: &str,
        name: &str,
        wanted: impl Fn() -> bool,
    ) -> Result<(), Failure> {
        self.send_in_parts(file, location, name, PART, wanted).await
    }

    pub(super) async fn send_in_parts(
        &self,
        file: &Path,
        location: &str,
        name: &str,
        part: u64,
        wanted: impl Fn() -> bool,
    ) -> Result<(), Failure> {
        let key = self.key(location, name)?;
        let len = tokio::fs::metadata(file).await?.len();
        if len <= part {
            self.put(&key, name, tokio::fs::read(file).await?.into())
                .await?;
        } else {
            let sent = self.parts_of(file, &key, name, len, part, wanted).await;
            if sent.as_ref().is_err_and(is_lost) {
                // The storage does not know the upload any more: the next attempt begins anew.
                forget(file).await?;
                let words = format!("the upload of {name} was given up by the storage");
                return Err(Failure::Storage(words));
            }
            sent?;
        }
        let kept = self.objects().head(&key).await?.size;
        if kept != len {
            let words = format!("of {name} it has {kept} of {len} bytes");
            return Err(Failure::Storage(words));
        }
        Ok(())
    }

    /// Whether a file is in the storage with the length that it has on the disk.
    pub(super) async fn has_all_of(
        &self,
        file: &Path,
        location: &str,
        name: &str,
    ) -> Result<bool, Failure> {
        let key = self.key(location, name)?;
        let len = tokio::fs::metadata(file).await?.len();
        match self.objects().head(&key).await.map_err(Failure::from) {
            Ok(kept) => Ok(kept.size == len),
            Err(Failure::Missing) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Stores what fits into one request.
    pub(super) async fn put(&self, key: &Key, name: &str, bytes: Bytes) -> Result<(), Failure> {
        let options = PutOptions {
            attributes: attributes(name),
            ..PutOptions::default()
        };
        let sent = self.objects();
        let sent = sent.put_opts(key, PutPayload::from_bytes(bytes), options);
        sent.await.map_err(no_bucket)?;
        Ok(())
    }

    async fn parts_of(
        &self,
        file: &Path,
        key: &Key,
        name: &str,
        len: u64,
        part: u64,
        wanted: impl Fn() -> bool,
    ) -> Result<(), Failure> {
        let known = load(file).await;
        let known = known.filter(|known| known.len == len && known.key == key.as_ref());
        let mut progress = match known {
            Some(known) => known,
            None => {
                let options = PutMultipartOptions {
                    attributes: attributes(name),
                    ..PutMultipartOptions::default()
                };
                let upload = self.parts().create_multipart_opts(key, options).await;
                let upload = upload.map_err(no_bucket)?;
                let progress = Progress {
                    key: key.to_string(),
                    upload,
                    len,
                    part: part_size(len, part),
                    parts: Vec::new(),
                };
                save(file, &progress).await?;
                progress
            }
        };
        let mut from = tokio::fs::File::open(file).await?;
        let count = usize::try_from(len.div_ceil(progress.part)).unwrap_or(usize::MAX);
        for number in progress.parts.len()..count {
            if !wanted() {
                return Err(Failure::Stopped);
            }
            let at = progress.part * number as u64;
            let size = progress.part.min(len - at);
            from.seek(io::SeekFrom::Start(at)).await?;
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            (&mut from).take(size).read_to_end(&mut bytes).await?;
            if bytes.len() as u64 != size {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let payload = PutPayload::from_bytes(bytes.into());
            let sent = self
                .parts()
                .put_part(key, &progress.upload, number, payload)
                .await?;
            progress.parts.push(sent.content_id);
            save(file, &progress).await?;
        }
        let named = progress.parts.into_iter();
        let named = named.map(|content_id| PartId { content_id });
        self.parts()
            .complete_multipart(key, &progress.upload, named.collect())
            .await?;
        forget(file).await?;
        Ok(())
    }

    /// Gives up an upload that was begun: storages keep, and charge for, parts that nobody
    /// completes.
    pub(super) async fn give_up(&self, file: &Path) -> Result<(), Failure> {
        if let Some(progress) = load(file).await {
            let key = Key::from(progress.key.as_str());
            match self.parts().abort_multipart(&key, &progress.upload).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            forget(file).await?;
        }
        Ok(())
    }
}

/// Whether a storage says that it does not know an upload: most with status 404, some in words.
fn is_lost(failure: &Failure) -> bool {
    match failure {
        Failure::Missing => true,
        Failure::Storage(words) => {
            let said = ["NoSuchUpload", "MultipartUpload not found"];
            said.iter().any(|said| words.contains(said))
        }
        Failure::Disk(_) | Failure::Stopped => false,
    }
}

/// What nothing can be put into is not there.
fn no_bucket(error: object_store::Error) -> Failure {
    match Failure::from(error) {
        Failure::Missing => Failure::Storage("the storage has no such bucket".to_owned()),
        failure @ (Failure::Disk(_) | Failure::Storage(_) | Failure::Stopped) => failure,
    }
}

/// How large the parts of a file are.
fn part_size(len: u64, usual: u64) -> u64 {
    usual.max(len.div_ceil(PARTS))
}

/// What browsers are told that fetch it from the bucket themselves.
fn attributes(name: &str) -> Attributes {
    let kind = super::super::download::content_type(name);
    Attributes::from_iter([(Attribute::ContentType, kind)])
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".upload");
    name.into()
}

async fn load(file: &Path) -> Option<Progress> {
    let text = tokio::fs::read(beside(file)).await.ok()?;
    let progress: Progress = serde_json::from_slice(&text).ok()?;
    (progress.part > 0).then_some(progress)
}

/// Keeps it in one step. Losing the latest step in a crash costs one part that is sent again.
async fn save(file: &Path, progress: &Progress) -> io::Result<()> {
    let to = beside(file);
    let new = to.with_extension("upload-new");
    tokio::fs::write(&new, serde_json::to_vec(progress)?).await?;
    tokio::fs::rename(new, to).await
}

async fn forget(file: &Path) -> io::Result<()> {
    match tokio::fs::remove_file(beside(file)).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_file_fits_into_the_parts_that_a_storage_takes() {
        assert_eq!(part_size(PART + 1, PART), PART);
        for len in [PARTS * PART, PARTS * PART + 1, 5 << 40] {
            assert!(len.div_ceil(part_size(len, PART)) <= PARTS, "{len}");
        }
    }
}
