//! What the server's configuration says of services, and the service made from it.

use std::sync::Arc;
use std::time::Duration;

use inver_control::Secret;
use inver_proto::RoomId;

use crate::asked::Denied;
use crate::built_in::BuiltIn;
use crate::fault::Fault;
use crate::graphql::GraphQl;
use crate::notifier::Hook;
use crate::outbound::endpoint;
use crate::service::Service;
use crate::signature::{SecretError, Signer};
use crate::stream::EventKind;
use crate::webhook::Webhook;
use crate::with_hooks::WithHooks;

/// Which service decides, and who hears of what happens.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Who decides.
    pub decider: Decider,
    /// Who is told of publishers and viewers that come and go, whoever decides.
    pub hooks: Vec<HookConfig>,
}

/// Who decides over publishers and viewers.
#[derive(Debug, Clone, Default)]
pub enum Decider {
    /// Control's own stream keys, tokens and policy.
    #[default]
    BuiltIn,
    /// A signed webhook.
    Webhook(WebhookConfig),
    /// The design's HTTP and GraphQL service.
    GraphQl(GraphQlConfig),
}

/// What happens to somebody who wants in while the service does not answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenDown {
    /// Nobody new comes in; who is in stays.
    #[default]
    Deny,
    /// Everybody comes in unchecked: for those to whom a show without checks is worth more than
    /// no show.
    Allow,
}

impl WhenDown {
    /// The word in configuration and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }

    /// Decides in the service's place, and says so in the log.
    pub(crate) fn decide(
        self,
        service: &'static str,
        what: &'static str,
        room: &RoomId,
        fault: &Fault,
    ) -> Result<(), Denied> {
        match self {
            Self::Deny => {
                tracing::warn!(
                    service, %room, %fault, when_down = self.as_str(),
                    "{what}: denied, because the service did not decide"
                );
                Err(Denied::down())
            }
            Self::Allow => {
                tracing::warn!(
                    service, %room, %fault, when_down = self.as_str(),
                    "{what}: let in unchecked, because the service did not decide"
                );
                Ok(())
            }
        }
    }
}

/// How often and how long a notification is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How long one try may take.
    pub attempt: Duration,
    /// Pause after the first failure; doubled after each further one, and varied by a quarter so
    /// that many servers do not come back at once.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
    /// Age at which a notification is given up. Longer bridges longer outages; what comes after
    /// in the same room waits behind it.
    pub give_up: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(10),
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            give_up: Duration::from_secs(300),
        }
    }
}

/// A webhook that decides.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Where to, http or https.
    pub url: Secret,
    /// One to four secrets `whsec_...`, each of which signs.
    pub secrets: Vec<Secret>,
    /// Whether the URL may lead into the server's own network.
    pub allow_private: bool,
    /// How long a decision may take; a publisher or viewer waits meanwhile.
    pub deadline: Duration,
    /// What happens when there is no decision.
    pub when_down: WhenDown,
    /// Whether viewers are asked about, too; else control decides over them.
    pub viewers: bool,
    /// Whether it gets a report of each stream every five seconds.
    pub reports: bool,
    /// Whether it gets thumbnails.
    pub thumbnails: bool,
    /// How notifications are tried.
    pub retry: Retry,
}

impl WebhookConfig {
    /// A webhook with defaults for the rest.
    pub fn new(url: &str, secret: Secret) -> Self {
        Self {
            url: Secret::new(url),
            secrets: vec![secret],
            allow_private: false,
            deadline: Duration::from_secs(2),
            when_down: WhenDown::default(),
            viewers: true,
            reports: true,
            thumbnails: false,
            retry: Retry::default(),
        }
    }
}

/// A webhook that is told.
#[derive(Debug, Clone)]
pub struct HookConfig {
    /// Where to, http or https.
    pub url: Secret,
    /// One to four secrets `whsec_...`, each of which signs.
    pub secrets: Vec<Secret>,
    /// Whether the URL may lead into the server's own network.
    pub allow_private: bool,
    /// What it is told.
    pub events: Vec<EventKind>,
    /// How notifications are tried.
    pub retry: Retry,
}

impl HookConfig {
    /// A hook that is told everything, with defaults for the rest.
    pub fn new(url: &str, secret: Secret) -> Self {
        Self {
            url: Secret::new(url),
            secrets: vec![secret],
            allow_private: false,
            events: vec![
                EventKind::Published,
                EventKind::Unpublished,
                EventKind::Read,
                EventKind::Unread,
            ],
            retry: Retry::default(),
        }
    }
}

