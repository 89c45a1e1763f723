//! Pushes and pulls: what is wrong with their keys, and what they come to.

use inver_node::{Address, ConfiguredRestream, RestreamPolicy, Way};

use super::schema::Config;
use super::value::Secret;

impl Config {
    /// What pushes and pulls may do, and those of the configuration file.
    pub fn restream(&self) -> RestreamPolicy {
        let restream = &self.restream;
        let pushes = restream.pushes.iter().map(|push| ConfiguredRestream {
            room: push.room.clone(),
            way: Way::Push,
            url: wrapped(&push.url),
            on_demand: false,
            keep_opus: push.keep_opus,
            participant: None,
        });
        let pulls = restream.pulls.iter().map(|pull| ConfiguredRestream {
            room: pull.room.clone(),
            way: Way::Pull,
            url: wrapped(&pull.url),
            on_demand: pull.on_demand,
            keep_opus: false,
            participant: pull.participant.clone(),
        });
        RestreamPolicy {
            allow_private: restream.allow_private,
            most: restream.max,
            most_per_room: restream.max_per_room,
            files_dir: restream.files_dir.clone(),
            configured: pushes.chain(pulls).collect(),
        }
    }

    /// What is wrong with the section: a key of it, and why.
    pub(super) fn restream_problems(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        for push in &self.restream.pushes {
            if let Err(error) = Address::of_push(push.url.reveal()) {
                wrong.push(("pushes", format!("room {}: {error}", push.room)));
            }
        }
        for pull in &self.restream.pulls {
            match Address::of_pull(pull.url.reveal()) {
                Ok(Address::File(_)) if self.restream.files_dir.is_none() => {
                    let message = format!("room {}: files need restream.files_dir", pull.room);
                    wrong.push(("pulls", message));
                }
                Ok(_) => {}
                Err(error) => wrong.push(("pulls", format!("room {}: {error}", pull.room))),
            }
        }
        wrong
    }
}

fn wrapped(secret: &Secret) -> inver_node::Secret {
    inver_node::Secret::new(secret.reveal())
}
