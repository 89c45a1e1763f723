//! A webhook's answer: what status and body say together.

use inver_proto::ParticipantId;
use serde::Deserialize;

use crate::fault::Fault;
use crate::outbound::Answer;

/// The fields that an answer may have; others are ignored.
#[derive(Default, Deserialize)]
pub(super) struct Reply {
    /// `false` says no whatever the status.
    allow: Option<bool>,
    /// `true` ends the stream that a report is about.
    pub(super) end: Option<bool>,
    /// Why, to be shown.
    pub(super) reason: Option<String>,
    /// Who it is.
    pub(super) participant: Option<ParticipantId>,
    /// What the service calls the stream.
    pub(super) stream_id: Option<String>,
    /// The room's key.
    pub(super) key: Option<String>,
}

/// A decision.
pub(super) enum Decision {
    Yes(Reply),
    No { status: u16, reply: Reply },
}

/// Reads an answer. What is neither yes nor no is a fault: then the configuration decides.
pub(super) fn decision(answer: &Answer) -> Result<Decision, Fault> {
    let status = answer.status.as_u16();
    match status {
        200..=299 => {
            let reply = reply(&answer.body)?;
            if reply.allow == Some(false) {
                return Ok(Decision::No { status, reply });
            }
            Ok(Decision::Yes(reply))
        }
        300..=399 => Err(Fault::Redirected(status)),
        400..=499 if !matches!(status, 408 | 425 | 429) => {
            // The status says it all; a page of HTML beside it changes nothing.
            let reply = reply(&answer.body).unwrap_or_default();
            Ok(Decision::No { status, reply })
        }
        _ => Err(Fault::Status(status)),
    }
}

fn reply(body: &[u8]) -> Result<Reply, Fault> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Reply::default());
    }
    serde_json::from_slice(body).map_err(|error| {
        // Its words may quote the body, which may hold a key; the place says enough.
        let (line, column) = (error.line(), error.column());
        Fault::Malformed(format!(
            "the body has to be empty or a JSON object with the documented fields; line {line}, \
             column {column} is not"
        ))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    fn decide(status: u16, body: &'static str) -> Result<Decision, Fault> {
        decision(&Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            retry_after: None,
            body: Bytes::from_static(body.as_bytes()),
        })
    }

    #[test]
    fn success_says_yes_unless_the_body_says_no() {
        for body in ["", " \n", "{}", r#"{"allow":true,"other":[1]}"#] {
            assert!(matches!(decide(200, body), Ok(Decision::Yes(_))), "{body}");
        }
        let no = decide(200, r#"{"allow":false,"reason":"banned"}"#);
        let Ok(Decision::No { reply, .. }) = no else {
            panic!("allow: false is a no");
        };
        assert_eq!(reply.reason.as_deref(), Some("banned"));
    }

    #[test]
    fn a_client_error_says_no_whatever_the_body() {
        for status in [400, 401, 403, 404, 410, 422] {
            let no = decide(status, "<html>no</html>");
            assert!(matches!(no, Ok(Decision::No { .. })), "{status}");
        }
        // Not even a body that says yes.
        let no = decide(403, r#"{"allow":true}"#);
        assert!(matches!(no, Ok(Decision::No { .. })));
    }

    #[test]
    fn what_is_neither_is_a_fault() {
        for status in [301, 302, 307, 408, 425, 429, 500, 502, 503] {
            assert!(decide(status, r#"{"allow":true}"#).is_err(), "{status}");
        }
        for body in [
            "<html>",
            "[]",
            "true",
            r#"{"allow":"yes"}"#,
            r#"{"participant":"a b"}"#,
        ] {
            assert!(
                matches!(decide(200, body), Err(Fault::Malformed(_))),
                "{body}"
            );
        }
    }

    #[test]
    fn a_fault_does_not_quote_the_body() {
        let Err(fault) = decide(200, r#"{"key":"geheim","allow":"geheim"}"#) else {
            panic!("allow is no text");
        };
        assert!(!fault.to_string().contains("geheim"), "{fault}");
    }
}
