//! Sessions from a door's request to their end, with a scripted data plane.

mod fake;

use std::time::Duration;

use fake::{Call, Node, OFFER, publish, room, subscribe};
use inver_node::{Patched, RefusalKind, SessionToken, Subscribe};
use inver_proto::{SessionState, Transport};
use inver_shard::{
    CloseReason, Error, Event, LayerSelection, LayerStats, SessionStats, Snapshot, SourceStats,
    TrackStats,
};

#[tokio::test(start_paused = true)]
async fn a_publisher_and_a_viewer_come_and_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let handle = &node.handle;
    let publisher = handle
        .publish(publish("studio", ""))
        .await
        .expect("open server");
    assert_eq!(publisher.etag, format!("\"ours{}\"", publisher.session));
    assert!(!publisher.is_offer && publisher.token.as_str().len() >= 22);
    let source = node.source(publisher.session);
    let mut events = handle.events(None, None);
    node.tell(Event::Connected {
        session: publisher.session,
    })
    .await;
    node.tell(Event::Flowing {
        source,
        flowing: true,
    })
    .await;
    while handle.totals() != (1, 0) {
        events.next().await.expect("the node runs");
    }
    let viewer = handle
        .subscribe(subscribe("studio"))
        .await
        .expect("is live");
    assert_eq!(node.source(viewer.session), source);
    assert_ne!(viewer.token, publisher.token);

    handle.end(&publisher.token).await.expect("is there");
    assert!(
        node.fake
            .calls()
            .contains(&Call::Close(publisher.session, CloseReason::Asked))
    );
    assert!(!handle.session_exists(&publisher.token));
    let again = handle.end(&publisher.token).await.expect_err("is gone");
    assert_eq!(again.kind, RefusalKind::NotFound);
    node.tell(Event::Closed {
        session: publisher.session,
        reason: CloseReason::Asked,
    })
    .await;
    node.fake
        .called(&Call::ForgetSession(publisher.session))
        .await;
    // Nobody comes back: after the grace period the viewer is let go and nothing is left.
    let before = tokio::time::Instant::now();
    node.fake.called(&Call::ForgetSource(source)).await;
    let waited = before.elapsed();
    assert!((29..=31).contains(&waited.as_secs()), "{waited:?}");
    assert!(
        node.fake
            .calls()
            .contains(&Call::Close(viewer.session, CloseReason::Asked))
    );
    assert!(handle.rooms().is_empty());
}

#[tokio::test]
async fn what_the_data_plane_refuses_gives_its_place_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    for (error, kind) in [
        (Error::Sdp("line 3".to_owned()), RefusalKind::Unprocessable),
        (Error::Full, RefusalKind::Unavailable),
        (Error::Gone, RefusalKind::Unavailable),
    ] {
        node.fake.refuse(Some(error));
        let refusal = node
            .handle
            .publish(publish("studio", ""))
            .await
            .expect_err("refused");
        assert_eq!(refusal.kind, kind);
        assert!(node.handle.rooms().is_empty());
    }
    node.fake.refuse(None);
    let mut garbage = publish("studio", "");
    garbage.offer = "hello".to_owned();
    let refusal = node.handle.publish(garbage).await.expect_err("no SDP");
    assert_eq!(refusal.kind, RefusalKind::BadRequest);
    node.handle
        .publish(publish("studio", ""))
        .await
        .expect("the place is free");
}

