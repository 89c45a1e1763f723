//! Runs one task for each push or pull, as long as it is on the list.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use inver_proto::RestreamId;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Restream, Way};
use crate::handle::Handle;

/// How long tasks may take to end after the stop.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs `task` for every push or every pull that there is or comes to be, until `stop` turns to
/// true; the second argument of a task turns to true when it has to end.
pub async fn tend<Task>(
    handle: Handle,
    way: Way,
    mut stop: watch::Receiver<bool>,
    task: impl Fn(Arc<Restream>, watch::Receiver<bool>) -> Task,
) where
    Task: Future<Output = ()> + Send + 'static,
{
    let mut changes = handle.restream_changes();
    let mut stops: HashMap<RestreamId, watch::Sender<bool>> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        changes.mark_unchanged();
        let wanted = handle.restreams(way);
        stops.retain(|id, _| wanted.iter().any(|restream| restream.id == *id));
        for restream in wanted {
            stops.entry(restream.id.clone()).or_insert_with(|| {
                let (stop, stopped) = watch::channel(false);
                tasks.spawn(task(restream, stopped));
                stop
            });
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            changed = changes.changed() => if changed.is_err() { break },
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
    // A sender that is gone tells the task to end as well.
    drop(stops);
    let ended = async { while tasks.join_next().await.is_some() {} };
    if timeout(DRAIN, ended).await.is_err() {
        tracing::debug!("pushes or pulls are cut off: they did not end in time");
    }
}
