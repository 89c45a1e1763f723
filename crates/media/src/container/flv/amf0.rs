//! AMF0, the encoding of RTMP commands and of FLV script data (Adobe's AMF 0 specification).
//!
//! Reads every type that carries data by itself; references and values in AMF3 are refused, no
//! encoder sends them. What is read is bounded in depth and in number, so memory stays in
//! proportion to the message that held it.

/// Objects and arrays inside one another. Commands use two or three.
pub const MAX_DEPTH: u32 = 16;
/// Values in one message. The richest metadata has about a hundred; a higher bound would let
/// three bytes of input cost sixty of memory for longer.
pub const MAX_VALUES: u32 = 2048;

mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0a;
    pub(super) const DATE: u8 = 0x0b;
    pub(super) const LONG_STRING: u8 = 0x0c;
    pub(super) const UNSUPPORTED: u8 = 0x0d;
    pub(super) const XML: u8 = 0x0f;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number; AMF0 knows no integers.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Text. Bytes that are not UTF-8 were replaced; XML documents come as text too.
    String(String),
    /// Named values in their order. Objects with a class lose its name.
    Object(Vec<(String, Value)>),
    /// Nothing.
    Null,
    /// Not even nothing.
    Undefined,
    /// Named values in their order, as metadata has them.
    EcmaArray(Vec<(String, Value)>),
    /// A list.
    StrictArray(Vec<Value>),
    /// Milliseconds since 1970 in UTC.
    Date(f64),
}

impl Value {
    /// The value of a property of an object or an associative array. Of two with one name the
    /// later counts.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(properties) | Self::EcmaArray(properties) => properties
                .iter()
                .rev()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The properties of an object or an associative array.
    pub fn properties(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Object(properties) | Self::EcmaArray(properties) => Some(properties),
            _ => None,
        }
    }

    /// The number, where it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The text, where it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth, where it is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }

    /// An object with these properties.
    pub fn object<const N: usize>(properties: [(&str, Self); N]) -> Self {
        Self::Object(
            properties
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// Why bytes are not AMF0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end inside a value.
    #[error("AMF0 ends inside a value, at byte {0}")]
    Short(usize),
    /// A type that does not exist or that nobody sends.
    #[error(
        "AMF0 type {marker:#04x} at byte {at} is not supported: expected a number, boolean, string, object, array, date or null"
    )]
    Type {
        /// The type's number.
        marker: u8,
        /// Where it stands.
        at: usize,
    },
    /// Values inside values beyond [`MAX_DEPTH`].
    #[error("AMF0 values are nested deeper than {MAX_DEPTH}")]
    Deep,
    /// More values than [`MAX_VALUES`].
    #[error("AMF0 holds more than {MAX_VALUES} values")]
    Many,
}

/// Reads all values of a message.
pub fn read_all(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let mut reader = Reader::new(bytes);
    let mut values = Vec::new();
    while let Some(value) = reader.next_value()? {
        values.push(value);
    }
    Ok(values)
}

/// Reads values one after another.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values: u32,
}

impl<'a> Reader<'a> {
    /// Begins at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            values: 0,
        }
    }

    /// The next value; `None` at the end of the bytes.
    pub fn next_value(&mut self) -> Result<Option<Value>, Error> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        self.value(0).map(Some)
    }

    fn value(&mut self, depth: u32) -> Result<Value, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::Deep);
        }
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Error::Many);
        }
        let at = self.at;
        let [marker] = self.array::<1>()?;
        Ok(match marker {
            marker::NUMBER => Value::Number(self.number()?),
            marker::BOOLEAN => Value::Boolean(self.array::<1>()?[0] != 0),
            marker::STRING => Value::String(self.short_string()?),
            marker::OBJECT => Value::Object(self.object(depth)?),
            marker::NULL | marker::UNSUPPORTED => Value::Null,
            marker::UNDEFINED => Value::Undefined,
            marker::ECMA_ARRAY => {
                // The count is a hint that encoders get wrong; the end marker decides.
                self.array::<4>()?;
                Value::EcmaArray(self.object(depth)?)
            }
            marker::STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.array()?);
                if count > MAX_VALUES {
                    return Err(Error::Many);
                }
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(depth + 1)?);
                }
                Value::StrictArray(values)
            }
            marker::DATE => {
                let date = self.number()?;
                self.array::<2>()?;
                Value::Date(date)
            }
            marker::LONG_STRING | marker::XML => {
                let len = u32::from_be_bytes(self.array()?);
                let bytes = self.take(usize::try_from(len).map_err(|_| Error::Short(at))?)?;
                Value::String(String::from_utf8_lossy(bytes).into_owned())
            }
            marker::TYPED_OBJECT => {
                self.short_string()?;
                Value::Object(self.object(depth)?)
            }
            marker => return Err(Error::Type { marker, at }),
        })
    }

    /// Properties up to the end marker. Some encoders leave the last end marker out, so the end
    /// of the message between two properties ends an object too.
    fn object(&mut self, depth: u32) -> Result<Vec<(String, Value)>, Error> {
        let mut properties = Vec::new();
        while self.at < self.bytes.len() {
            let name = self.short_string()?;
            if name.is_empty() && self.bytes.get(self.at) == Some(&marker::OBJECT_END) {
                self.at += 1;
                break;
            }
            properties.push((name, self.value(depth + 1)?));
        }
        Ok(properties)
    }

    fn number(&mut self) -> Result<f64, Error> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    fn short_string(&mut self) -> Result<String, Error> {
        let len = usize::from(u16::from_be_bytes(self.array()?));
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let short = Error::Short(self.at);
        let (array, _) = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.split_first_chunk::<N>())
            .ok_or(short)?;
        self.at += N;
        Ok(*array)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(len).ok_or(Error::Short(self.at))?;
        let taken = self.bytes.get(self.at..end).ok_or(Error::Short(self.at))?;
        self.at = end;
        Ok(taken)
    }
}

