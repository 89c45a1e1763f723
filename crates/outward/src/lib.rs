//! Connections that the server makes by itself, for webhooks, pulls, pushes and relays: to public
//! addresses only, unless its operator allowed others.
//!
//! Whoever may name a target could otherwise let the server speak to what stands behind it. A
//! name is resolved once and the connection goes to the addresses that were checked, so a name
//! that changes its meaning in between gains nothing. Redirects are the caller's to refuse.

mod guard;
mod public;

pub use guard::{Guard, Inside, NoAddress};
pub use public::{is_public, literal};
