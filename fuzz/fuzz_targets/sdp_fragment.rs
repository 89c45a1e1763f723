//! Fragments of trickle ICE, and the ICE restarts that they ask for.
#![cfg_attr(fuzzing, no_main)]

use inver_fuzz::Link;
use inver_rtc::Fragment;

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(fragment) = Fragment::parse(&text) else {
        return;
    };
    assert!(fragment.candidates.len() <= 32, "candidates are bounded");
    let mut link = Link::new();
    let _ = link.server.trickle(&fragment);
    let _ = link.client.trickle(&fragment);
    let _ = link.server.is_restart(&fragment);
    if let Ok(ours) = link.server.restart_ice(&fragment) {
        let ours = Fragment::parse(&ours).expect("our own fragment is one");
        assert_eq!(ours.ufrag, Some(link.server.ufrag()));
        assert!(!link.server.is_restart(&fragment), "it is the current one");
        // Once more: the kept offer must still be usable.
        link.server
            .restart_ice(&fragment)
            .expect("what restarted ICE once restarts it again");
    }
    link.pass(std::time::Duration::from_millis(100));
}
