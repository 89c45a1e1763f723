//! Addresses of pushes, pulls and fallbacks: whatever is asked for, no file lies outside and nothing
//! that may be a key is shown.
#![cfg_attr(fuzzing, no_main)]

use inver_node::{Address, FallbackSource};

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    stands_in(&text);
    let address = match Address::of_pull(&text) {
        Ok(address) => address,
        Err(error) => {
            assert!(error.len() < 400, "an error repeats the input");
            return;
        }
    };
    let pulled = matches!(
        address,
        Address::File(_) | Address::Rtsp(_) | Address::Whep(_)
    );
    assert!(Address::of_push(&text).is_ok() != pulled);
    let shown = address.shown();
    assert!(address.participant().as_str().len() <= 64);
    match &address {
        Address::File(path) => {
            let inside = path
                .split('/')
                .all(|part| !part.is_empty() && !part.starts_with('.'));
            assert!(inside, "{path}");
        }
        Address::Rtmp(target) => {
            assert!(!target.host.is_empty() && target.port > 0);
            assert!(shown.ends_with("/***"));
            let said = format!("no {} here", target.address.name);
            assert!(target.address.name.len() < 3 || !address.hide(&said).contains(&said));
        }
        Address::Rtsp(target) => {
            assert!(!target.host.is_empty() && target.port > 0);
            assert!(target.uri.bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(shown.len() <= target.host.len() + 22);
            if let Some(login) = &target.login
                && login.password.len() > 1
                && login.password != "***"
            {
                let said = format!("no {} here", login.password);
                assert!(!address.hide(&said).contains(&said));
            }
        }
        Address::Whep(target) => {
            assert!(!target.host().is_empty() && target.port() > 0);
            assert!(target.url.username().is_empty() && target.url.password().is_none());
            assert!(shown.len() <= target.host().len() + 20);
        }
        Address::Srt(target) => {
            assert!(!target.host.is_empty() && target.port > 0);
            assert!(shown.len() <= target.host.len() + 20);
        }
    }
}

/// What stands in for a publisher is one of these, or a picture among the files.
fn stands_in(text: &str) {
    match FallbackSource::parse(text) {
        Ok(FallbackSource::Picture(path)) => {
            assert!(Address::of_pull(text).is_err(), "a picture is no film");
            let mut parts = path.split('/');
            assert!(parts.all(|part| !part.is_empty() && !part.starts_with('.')));
        }
        Ok(FallbackSource::Stream(_)) => assert!(Address::of_pull(text).is_ok()),
        Err(error) => assert!(error.len() < 500, "an error repeats the input"),
    }
}
