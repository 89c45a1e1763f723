//! What state machines of connections want done.

/// What a connection wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<E> {
    /// Bytes for the other end, in this order.
    Send(Vec<u8>),
    /// Something happened.
    Event(E),
}