/// The design's HTTP and GraphQL service. Its rooms are channels with numbers.
#[derive(Debug, Clone)]
pub struct GraphQlConfig {
    /// Base of `/api/oauth/token` and `/api/graph`, http or https.
    pub endpoint: Secret,
    /// OAuth 2 client id.
    pub client_id: String,
    /// OAuth 2 client secret.
    pub client_secret: Secret,
    /// Whether the endpoint may lead into the server's own network.
    pub allow_private: bool,
    /// How long a decision may take.
    pub deadline: Duration,
    /// What happens when there is no decision.
    pub when_down: WhenDown,
    /// Whether it gets thumbnails.
    pub thumbnails: bool,
}

impl GraphQlConfig {
    /// A service with defaults for the rest.
    pub fn new(endpoint: &str, client_id: &str, client_secret: Secret) -> Self {
        Self {
            endpoint: Secret::new(endpoint),
            client_id: client_id.to_owned(),
            client_secret,
            allow_private: false,
            deadline: Duration::from_secs(2),
            when_down: WhenDown::default(),
            thumbnails: true,
        }
    }
}

/// Why a service cannot be made. Shows no secret and no URL with a path.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The URL.
    #[error("{0}")]
    Url(String),
    /// The secrets.
    #[error("{0}")]
    Secret(String),
    /// A duration.
    #[error("{0}")]
    Duration(String),
    /// The system's certificates.
    #[error("requests to services cannot be made: {0}")]
    Client(String),
}

impl From<SecretError> for ConfigError {
    fn from(error: SecretError) -> Self {
        Self::Secret(error.to_string())
    }
}

/// Deadlines that make sense: shorter ones fail always, longer ones outlast the clients' patience
/// (an encoder gives up after about eight seconds).
///
/// # Errors
/// It is shorter or longer.
pub fn check_deadline(deadline: Duration) -> Result<Duration, ConfigError> {
    let sensible = Duration::from_millis(50)..=Duration::from_secs(30);
    if sensible.contains(&deadline) {
        return Ok(deadline);
    }
    Err(ConfigError::Duration(format!(
        "the deadline of a service is {deadline:?}; 50 ms to 30 s are right"
    )))
}

/// Checks a service's URL as [`build`] does: http or https, no user or password in it, and, unless
/// `allow_private`, no literal address inside the network.
///
/// # Errors
/// It is another one; the error shows neither its path nor its query.
pub fn check_url(url: &str, allow_private: bool) -> Result<(), ConfigError> {
    endpoint(url, allow_private).map(drop)
}

/// Checks the secrets of a webhook as [`build`] does.
///
/// # Errors
/// There are none, too many, or one that cannot sign.
pub fn check_secrets(secrets: &[Secret]) -> Result<(), ConfigError> {
    Signer::new(secrets)?;
    Ok(())
}

/// Refuses pauses that would hammer the receiver or never end.
pub(crate) fn check_retry(retry: Retry) -> Result<Retry, ConfigError> {
    let milliseconds = Duration::from_millis;
    let day = Duration::from_secs(24 * 3600);
    let checks = [
        ("the time of one try", retry.attempt, milliseconds(50)),
        ("the first pause", retry.first, milliseconds(1)),
        ("the longest pause", retry.longest, retry.first),
        ("the age to give up at", retry.give_up, retry.first),
    ];
    for (what, is, least) in checks {
        if is < least || is > day {
            return Err(ConfigError::Duration(format!(
                "{what} of notifications is {is:?}; {least:?} to a day are right"
            )));
        }
    }
    Ok(retry)
}

/// Makes the configured service. Call it within a tokio runtime: hooks have tasks.
pub fn build(config: Config) -> Result<Arc<dyn Service>, ConfigError> {
    let decider: Arc<dyn Service> = match config.decider {
        Decider::BuiltIn => Arc::new(BuiltIn),
        Decider::Webhook(config) => Arc::new(Webhook::new(config)?),
        Decider::GraphQl(config) => Arc::new(GraphQl::new(config)?),
    };
    if config.hooks.is_empty() {
        return Ok(decider);
    }
    let hooks = config.hooks.into_iter().map(Hook::new);
    let hooks = hooks.collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(WithHooks::new(decider, hooks)))
}
