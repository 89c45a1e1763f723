//! Who watches: players have no session, they are known by the playlists that they ask for again.
//!
//! Owns no clock. The multivariant playlist names each of its readers in the addresses of the media
//! playlists; whoever asks without such a name is known by where the request comes from. Behind a
//! cache that answers for several, they are as many as it lets through.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// How much longer than the longest pause between two requests a player is held to be there: more
/// counts those who left for longer, less forgets those on slow networks.
const SLACK: Duration = Duration::from_secs(2);

/// What tells one player from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Player {
    /// The name that we gave it.
    Named(u64),
    /// Where it asks from.
    At(IpAddr),
    /// Nobody knows where it asks from.
    Unknown,
}

/// The players of one room. The room's places bound them.
#[derive(Debug)]
pub(super) struct Players {
    seen: HashMap<Player, Instant>,
    window: Duration,
}

impl Players {
    /// Players of a stream whose playlists are asked for again after `pause` at the latest.
    pub(super) fn new(pause: Duration) -> Self {
        Self {
            seen: HashMap::new(),
            window: pause + SLACK,
        }
    }

    /// A player asks; `place` is asked for one where it is new, with how many there are then.
    ///
    /// # Errors
    ///
    /// There is no place for it.
    pub(super) fn saw<E>(
        &mut self,
        player: Player,
        now: Instant,
        place: impl FnOnce(u32) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.seen.contains_key(&player) {
            place(self.count().saturating_add(1))?;
        }
        self.seen.insert(player, now);
        Ok(())
    }

    /// Forgets who has not asked for long, and tells how many are left.
    pub(super) fn left(&mut self, now: Instant) -> u32 {
        let window = self.window;
        self.seen
            .retain(|_, at| now.saturating_duration_since(*at) < window);
        self.count()
    }

    fn count(&self) -> u32 {
        u32::try_from(self.seen.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    fn places(most: u32) -> impl Fn(u32) -> Result<(), u32> {
        move |wanted| if wanted > most { Err(wanted) } else { Ok(()) }
    }

    #[test]
    fn one_player_counts_once_however_often_it_asks() {
        let mut players = Players::new(PAUSE);
        let now = Instant::now();
        for second in 0..30 {
            let at = now + Duration::from_secs(second);
            players
                .saw(Player::Named(1), at, places(2))
                .expect("a place");
            assert_eq!(players.left(at), 1);
        }
        let at = now + Duration::from_secs(29);
        let other = Player::At(IpAddr::from([192, 0, 2, 1]));
        players.saw(other, at, places(2)).expect("a place");
        assert_eq!(players.left(at), 2);
    }

    #[test]
    fn who_does_not_ask_any_more_has_left_and_gives_its_place_to_others() {
        let mut players = Players::new(PAUSE);
        let now = Instant::now();
        players
            .saw(Player::Named(1), now, places(1))
            .expect("a place");
        assert_eq!(players.saw(Player::Named(2), now, places(1)), Err(2));
        let later = now + Duration::from_secs(11);
        assert_eq!(players.left(later), 1, "it may still wait for an answer");
        let later = now + Duration::from_secs(13);
        assert_eq!(players.left(later), 0);
        players
            .saw(Player::Named(2), later, places(1))
            .expect("a place");
    }
}
