//! Addresses of pushes and pulls: whatever is asked for, no file lies outside and nothing that may
//! be a key is shown.
#![cfg_attr(fuzzing, no_main)]

use inver_node::Address;

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let address = match Address::of_pull(&text) {
        Ok(address) => address,
        Err(error) => {
            assert!(error.len() < 400, "an error repeats the input");
            return;
        }
    };
    assert!(Address::of_push(&text).is_ok() != matches!(address, Address::File(_)));
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
        Address::Srt(target) => {
            assert!(!target.host.is_empty() && target.port > 0);
            assert!(shown.len() <= target.host.len() + 20);
        }
    }
}
