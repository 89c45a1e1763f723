//! What survives: rooms, keys, secrets, whatever ends the process.

mod fake;

use std::fs;
use std::path::Path;

use fake::{Node, publish, room};
use inver_node::{Action, Config, Credentials, Handle, OpenError, RefusalKind, Secret};
use inver_proto::{CreateKey, CreateRoom, CreateToken, RoomKind};
use tokio::sync::mpsc;

fn named(id: &str) -> CreateRoom {
    CreateRoom {
        id: Some(room(id)),
        kind: RoomKind::Call,
        ..CreateRoom::default()
    }
}

/// What a process that is killed now leaves on disk.
fn killed(folder: &Path) -> tempfile::TempDir {
    let left = tempfile::tempdir().expect("a folder");
    for file in fs::read_dir(folder).expect("is there") {
        let file = file.expect("is readable");
        fs::copy(file.path(), left.path().join(file.file_name())).expect("there is room");
    }
    left
}

/// Stops the node and opens its folder again.
async fn reopened(node: Node, folder: &Path) -> Node {
    node.handle.stop().await;
    let Node { handle, facts, .. } = node;
    drop(handle);
    // The node's tasks let go of the store when they have seen the stop.
    facts.closed().await;
    loop {
        match Node::try_open(folder, true).await {
            Ok(node) => return node,
            Err(OpenError::Store(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_killed_process_finds_every_room_and_key_that_it_had_promised() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), false).await;
    let made = node
        .handle
        .create_room(named("studio"))
        .await
        .expect("is new");
    assert_eq!(
        (made.number, made.keyed, made.configured),
        (Some(1001), true, true)
    );
    node.handle
        .create_room(named("gone"))
        .await
        .expect("is new");
    let kept = node
        .handle
        .create_key(&room("studio"), CreateKey::default())
        .await;
    let kept = kept.expect("is configured");
    let label = CreateKey {
        label: Some("second".to_owned()),
    };
    let other = node
        .handle
        .create_key(&room("studio"), label)
        .await
        .expect("is configured");
    let rotated = node
        .handle
        .rotate_key(&room("studio"), &other.id)
        .await
        .expect("is there");
    let withdrawn = node
        .handle
        .create_key(&room("studio"), CreateKey::default())
        .await;
    let withdrawn = withdrawn.expect("is configured");
    node.handle
        .delete_key(&room("studio"), &withdrawn.id)
        .await
        .expect("is there");
    node.handle
        .close_room(&room("gone"))
        .await
        .expect("is there");
    let token = CreateToken {
        admin: true,
        ..CreateToken::default()
    };
    let token = node
        .handle
        .issue_token(&token)
        .expect("is well formed")
        .token;
    let admin = node.handle.admin_token().reveal().to_owned();

    let left = killed(folder.path());
    let again = Node::open(left.path(), false).await;
    let rooms = again.handle.rooms();
    assert_eq!(rooms.len(), 1);
    assert_eq!(
        (rooms[0].kind, rooms[0].number),
        (RoomKind::Call, Some(1001))
    );
    assert_eq!(rooms[0].created_at, made.created_at);
    let numbered = again
        .handle
        .room_by_number(1001)
        .expect("has the number still");
    assert_eq!(numbered.0, room("studio"));
    assert_eq!(
        again.handle.keys(&room("studio")),
        node.handle.keys(&room("studio"))
    );
    let allowed = |shown: &str, action| {
        again
            .handle
            .authorize(&Credentials::bearer(shown), action)
            .is_ok()
    };
    let studio = room("studio");
    assert!(allowed(&kept.key, Action::Publish(&studio)));
    assert!(allowed(&rotated.stream_key, Action::Publish(&studio)));
    assert!(
        !allowed(&other.key, Action::Publish(&studio)),
        "was rotated"
    );
    assert!(
        !allowed(&withdrawn.key, Action::Publish(&studio)),
        "was withdrawn"
    );
    assert!(
        allowed(&token, Action::AdministerServer),
        "signed with the same secret"
    );
    assert!(allowed(&admin, Action::AdministerServer));
    assert_eq!(again.handle.reveal_keys(&studio).expect("opens").len(), 2);
    let next = again
        .handle
        .create_room(named("next"))
        .await
        .expect("is new");
    assert_eq!(next.number, Some(1003), "no number twice");
    again
        .handle
        .publish(publish("studio", &kept.key))
        .await
        .expect("its key");
}

#[tokio::test]
async fn after_a_stop_the_folder_opens_again_and_not_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    node.handle
        .create_room(named("studio"))
        .await
        .expect("is new");
    let Err(error) = Node::try_open(folder.path(), true).await else {
        panic!("opened twice")
    };
    assert!(error.to_string().contains("another process"), "{error}");
    let again = reopened(node, folder.path()).await;
    assert_eq!(again.handle.rooms().len(), 1);
}

#[tokio::test]
async fn a_note_of_a_keys_use_does_not_bring_a_withdrawn_key_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), false).await;
    node.handle
        .create_room(named("studio"))
        .await
        .expect("is new");
    let key = node
        .handle
        .create_key(&room("studio"), CreateKey::default())
        .await;
    let key = key.expect("is configured");
    node.handle
        .publish(publish("studio", &key.key))
        .await
        .expect("its key");
    node.handle
        .delete_key(&room("studio"), &key.id)
        .await
        .expect("is there");
    let again = reopened(node, folder.path()).await;
    let keys = again.handle.keys(&room("studio")).expect("is there");
    assert!(
        keys.is_empty(),
        "whether the note came before or after the withdrawal"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn secrets_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("made/on/the/way");
    let node = Node::open(&data, false).await;
    let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for name in ["server.secret", "admin.token"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    let written = fs::read_to_string(data.join("admin.token")).expect("is text");
    assert!(node.handle.admin_token().matches(written.trim()));
    let copy = killed(&data);
    let loose = copy.path().join("server.secret");
    fs::set_permissions(&loose, fs::Permissions::from_mode(0o644)).expect("is ours");
    Node::open(copy.path(), false).await;
    assert_eq!(mode(&loose), 0o600, "others' rights are taken away");
}

#[tokio::test]
async fn damaged_secrets_and_weak_tokens_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("server.secret"), b"short").expect("there is room");
    let Err(error) = Node::try_open(folder.path(), false).await else {
        panic!("opened")
    };
    assert!(error.to_string().contains("32 bytes"), "{error}");
    let folder = tempfile::tempdir().expect("a folder");
    let config = |token: &str| Config {
        data_dir: folder.path().to_owned(),
        admin_token: Some(Secret::new(token)),
        ..Config::default()
    };
    let (_, events) = mpsc::channel(1);
    let weak = Handle::open(config("12345"), fake::Fake::default(), events).await;
    assert!(
        weak.expect_err("is weak")
            .to_string()
            .contains("16 characters")
    );
    let (_, events) = mpsc::channel(1);
    let good = Handle::open(
        config("a token from the config"),
        fake::Fake::default(),
        events,
    );
    assert!(
        good.await
            .expect("opens")
            .admin_token()
            .matches("a token from the config")
    );
}

