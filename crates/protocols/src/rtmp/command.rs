//! Commands: their names, values and usual answers.

use inver_media::container::flv::amf0::{self, Value};

/// A command as it was read.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) name: String,
    pub(super) transaction: f64,
    /// The values behind: an object or null first.
    pub(super) values: Vec<Value>,
}

impl Command {
    pub(super) fn parse(body: &[u8]) -> Result<Self, amf0::Error> {
        let mut values = amf0::read_all(body)?.into_iter();
        let name = match values.next() {
            Some(Value::String(name)) => name,
            _ => String::new(),
        };
        let transaction = values.next().and_then(|value| value.as_number());
        Ok(Self {
            name,
            transaction: transaction.unwrap_or(0.0),
            values: values.collect(),
        })
    }

    /// The object that `connect` and answers to it begin with.
    pub(super) fn object(&self) -> &Value {
        self.values.first().unwrap_or(&Value::Null)
    }

    /// An argument behind the object.
    pub(super) fn argument(&self, index: usize) -> &Value {
        self.values.get(index + 1).unwrap_or(&Value::Null)
    }

    /// Text among the arguments; empty where there is none.
    pub(super) fn text(&self, index: usize) -> String {
        self.argument(index).as_str().unwrap_or_default().to_owned()
    }
}

/// The body of a command.
pub(super) fn body(name: &str, transaction: f64, values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    amf0::write(&mut out, &Value::from(name));
    amf0::write(&mut out, &Value::Number(transaction));
    amf0::write_all(&mut out, values);
    out
}

/// What tells how something went: `level` is `status` or `error`.
pub(super) fn information(level: &str, code: &str, description: &str) -> Value {
    Value::object([
        ("level", Value::from(level)),
        ("code", Value::from(code)),
        ("description", Value::from(description)),
    ])
}
