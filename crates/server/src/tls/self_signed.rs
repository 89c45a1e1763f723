//! A certificate made here, so that cameras open from other machines of a local network: browsers
//! warn once, then give the page a secure context.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Error;
use super::files::Files;

/// How long a certificate is good for. Apple's systems refuse more than 825 days, and a shorter
/// time means that people meet the browser's warning more often.
const LIFETIME: Duration = Duration::from_secs(820 * DAY);
/// A certificate that ends sooner is replaced at start.
const MARGIN: Duration = Duration::from_secs(30 * DAY);
const DAY: u64 = 86_400;

/// The certificate in `folder`, made where there is none, where it ends soon, or where it lacks one
/// of `names`.
///
/// # Errors
/// The folder cannot be written, or a name is no DNS name and no address.
pub fn ensure(folder: &Path, names: &BTreeSet<String>, now: SystemTime) -> Result<Files, Error> {
    let files = Files {
        certificate: folder.join("self-signed.crt"),
        key: folder.join("self-signed.key"),
    };
    // X.509 would have to be parsed to ask the certificate itself.
    let notes = folder.join("self-signed.names");
    if is_good(&notes, names, now) && files.read().is_ok() {
        return Ok(files);
    }
    fs::create_dir_all(folder).map_err(|source| Error::Write {
        path: folder.to_owned(),
        source,
    })?;
    let mut parameters = rcgen::CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::CommonName, "Inver, self-signed");
    parameters.distinguished_name = name;
    parameters.not_before = (now - Duration::from_secs(DAY)).into();
    parameters.not_after = (now + LIFETIME).into();
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = rcgen::KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    write_private(&files.key, key.serialize_pem().as_bytes())?;
    write_private(&files.certificate, certificate.pem().as_bytes())?;
    let mut text = format!("{}\n", seconds(now + LIFETIME));
    for name in names {
        text.push_str(name);
        text.push('\n');
    }
    write_private(&notes, text.as_bytes())?;
    tracing::info!(certificate = %files.certificate.display(), "made a self-signed certificate");
    Ok(files)
}

/// Names and addresses under which this machine is reached, and those that are configured.
pub fn names(configured: &[String], addresses: &[IpAddr]) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"]
        .into_iter()
        .map(str::to_owned)
        .collect();
    names.extend(addresses.iter().map(IpAddr::to_string));
    if let Ok(host) = fs::read_to_string("/proc/sys/kernel/hostname") {
        let host = host.trim().to_ascii_lowercase();
        let is_label = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if !host.is_empty() && host.chars().all(is_label) {
            // The second one is what multicast DNS calls it (RFC 6762).
            names.insert(format!("{}.local", host.split('.').next().unwrap_or(&host)));
            names.insert(host);
        }
    }
    names.extend(configured.iter().cloned());
    names
}

fn is_good(notes: &Path, names: &BTreeSet<String>, now: SystemTime) -> bool {
    let Ok(text) = fs::read_to_string(notes) else {
        return false;
    };
    let mut lines = text.lines();
    let end: u64 = lines.next().and_then(|line| line.parse().ok()).unwrap_or(0);
    let has: BTreeSet<&str> = lines.collect();
    end > seconds(now + MARGIN) && names.iter().all(|name| has.contains(name.as_str()))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Writes beside and renames, so that nobody ever reads half a file.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let error = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside).map_err(error)?;
    file.write_all(bytes).map_err(error)?;
    file.sync_all().map_err(error)?;
    fs::rename(&beside, path).map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_kept_until_a_name_is_missing_or_it_ends() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let now = SystemTime::now();
        let few = names(&[], &[]);
        let first = ensure(folder.path(), &few, now).expect("makes one");
        let read = |files: &Files| fs::read(&files.certificate).expect("is there");
        let original = read(&first);

        let again = ensure(folder.path(), &few, now).expect("keeps it");
        assert_eq!(read(&again), original);

        let more = names(
            &["camera.example".into()],
            &["192.0.2.1".parse().expect("valid")],
        );
        let wider = read(&ensure(folder.path(), &more, now).expect("makes another"));
        assert_ne!(wider, original);

        let kept = read(&ensure(folder.path(), &few, now).expect("has more names than needed"));
        assert_eq!(kept, wider);

        let late = now + LIFETIME - Duration::from_secs(DAY);
        let renewed = read(&ensure(folder.path(), &few, late).expect("makes a new one"));
        assert_ne!(renewed, wider);
    }

    #[cfg(unix)]
    #[test]
    fn key_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let files = ensure(folder.path(), &names(&[], &[]), SystemTime::now()).expect("makes one");
        let mode = fs::metadata(&files.key)
            .expect("is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