/// Appends a value.
pub fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Number(number) => write_number(out, *number),
        Value::Boolean(truth) => out.extend_from_slice(&[marker::BOOLEAN, u8::from(*truth)]),
        Value::String(text) => write_string(out, text),
        Value::Object(properties) => {
            out.push(marker::OBJECT);
            write_properties(out, properties);
        }
        Value::Null => out.push(marker::NULL),
        Value::Undefined => out.push(marker::UNDEFINED),
        Value::EcmaArray(properties) => {
            out.push(marker::ECMA_ARRAY);
            out.extend_from_slice(&length(properties.len()));
            write_properties(out, properties);
        }
        Value::StrictArray(values) => {
            out.push(marker::STRICT_ARRAY);
            out.extend_from_slice(&length(values.len()));
            for value in values {
                write(out, value);
            }
        }
        Value::Date(date) => {
            out.push(marker::DATE);
            out.extend_from_slice(&date.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        }
    }
}

/// Appends several values: a whole command or script message.
pub fn write_all(out: &mut Vec<u8>, values: &[Value]) {
    for value in values {
        write(out, value);
    }
}

fn write_number(out: &mut Vec<u8>, number: f64) {
    out.push(marker::NUMBER);
    out.extend_from_slice(&number.to_be_bytes());
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    match u16::try_from(text.len()) {
        Ok(len) => {
            out.push(marker::STRING);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        Err(_) => {
            out.push(marker::LONG_STRING);
            out.extend_from_slice(&length(text.len()));
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn write_properties(out: &mut Vec<u8>, properties: &[(String, Value)]) {
    for (name, value) in properties {
        // A name beyond 64 KiB has no encoding; such a property is left out.
        let Ok(len) = u16::try_from(name.len()) else {
            continue;
        };
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(name.as_bytes());
        write(out, value);
    }
    out.extend_from_slice(&[0, 0, marker::OBJECT_END]);
}

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_type() -> Vec<Value> {
        vec![
            Value::from("connect"),
            Value::Number(-1.5),
            Value::Boolean(true),
            Value::Null,
            Value::Undefined,
            Value::Date(1_700_000_000_000.0),
            Value::object([
                ("app", Value::from("live")),
                ("inner", Value::object([("deep", Value::Number(1.0))])),
            ]),
            Value::EcmaArray(vec![("width".to_owned(), Value::Number(1280.0))]),
            Value::StrictArray(vec![Value::from("hvc1"), Value::from("av01")]),
            Value::String("x".repeat(70_000)),
        ]
    }

    #[test]
    fn every_type_comes_back() {
        let values = every_type();
        let mut bytes = Vec::new();
        write_all(&mut bytes, &values);
        assert_eq!(read_all(&bytes), Ok(values));
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let mut bytes = Vec::new();
        write_all(
            &mut bytes,
            &[
                Value::from("ab"),
                Value::Number(1.0),
                Value::object([("k", Value::Boolean(true))]),
                Value::EcmaArray(vec![("k".to_owned(), Value::Null)]),
            ],
        );
        let expected = [
            &[0x02, 0, 2, b'a', b'b'][..],
            &[0x00, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
            &[0x03, 0, 1, b'k', 0x01, 1, 0, 0, 9],
            &[0x08, 0, 0, 0, 1, 0, 1, b'k', 0x05, 0, 0, 9],
        ]
        .concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_missing_last_end_marker_is_forgiven() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Value::object([("k", Value::Number(2.0))]));
        bytes.truncate(bytes.len() - 3);
        let values = read_all(&bytes).expect("complete properties");
        assert_eq!(values[0].get("k"), Some(&Value::Number(2.0)));
    }

    #[test]
    fn every_cut_is_an_error_or_whole_values_and_never_a_panic() {
        let values = every_type();
        let mut bytes = Vec::new();
        write_all(&mut bytes, &values[..9]);
        for end in 0..bytes.len() {
            if let Ok(read) = read_all(&bytes[..end]) {
                assert!(read.len() <= 9);
            }
        }
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep: Vec<u8> = [0x0a, 0, 0, 0, 1].repeat(1000);
        assert_eq!(read_all(&deep), Err(Error::Deep));
        assert_eq!(read_all(&vec![0x05; 5000]), Err(Error::Many));
        assert_eq!(
            read_all(&[0x0a, 0xff, 0xff, 0xff, 0xff]),
            Err(Error::Many),
            "a declared count reserves nothing"
        );
    }

    #[test]
    fn references_and_amf3_are_named() {
        assert_eq!(
            read_all(&[0x05, 0x11]),
            Err(Error::Type {
                marker: 0x11,
                at: 1
            })
        );
    }
}
