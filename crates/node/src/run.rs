//! The node's tasks: facts from the shards and timers into control, slow work out of it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use inver_control::{Change, Control, MediaEvent};
use inver_shard::Event;
use tokio::sync::mpsc;

use crate::figures;
use crate::handle::Inner;

/// Facts that are taken at once under one lock.
const BATCH: usize = 128;

/// Feeds control with the shards' facts and with time, until the node stops.
pub(crate) async fn events(inner: Arc<Inner>, mut events: mpsc::Receiver<(usize, Event)>) {
    let mut stopping = inner.stopping.subscribe();
    let mut batch = Vec::with_capacity(BATCH);
    let mut told = true;
    loop {
        let wait = inner
            .look(Control::poll_timeout)
            .map(|at| at.saturating_sub(inner.now().elapsed));
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return,
            count = events.recv_many(&mut batch, BATCH), if told => {
                // Without shards left there are still timers and requests to refuse.
                told = count > 0;
                inner.mutate(|control, now| {
                    for (_, event) in batch.drain(..) {
                        if let Event::Closed { session, .. } = &event {
                            inner.media.forget_session(*session);
                        }
                        control.handle_media(fact(event), now);
                    }
                    // Here too, or a steady flow of facts would hold the timers up.
                    control.handle_timeout(now);
                });
            }
            () = due(wait) => inner.mutate(Control::handle_timeout),
            () = inner.timers.notified() => {}
        }
    }
}

async fn due(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Moves viewers to other sources, one after the other: the shard's answer is worth a log line.
pub(crate) async fn switches(inner: Arc<Inner>) {
    let mut stopping = inner.stopping.subscribe();
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = inner.switch.notified() => {}
        }
        loop {
            let due = std::mem::take(
                &mut *inner
                    .switches
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            );
            if due.is_empty() {
                break;
            }
            for (session, source) in due {
                if let Err(error) = inner.media.switch_source(session, source).await {
                    tracing::debug!(%session, %source, %error, "a viewer could not be moved");
                }
            }
        }
    }
}

/// Writes what may be late or lost.
pub(crate) async fn notes(inner: Arc<Inner>, mut notes: mpsc::Receiver<Change>) {
    let mut stopping = inner.stopping.subscribe();
    loop {
        let note = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            note = notes.recv() => note,
        };
        let Some(note) = note else { return };
        let _order = inner.writing.lock().await;
        let store = inner.store.clone();
        let written = tokio::task::spawn_blocking(move || store.note(&note)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a key's last use was not written"),
            Err(error) => tracing::error!(%error, "the store's thread failed"),
        }
    }
}

/// A shard's fact in control's words.
fn fact(event: Event) -> MediaEvent {
    match event {
        Event::Connected { session } => MediaEvent::Connected(session),
        Event::Disconnected { session } => MediaEvent::Disconnected(session),
        Event::Closed { session, reason } => MediaEvent::Closed(session, figures::cause(reason)),
        Event::Tracks { source, .. } | Event::Layers { source } => {
            MediaEvent::PublicationChanged(source)
        }
        Event::Flowing { source, flowing } => MediaEvent::Flowing(source, flowing),
        Event::Speaking { source, .. } => MediaEvent::Speaking(source),
        Event::Warned { session, warning } => {
            MediaEvent::Warned(session, figures::warning(warning))
        }
    }
}
