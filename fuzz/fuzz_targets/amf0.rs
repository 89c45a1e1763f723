//! AMF0: commands of RTMP and script data of FLV. What was read is written and read again.
#![cfg_attr(fuzzing, no_main)]

use inver_media::container::flv::Metadata;
use inver_media::container::flv::amf0::{self, MAX_DEPTH, MAX_VALUES, Value};

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    if let Ok(Some(metadata)) = Metadata::parse(data) {
        let written = metadata.write();
        let again = Metadata::parse(&written).expect("our own metadata is readable");
        let again = again.expect("our own metadata is metadata");
        // Written forms are compared: a frame rate may be no number, which equals nothing.
        assert_eq!(again.write(), written);
    }
    let Ok(values) = amf0::read_all(data) else {
        return;
    };
    let mut count = 0;
    for value in &values {
        measure(value, 0, &mut count);
    }
    assert!(count <= MAX_VALUES, "{count} values");
    let mut written = Vec::new();
    amf0::write_all(&mut written, &values);
    let again = amf0::read_all(&written).expect("our own values are readable");
    assert_eq!(again.len(), values.len());
    let mut twice = Vec::new();
    amf0::write_all(&mut twice, &again);
    assert_eq!(twice, written);
}

fn measure(value: &Value, depth: u32, count: &mut u32) {
    assert!(depth <= MAX_DEPTH, "values are nested too deep");
    *count += 1;
    match value {
        Value::Object(properties) | Value::EcmaArray(properties) => {
            for (name, inner) in properties {
                assert!(value.get(name).is_some(), "a property that is not found");
                measure(inner, depth + 1, count);
            }
        }
        Value::StrictArray(values) => {
            for inner in values {
                measure(inner, depth + 1, count);
            }
        }
        Value::Number(_)
        | Value::Boolean(_)
        | Value::String(_)
        | Value::Null
        | Value::Undefined
        | Value::Date(_) => {}
    }
}
