//! The service outside and the hooks: what is wrong with their keys, and what they come to.

use std::time::Duration;

use inver_service::{
    Decider, GraphQlConfig, HookConfig, ReportPolicy, WebhookConfig, check_deadline, check_secrets,
    check_url,
};

use super::schema::{AtLimit, Config, ServiceKind, WhenDown};
use super::value::Secret;

/// A section, a key of it, and what is wrong with it.
type Wrong = (&'static str, &'static str, String);

impl Config {
    /// What decides and who is told.
    pub fn services(&self) -> inver_service::Config {
        let service = &self.service;
        let url = service.url.as_ref().map(Secret::reveal).unwrap_or_default();
        let when_down = match service.when_down {
            WhenDown::Deny => inver_service::WhenDown::Deny,
            WhenDown::Allow => inver_service::WhenDown::Allow,
        };
        let decider = match service.kind {
            ServiceKind::BuiltIn => Decider::BuiltIn,
            ServiceKind::Webhook => {
                let default = WebhookConfig::new(url, inver_node::Secret::new(""));
                Decider::Webhook(WebhookConfig {
                    secrets: secrets(service.secret.as_deref()),
                    allow_private: service.allow_private,
                    deadline: service.deadline.0,
                    when_down,
                    viewers: service.viewers,
                    thumbnails: service.thumbnails.unwrap_or(default.thumbnails),
                    ..default
                })
            }
            ServiceKind::GraphQl => {
                let id = service.client_id.as_deref().unwrap_or_default();
                let secret = service.client_secret.as_ref();
                let default = GraphQlConfig::new(url, id, wrapped(secret));
                Decider::GraphQl(GraphQlConfig {
                    allow_private: service.allow_private,
                    deadline: service.deadline.0,
                    when_down,
                    thumbnails: service.thumbnails.unwrap_or(default.thumbnails),
                    ..default
                })
            }
        };
        let hooks = self.hooks.urls.iter().map(|url| HookConfig {
            secrets: secrets(self.hooks.secret.as_deref()),
            allow_private: self.hooks.allow_private,
            ..HookConfig::new(url.reveal(), inver_node::Secret::new(""))
        });
        inver_service::Config {
            decider,
            hooks: hooks.collect(),
        }
    }

    /// How streams are reported.
    pub fn reports(&self) -> ReportPolicy {
        ReportPolicy {
            interval: self.service.report_interval.0,
            at_limit: match self.service.at_limit {
                AtLimit::Keep => inver_service::AtLimit::Keep,
                AtLimit::End => inver_service::AtLimit::End,
            },
        }
    }

    /// What is wrong with the keys of both sections.
    pub(super) fn service_problems(&self) -> Vec<Wrong> {
        let service = &self.service;
        let mut wrong: Vec<Wrong> = Vec::new();
        let mut needs = |key, kind: &str, is_there: bool| {
            if !is_there {
                let message = format!("service.kind = \"{kind}\" needs it");
                wrong.push(("service", key, message));
            }
        };
        match service.kind {
            ServiceKind::BuiltIn => {}
            ServiceKind::Webhook => {
                needs("url", "webhook", service.url.is_some());
                needs("secret", "webhook", service.secret.is_some());
            }
            ServiceKind::GraphQl => {
                needs("url", "graphql", service.url.is_some());
                needs("client_id", "graphql", service.client_id.is_some());
                needs("client_secret", "graphql", service.client_secret.is_some());
            }
        }
        if service.kind == ServiceKind::BuiltIn && service.url.is_some() {
            let message = "is asked by nobody; set service.kind to \"webhook\" or \"graphql\", or \
                           use hooks.urls for who is only told";
            wrong.push(("service", "url", message.to_owned()));
        }
        let url = service.url.iter();
        for (section, urls, allow_private) in [
            ("service", url.collect::<Vec<_>>(), service.allow_private),
            (
                "hooks",
                self.hooks.urls.iter().collect(),
                self.hooks.allow_private,
            ),
        ] {
            let key = if section == "hooks" { "urls" } else { "url" };
            for url in urls {
                if let Err(error) = check_url(url.reveal(), allow_private) {
                    wrong.push((section, key, error.to_string()));
                }
            }
        }
        for (section, configured) in [("service", &service.secret), ("hooks", &self.hooks.secret)] {
            if let Some(configured) = configured
                && let Err(error) = check_secrets(&secrets(Some(configured)))
            {
                wrong.push((section, "secret", error.to_string()));
            }
        }
        if !self.hooks.urls.is_empty() && self.hooks.secret.is_none() {
            wrong.push(("hooks", "secret", "hooks.urls needs it, to sign".to_owned()));
        }
        if let Err(error) = check_deadline(service.deadline.0) {
            wrong.push(("service", "deadline", error.to_string()));
        }
        if service.report_interval.0 < Duration::from_secs(1) {
            let message = "is shorter than 1s, which would be a load and no news";
            wrong.push(("service", "report_interval", message.to_owned()));
        }
        wrong
    }
}

/// Secrets of a list. The environment has several in one text with commas, which base64 never has.
fn secrets(configured: Option<&[Secret]>) -> Vec<inver_node::Secret> {
    let configured = configured.unwrap_or_default().iter();
    let texts = configured.flat_map(|secret| secret.reveal().split(','));
    texts
        .map(|text| inver_node::Secret::new(text.trim()))
        .collect()
}

fn wrapped(secret: Option<&Secret>) -> inver_node::Secret {
    inver_node::Secret::new(secret.map(Secret::reveal).unwrap_or_default())
}