#[tokio::test]
async fn a_client_that_hangs_up_gives_its_place_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    node.fake.hang(true);
    let asked = tokio::spawn({
        let handle = node.handle.clone();
        async move { handle.publish(publish("studio", "")).await }
    });
    let (session, source) = loop {
        if let Some(Call::Publish(session, source)) = node.fake.calls().first() {
            break (*session, *source);
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(node.handle.rooms().len(), 1);
    asked.abort();
    assert!(asked.await.expect_err("was aborted").is_cancelled());
    assert!(node.handle.rooms().is_empty());
    let calls = node.fake.calls();
    assert!(calls.contains(&Call::Close(session, CloseReason::Failed)));
    assert!(calls.contains(&Call::ForgetSource(source)));
    node.fake.hang(false);
    node.handle
        .publish(publish("studio", ""))
        .await
        .expect("the place is free");
}

#[tokio::test]
async fn candidates_and_restarts_go_by_the_entity_tag() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let handle = &node.handle;
    let started = handle
        .publish(publish("studio", ""))
        .await
        .expect("open server");
    let tag = started.etag.as_str();
    let trickle = "a=ice-ufrag:theirs\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    let patch = |if_match, text: &str| handle.patch_ice(&started.token, if_match, text.to_owned());
    assert_eq!(patch(Some(tag), trickle).await, Ok(Patched::Trickled));
    let call = Call::Trickle(started.session, trickle.to_owned());
    assert!(node.fake.calls().contains(&call));
    let missing = patch(None, trickle).await.expect_err("no If-Match");
    assert_eq!(missing.kind, RefusalKind::PreconditionRequired);
    let stale = patch(Some("\"stale\""), trickle)
        .await
        .expect_err("another tag");
    assert_eq!(stale.kind, RefusalKind::PreconditionFailed);
    let half = patch(Some("*"), "a=ice-ufrag:new\r\n")
        .await
        .expect_err("no password");
    assert_eq!(half.kind, RefusalKind::BadRequest);
    let restart = "a=ice-ufrag:new\r\na=ice-pwd:0123456789012345678901\r\n";
    let restarted = patch(Some("*"), restart).await.expect("restarts");
    let fragment = "a=ice-ufrag:anew\r\n".to_owned();
    let etag = "\"anew\"".to_owned();
    assert_eq!(restarted, Patched::Restarted { fragment, etag });
    let late = patch(Some(tag), trickle)
        .await
        .expect_err("the tag has changed");
    assert_eq!(late.kind, RefusalKind::PreconditionFailed);
    let nobody = handle
        .patch_ice(&SessionToken::new("nobody"), Some("*"), String::new())
        .await;
    assert_eq!(nobody.expect_err("unknown").kind, RefusalKind::NotFound);
}

#[tokio::test]
async fn our_own_offer_is_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let request = Subscribe {
        offer: None,
        wait: true,
        ..subscribe("studio")
    };
    let started = node.handle.subscribe(request).await.expect("may wait");
    assert!(started.is_offer);
    let answer = OFFER.to_owned();
    node.handle
        .accept_answer(&started.token, answer)
        .await
        .expect("is an answer");
    assert!(
        node.fake
            .calls()
            .contains(&Call::AcceptAnswer(started.session))
    );
    let selection = LayerSelection {
        rid: Some("h".to_owned()),
        ..LayerSelection::default()
    };
    node.handle
        .select_layer(&started.token, selection.clone())
        .await
        .expect("is there");
    assert!(
        node.fake
            .calls()
            .contains(&Call::SelectLayer(started.session, selection))
    );
}

#[tokio::test]
async fn a_room_shows_what_the_shards_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let started = node
        .handle
        .publish(publish("studio", ""))
        .await
        .expect("open server");
    let stats = SessionStats {
        round_trip: Some(Duration::from_micros(12_500)),
        bitrate_in: 2_500_000,
        loss: f32::NAN,
        remote: Some("192.0.2.1:4000".parse().expect("is an address")),
        tcp: true,
        ..SessionStats::default()
    };
    let layer = LayerStats {
        width: Some(1280),
        keyframe_interval: Some(Duration::from_secs(2)),
        active: true,
        ..LayerStats::default()
    };
    let track = TrackStats {
        kind: inver_media::Kind::Video,
        codec: Some(inver_media::Codec::H264),
        layers: vec![layer],
        loss: 0.25,
    };
    node.fake.measure(Snapshot {
        sessions: vec![(started.session, stats)],
        sources: vec![(
            node.source(started.session),
            SourceStats {
                tracks: vec![track],
            },
        )],
        ..Snapshot::default()
    });
    let seen = node.handle.room(&room("studio")).expect("is there");
    let session = &seen.participants[0].sessions[0];
    assert_eq!(session.state, SessionState::Connecting);
    assert_eq!(session.remote.as_deref(), Some("192.0.2.1:4000"));
    assert_eq!(session.transport, Some(Transport::Tcp));
    assert_eq!(session.stats.round_trip_ms, Some(12.5));
    assert_eq!(session.stats.loss.to_bits(), 0, "no NaN reaches JSON");
    let publication = &seen.participants[0].publications[0];
    assert_eq!(publication.codec.as_deref(), Some("H264"));
    assert_eq!(publication.layers[0].keyframe_interval_ms, Some(2000));
    assert_eq!(
        publication.layers[0].spatial_layers, 1,
        "there is always one"
    );
}