#[tokio::test]
async fn what_is_visible_depends_on_who_looks() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), false).await;
    let handle = &node.handle;
    handle.create_room(named("studio")).await.expect("is new");
    handle.create_room(named("other")).await.expect("is new");
    let studio = room("studio");
    let request = CreateToken {
        room: Some("studio".to_owned()),
        admin: true,
        ..CreateToken::default()
    };
    let token = Credentials::bearer(&handle.issue_token(&request).expect("is well formed").token);
    let numbers = |credentials: &Credentials| -> Vec<Option<u32>> {
        let rooms = handle.visible_rooms(credentials).expect("may look");
        rooms.into_iter().map(|room| room.number).collect()
    };
    assert_eq!(
        numbers(&Credentials::NONE),
        [None, None],
        "the reduced form"
    );
    let admin = Credentials::bearer(handle.admin_token().reveal());
    assert_eq!(numbers(&admin), [Some(1002), Some(1001)]);
    assert_eq!(
        handle
            .visible_room(&token, &studio)
            .expect("its own")
            .number,
        Some(1001)
    );
    assert_eq!(
        handle
            .visible_room(&token, &room("other"))
            .expect("public")
            .number,
        None
    );
    let wrong = handle
        .visible_rooms(&Credentials::bearer("wrong"))
        .expect_err("is unknown");
    assert_eq!(wrong.kind, RefusalKind::Unauthorized);
    let info = handle.server_info("https://live.example");
    assert_eq!(info.whip_url, "https://live.example/whip");
    assert_eq!(
        (info.version.as_str(), info.open, info.draining),
        ("1.2.3", false, false)
    );
}
