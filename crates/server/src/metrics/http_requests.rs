//! Counts of HTTP requests by class of route and by status.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a request was about: few, so that there are few series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteClass {
    /// WHIP endpoints and sessions.
    Whip,
    /// WHEP endpoints and sessions.
    Whep,
    /// The control API.
    Api,
    /// Pages, their parts, and the SDK.
    Page,
    /// Metrics and health.
    Operations,
    /// Nothing that exists.
    Unknown,
}

impl RouteClass {
    /// The class of a route as the router knows it, `None` where no route matched.
    pub fn of(route: Option<&str>) -> Self {
        let Some(route) = route else {
            return Self::Unknown;
        };
        let first = route
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or("");
        match first {
            "whip" => Self::Whip,
            "whep" => Self::Whep,
            "api" => Self::Api,
            "metrics" | "livez" | "readyz" => Self::Operations,
            _ => Self::Page,
        }
    }
}

impl fmt::Display for RouteClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whip => "whip",
            Self::Whep => "whep",
            Self::Api => "api",
            Self::Page => "page",
            Self::Operations => "operations",
            Self::Unknown => "unknown",
        })
    }
}

/// Counts since the start. The lock is held for the time of one addition; requests are rare
/// beside packets, which never come here.
#[derive(Debug, Default)]
pub struct HttpRequests(Mutex<BTreeMap<(RouteClass, u16), Answered>>);

/// How often, and how long it took until the response began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Answered {
    /// Requests.
    pub count: u64,
    /// Sum of the times.
    pub time: Duration,
}

impl HttpRequests {
    /// Counts one.
    pub fn record(&self, class: RouteClass, status: u16, time: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = counts.entry((class, status)).or_default();
        answered.count += 1;
        answered.time += time;
    }

    /// All counts.
    pub fn snapshot(&self) -> Vec<((RouteClass, u16), Answered)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .iter()
            .map(|(key, answered)| (*key, *answered))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_come_from_routes() {
        for (route, class) in [
            (Some("/whip/{room}"), RouteClass::Whip),
            (Some("/whep/session/{token}"), RouteClass::Whep),
            (Some("/api/v1/rooms"), RouteClass::Api),
            (Some("/watch/{room}"), RouteClass::Page),
            (Some("/"), RouteClass::Page),
            (Some("/metrics"), RouteClass::Operations),
            (None, RouteClass::Unknown),
        ] {
            assert_eq!(RouteClass::of(route), class, "{route:?}");
        }
    }
}
