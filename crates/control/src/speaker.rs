//! Who speaks in a call, with hysteresis: a cough does not switch everybody's picture.

use std::time::Duration;

use inver_proto::SourceId;

use crate::policy::SPEAKER_HYSTERESIS;

/// Reports come every 500 ms while somebody speaks; a longer gap than this ends a run of speech.
const GAP: Duration = Duration::from_millis(1200);

#[derive(Debug, Default)]
pub(crate) struct Speaker {
    /// When the source on stage last spoke.
    stage_spoke: Option<Duration>,
    /// Who else speaks: since when, and last heard when.
    challenger: Option<(SourceId, Duration, Duration)>,
}

impl Speaker {
    /// Takes a report of speech and says whether its source should come on stage.
    pub(crate) fn spoke(
        &mut self,
        source: SourceId,
        stage: Option<SourceId>,
        at: Duration,
    ) -> bool {
        if stage == Some(source) {
            self.stage_spoke = Some(at);
            return false;
        }
        let since = match self.challenger {
            Some((other, since, last)) if other == source && at.saturating_sub(last) <= GAP => {
                since
            }
            // Of two who compete, the one who began first is followed until it pauses.
            Some((other, _, last)) if other != source && at.saturating_sub(last) <= GAP => {
                return false;
            }
            Some(_) | None => at,
        };
        self.challenger = Some((source, since, at));
        at.saturating_sub(since) >= SPEAKER_HYSTERESIS && !self.stage_speaks(at)
    }

    /// Whether the source on stage is being heard.
    pub(crate) fn stage_speaks(&self, at: Duration) -> bool {
        self.stage_spoke
            .is_some_and(|last| at.saturating_sub(last) <= GAP)
    }

    /// The stage has changed.
    pub(crate) fn staged(&mut self, source: SourceId) {
        self.stage_spoke = match self.challenger {
            Some((challenger, _, last)) if challenger == source => Some(last),
            Some(_) | None => None,
        };
        self.challenger = None;
    }
}
