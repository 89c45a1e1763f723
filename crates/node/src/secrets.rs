//! The server's secret and admin token: files in the data folder that only their owner reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use inver_control::{Entropy, Secret, Secrets, ServerSecret, SystemEntropy, base62};

/// Letters of a generated admin token: 190 bits.
const ADMIN_TOKEN_LETTERS: usize = 32;

/// Shortest admin token that is taken from a configuration or file.
const MIN_ADMIN_TOKEN: usize = 16;

/// Why the secrets cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// A file or folder cannot be made, read or protected.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
    /// The server secret is not one.
    #[error(
        "{0} does not hold 32 bytes; restore it from a backup, or delete it to get a new secret \
         (tokens become invalid, and stream keys must be rotated for FTL and SRT)"
    )]
    ServerSecret(PathBuf),
    /// The admin token is too easy to guess.
    #[error("the admin token has fewer than {MIN_ADMIN_TOKEN} characters")]
    WeakAdminToken,
}

/// Makes the data folder where it does not exist.
pub(crate) fn make_folder(path: &Path) -> Result<(), SecretsError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path).map_err(|error| SecretsError::File {
        path: path.to_owned(),
        error,
    })
}

/// Reads the secrets or makes them at the first run.
pub(crate) fn load(folder: &Path, admin_token: Option<Secret>) -> Result<Secrets, SecretsError> {
    let mut entropy = SystemEntropy::default();
    let path = folder.join("server.secret");
    let bytes = read_or_make(&path, || {
        let secret = ServerSecret::generate(&mut entropy);
        secret.as_bytes().to_vec()
    })?;
    let bytes: [u8; 32] = bytes
        .try_into()
        .map_err(|_| SecretsError::ServerSecret(path))?;
    let admin_token = match admin_token {
        Some(token) => token,
        None => read_admin_token(folder, &mut entropy)?,
    };
    if admin_token.reveal().len() < MIN_ADMIN_TOKEN {
        return Err(SecretsError::WeakAdminToken);
    }
    Ok(Secrets {
        server: ServerSecret::from_bytes(bytes),
        admin_token,
    })
}

fn read_admin_token(folder: &Path, entropy: &mut dyn Entropy) -> Result<Secret, SecretsError> {
    let path = folder.join("admin.token");
    let text = read_or_make(&path, || {
        let mut text = base62(entropy, ADMIN_TOKEN_LETTERS);
        text.push('\n');
        text.into_bytes()
    })?;
    let text = String::from_utf8(text).map_err(|_| {
        let error = io::Error::new(io::ErrorKind::InvalidData, "the admin token is not text");
        SecretsError::File { path, error }
    })?;
    Ok(Secret::new(text.trim()))
}

fn read_or_make(path: &Path, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, SecretsError> {
    let fault = |error| SecretsError::File {
        path: path.to_owned(),
        error,
    };
    match fs::read(path) {
        Ok(bytes) => {
            protect(path).map_err(fault)?;
            Ok(bytes)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes = make();
            write(path, &bytes).map_err(fault)?;
            Ok(bytes)
        }
        Err(error) => Err(fault(error)),
    }
}

/// Writes all of the file or nothing: a crash in between leaves no half secret behind.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Takes rights of others away, where a copy or an unpacked backup gave them.
fn protect(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "others could read this secret; now they cannot");
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}
