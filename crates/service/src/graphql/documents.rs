//! What is asked of the service, in its schema's words.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;
use inver_control::{SystemEntropy, base62};
use serde_json::{Map, Value};

use crate::stream::{Metadata, StreamId};

pub(super) const HMAC_KEY: &str = "query ($id: ID!) { channel(id: $id) { hmacKey } }";

pub(super) const START: &str =
    "mutation ($channelId: ID!) { startStream(channelId: $channelId) { id } }";

pub(super) const END: &str = "mutation ($streamId: ID!) { endStream(streamId: $streamId) { id } }";

pub(super) const REPORT: &str = "mutation ($streamId: ID!, $metadata: StreamMetadataInput!) { \
     logStreamMetadata(streamId: $streamId, metadata: $metadata) { id } }";

/// Name of the part that holds the picture; the mutation names it in place of the file.
const FILE: &str = "thumbdata";

/// Letters of a boundary: 142 bits, so no picture contains it by chance or intent.
const BOUNDARY_LETTERS: usize = 24;

/// A report in the schema's fields; what is not known is left out.
pub(super) fn metadata(metadata: &Metadata) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Value::from);
    put("audioCodec", text(&metadata.audio_codec));
    put("videoCodec", text(&metadata.video_codec));
    put("videoHeight", metadata.height.map(Value::from));
    put("videoWidth", metadata.width.map(Value::from));
    put("ingestServer", text(&metadata.ingest_server));
    put("ingestViewers", Some(metadata.viewers.into()));
    put("lostPackets", Some(int(metadata.lost_packets)));
    put("nackPackets", Some(int(metadata.nack_packets)));
    put("recvPackets", Some(int(metadata.received_packets)));
    put("sourceBitrate", metadata.bitrate.map(int));
    put("sourcePing", metadata.ping_ms.map(Value::from));
    put("streamTimeSeconds", Some(int(metadata.duration.as_secs())));
    put("vendorName", text(&metadata.vendor_name));
    put("vendorVersion", text(&metadata.vendor_version));
    Value::Object(fields)
}

/// GraphQL's `Int` has 32 bits with a sign; a larger count stays at the largest.
fn int(count: u64) -> Value {
    i32::try_from(count).unwrap_or(i32::MAX).into()
}

/// The upload of a picture: `multipart/form-data` (RFC 7578) with the mutation and the file.
pub(super) fn upload(stream: &StreamId, jpeg: &[u8]) -> (HeaderValue, Bytes) {
    // A JSON string is a GraphQL string: the same escapes.
    let id = Value::from(stream.as_str());
    let mutation = format!(
        "mutation {{ uploadStreamThumbnail(streamId: {id}, thumbnail: \"{FILE}\") {{ id }} }}"
    );
    let boundary = base62(&mut SystemEntropy::default(), BOUNDARY_LETTERS);
    let mut body = BytesMut::with_capacity(jpeg.len() + 512);
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\n{mutation}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"{FILE}\"; \
         filename=\"thumbnail.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n"
    );
    body.put_slice(head.as_bytes());
    body.put_slice(jpeg);
    body.put_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let kind = HeaderValue::from_str(&format!("multipart/form-data; boundary={boundary}"))
        .expect("letters and digits are visible ASCII characters");
    (kind, body.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_left_out_and_counts_fit_the_schema() {
        let fields = metadata(&Metadata {
            received_packets: u64::MAX,
            width: Some(1920),
            ..Metadata::default()
        });
        assert_eq!(fields["recvPackets"], i32::MAX);
        assert_eq!(fields["videoWidth"], 1920);
        assert!(fields.get("audioCodec").is_none());
    }

    #[test]
    fn an_id_cannot_leave_its_string() {
        let id = StreamId::new("7\", thumbnail: \"x").expect("fits");
        let (_, body) = upload(&id, b"jpeg");
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains(r#"streamId: "7\", thumbnail: \"x", thumbnail: "thumbdata""#));
    }
}
