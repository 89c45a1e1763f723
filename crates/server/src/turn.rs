//! TURN passwords that expire, made from a secret shared with the TURN server (the TURN REST
//! scheme that coturn calls `use-auth-secret`): the user name is the time of expiry, the password
//! its HMAC-SHA1 under the secret.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use inver_node::Handle;
use inver_proto::IceServer;

use crate::config;

/// Passwords are made anew after this part of their time, so that every client gets one that is
/// good for at least three quarters of it.
const RENEWALS_PER_LIFETIME: u32 = 4;
/// Least time between renewals, for lifetimes that are absurdly short.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// What clients are told at this moment.
pub fn ice_servers(configured: &[config::IceServer], now: SystemTime) -> Vec<IceServer> {
    configured
        .iter()
        .map(|server| ice_server(server, now))
        .collect()
}

fn ice_server(server: &config::IceServer, now: SystemTime) -> IceServer {
    let (username, credential) = match &server.secret {
        Some(secret) => {
            let (username, password) = expiring(secret.reveal(), server.ttl.0, now);
            (Some(username), Some(password))
        }
        None => {
            let credential = server.credential.as_ref();
            (
                server.username.clone(),
                credential.map(|secret| secret.reveal().to_owned()),
            )
        }
    };
    IceServer {
        urls: server.urls.clone(),
        username,
        credential,
    }
}

fn expiring(secret: &str, ttl: Duration, now: SystemTime) -> (String, String) {
    let expiry = (now + ttl)
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let username = format!("{expiry}:inver");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let password = STANDARD.encode(hmac::sign(&key, username.as_bytes()));
    (username, password)
}

/// Gives the node new passwords before the old ones expire; ends at once where none does.
pub async fn renew(configured: Vec<config::IceServer>, handle: Handle) {
    let shortest = configured
        .iter()
        .filter(|server| server.secret.is_some())
        .map(|s| s.ttl.0)
        .min();
    let Some(shortest) = shortest else { return };
    let interval = (shortest / RENEWALS_PER_LIFETIME).max(LEAST_INTERVAL);
    loop {
        tokio::time::sleep(interval).await;
        handle.set_ice_servers(ice_servers(&configured, SystemTime::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_what_turn_servers_compute() {
        let server: config::IceServer =
            toml::from_str("urls = 'turn:turn.example.com'\nsecret = 'north'\nttl = '1h'")
                .expect("valid");
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let [told] = &ice_servers(&[server], now)[..] else {
            panic!("one server")
        };
        assert_eq!(told.username.as_deref(), Some("1700003600:inver"));
        assert_eq!(
            told.credential.as_deref(),
            Some("fBqDWW63TXrZ1n/UkWH5RkeqGM0=")
        );
    }

    #[test]
    fn fixed_passwords_stay() {
        let server: config::IceServer =
            toml::from_str("urls = 'turn:a'\nusername = 'u'\ncredential = 'p'").expect("valid");
        let [told] = &ice_servers(&[server], UNIX_EPOCH)[..] else {
            panic!("one server")
        };
        assert_eq!(told.username.as_deref(), Some("u"));
        assert_eq!(told.credential.as_deref(), Some("p"));
    }
}
